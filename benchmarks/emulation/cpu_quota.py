"""A CPU quota for a process: a slow board emulated on a fast machine. Needs root on Linux."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PERIOD_US = 4000
"""The period of a quota, in microseconds: short, since the work on a frame takes a few ms."""

LEAST_QUOTA_US = 1000
"""The kernel's smallest quota, in microseconds; smaller shares get a longer period."""

_VERSION_2 = Path("/sys/fs/cgroup")
_VERSION_1 = Path("/sys/fs/cgroup/cpu")
_END_S = 2.0


class NoQuotaError(Exception):
    """This machine does not allow CPU quotas; the message says why."""


def quota_and_period_us(share: float) -> tuple[int, int]:
    """Return the quota and the period of a share, both in microseconds.

    Args:
        share: share of one core, greater than 0.
    """
    period = max(PERIOD_US, round(LEAST_QUOTA_US / share))
    return max(LEAST_QUOTA_US, round(share * period)), period


class CpuQuota:
    """A control group whose processes share a part of one core; created and removed with the context."""

    def __init__(self, name: str, share: float) -> None:
        """Prepare, without creating anything.

        Args:
            name: name of the group, made unique by this process' id.
            share: share of one core, greater than 0.
        """
        self._name = f"vp-{os.getpid()}-{name}"
        self._share = share
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        """Create the group.

        Raises:
            NoQuotaError: not Linux, not root, or the kernel has no quotas.
        """
        quota, period = quota_and_period_us(self._share)
        try:
            if (_VERSION_2 / "cgroup.controllers").exists():
                self._folder = _VERSION_2 / self._name
                # Enables quotas for the group; systemd has done so already.
                (_VERSION_2 / "cgroup.subtree_control").write_text("+cpu", encoding="ascii")
                self._folder.mkdir()
                (self._folder / "cpu.max").write_text(f"{quota} {period}", encoding="ascii")
            else:
                self._folder = _VERSION_1 / self._name
                self._folder.mkdir()
                (self._folder / "cpu.cfs_period_us").write_text(str(period), encoding="ascii")
                (self._folder / "cpu.cfs_quota_us").write_text(str(quota), encoding="ascii")
        except OSError as error:
            self._remove()
            raise NoQuotaError(f"no CPU quota: {error.strerror} ({error.filename}); it needs root on Linux") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        """Remove the group, once its processes have ended."""
        if self._folder is None:
            return
        until = time.monotonic() + _END_S
        while self._folder.exists() and time.monotonic() < until:
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.05)

    def add(self, pid: int) -> None:
        """Put a process, with all its threads, into the group."""
        if self._folder is None:
            raise NoQuotaError("the group has not been created yet")
        (self._folder / "cgroup.procs").write_text(str(pid), encoding="ascii")
