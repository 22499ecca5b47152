"""Where commands print their tables."""

from __future__ import annotations

import os
import sys

from rich.console import Console

# Without a terminal, rich assumes 80 columns, and cuts names that a script looks for.
_PIPE_COLUMNS = 240


def report_console() -> Console:
    """Return a console for standard output that shows texts as they are: brackets and colons are no markup."""
    is_sized = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    return Console(highlight=False, markup=False, emoji=False, width=None if is_sized else _PIPE_COLUMNS)
