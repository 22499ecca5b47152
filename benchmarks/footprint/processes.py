"""Resource usage of running processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from vp_mqtt.errors import UserError

_KB = 1024 / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """Resource usage of a process.

    Attributes:
        rss_mb: resident memory, in MB of 10^6 bytes, including shared libraries.
        pss_mb: likewise, with shared memory divided among the processes that share it.
        peak_mb: the most resident memory so far, in MB.
        threads: number of threads.
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


def usage_of(pid: int) -> Usage:
    """Return the present resource usage of a process.

    Raises:
        UserError: it has ended, or this is not Linux.
    """
    try:
        process = psutil.Process(pid)
        memory, cpu = process.memory_full_info(), process.cpu_times()
        return Usage(
            rss_mb=round(memory.rss / 1e6, 1),
            pss_mb=round(memory.pss / 1e6, 1),
            peak_mb=round(_peak_kb(pid) * _KB, 1),
            threads=process.num_threads(),
            cpu_s=round(cpu.user + cpu.system, 2),
        )
    except (psutil.Error, OSError, AttributeError) as error:
        raise UserError(f"process {pid} cannot be looked at: {error}") from None


def _peak_kb(pid: int) -> int:
    # psutil does not have it.
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def has_mapped(pid: int, name: str) -> bool:
    """Return whether a process has mapped a file of a package into its memory.

    Args:
        pid: the process.
        name: name of the package's folder.

    Raises:
        UserError: the process has ended, or this is not Linux.
    """
    try:
        return any(f"/{name}/" in mapped.path for mapped in psutil.Process(pid).memory_maps())
    except (psutil.Error, OSError, AttributeError) as error:
        raise UserError(f"process {pid} cannot be looked at: {error}") from None
