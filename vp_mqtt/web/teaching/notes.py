"""What went wrong with a form, kept for the page that is shown next: not in its address, where others could write."""

from __future__ import annotations

import secrets
from collections import OrderedDict

_REMEMBERED = 100


class Notes:
    """Notes by random names; each is read once or more until there are many newer ones."""

    def __init__(self) -> None:
        """Start without any."""
        self._texts: OrderedDict[str, str] = OrderedDict()

    def leave(self, text: str) -> str:
        """Keep a note and return its name."""
        name = secrets.token_urlsafe(8)
        self._texts[name] = text
        while len(self._texts) > _REMEMBERED:
            self._texts.popitem(last=False)
        return name

    def read(self, name: str) -> str:
        """Return a note; empty if there is none of this name."""
        return self._texts.get(name, "")
