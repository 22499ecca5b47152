"""The machine that figures were measured on, for the record beside them."""

from __future__ import annotations

import os
import platform
import socket
from typing import Any

_CPUINFO = "/proc/cpuinfo"


def cores() -> list[int]:
    """Return the cores that this process may run on, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def machine() -> dict[str, Any]:
    """Return the host's name, its processor, system, Python and cores, and the load of the last minute."""
    name = platform.processor() or platform.machine()
    try:
        with open(_CPUINFO, encoding="utf-8") as file:  # noqa: PTH123 (a file of the kernel's)
            lines = file.read().splitlines()
    except OSError:
        lines = []
    # A Raspberry Pi names the board, not its processor.
    for key in ("model name", "Model"):
        told = next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")
        if told:
            name = told
            break
    return {
        "host": socket.gethostname(),
        "processor": name,
        "cores": len(cores()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
