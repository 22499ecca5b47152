"""Commands of child processes that run a module of `benchmarks`, from any working directory."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_RUN_MODULE = """\
import runpy, sys
root, module, *sys.argv[1:] = sys.argv[1:]
sys.path.insert(0, root)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this checkout as `python -m MODULE ARGUMENTS` does.

    Unlike that, it finds the module from any working directory, whatever else is on `sys.path`.
    """
    return [sys.executable, "-P", "-c", _RUN_MODULE, str(_ROOT), module, *arguments]
