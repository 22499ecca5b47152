"""What running processes need, as /proc tells it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vp_mqtt.errors import UserError

_KB = 1024 / 1e6


@dataclass(frozen=True, slots=True)
class Needs:
    """What a process needs.

    Attributes:
        rss_mb: resident memory, in MB of 10^6 bytes, libraries that it shares with others included.
        pss_mb: the same, with what it shares divided among those who share it.
        peak_mb: the most resident memory that it had.
        threads: how many.
        cpu_s: processor time so far, in s.
    """

    rss_mb: float
    pss_mb: float
    peak_mb: float
    threads: int
    cpu_s: float

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def needs_of(pid: int) -> Needs:
    """Return what a process needs now.

    Raises:
        UserError: it has ended, or there is no /proc here.
    """
    folder = Path("/proc") / str(pid)
    try:
        status = _fields((folder / "status").read_text(encoding="ascii", errors="replace"))
        shared = _fields((folder / "smaps_rollup").read_text(encoding="ascii", errors="replace"))
        # The name before the last parenthesis may hold anything.
        stat = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError as error:
        raise UserError(f"process {pid} cannot be looked at: {error.strerror}") from None
    ticks = int(stat[11]) + int(stat[12])
    return Needs(
        rss_mb=round(status["VmRSS"] * _KB, 1),
        pss_mb=round(shared["Pss"] * _KB, 1),
        peak_mb=round(status["VmHWM"] * _KB, 1),
        threads=status["Threads"],
        cpu_s=round(ticks / os.sysconf("SC_CLK_TCK"), 2),
    )


def _fields(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        first = value.split()[:1]
        if first and first[0].isdecimal():
            found[name] = int(first[0])
    return found


def has_mapped(pid: int, name: str) -> bool:
    """Tell whether a process has a file of a package of this name in its memory.

    Raises:
        UserError: it has ended, or there is no /proc here.
    """
    try:
        return f"/{name}/" in (Path("/proc") / str(pid) / "maps").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"process {pid} cannot be looked at: {error.strerror}") from None
