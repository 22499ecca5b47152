"""The machine that a measurement runs on, for the record."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def describe_machine() -> dict[str, Any]:
    """Return host name, processor, number of cores, system, Python version and the load of the last minute."""
    return {
        "host": socket.gethostname(),
        "processor": _processor(),
        "cores": len(usable_cores()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    # A Raspberry Pi names the board ("Model"), not its processor.
    return values.get("model name") or values.get("Model") or platform.processor() or platform.machine()
