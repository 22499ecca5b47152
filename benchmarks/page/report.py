"""The page's figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NAMES = {"server": "server (`vp web`)", "browser": "browser (Chromium, page Live)"}


def rows(result: dict[str, Any]) -> Sequence[Sequence[str]]:
    """Return a table of memory and processor time, from what `vp bench page --json` has measured."""
    summary = result["summary"]
    found = [("", "memory, least and most", "trend", "of a processor core")]
    for who, name in _NAMES.items():
        its = summary[who]
        low, high = its["mb"]
        found.append(
            (name, f"{low:.1f} to {high:.1f} MB", f"{its['mb_per_hour']:+.1f} MB/h", f"{its['cpu_share']:.1%}")
        )
    return found


def first_version_rows(result: dict[str, Any]) -> Sequence[Sequence[str]]:
    """Return a table of the time to a first version, from what `vp bench first-version --json` has measured."""
    found = [("pictures", "classes", 'from "Train now" to the bundle', "load average")]
    found += [
        (str(one["pictures"]), str(one["classes"]), f"{one['seconds']:.0f} s", f"{one['load']:.0f}")
        for one in result["runs"]
    ]
    return found
