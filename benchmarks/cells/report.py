"""The table of `vp bench cells`. Pure."""

from __future__ import annotations

from typing import Any

Result = dict[str, Any]
Rows = list[list[str]]


def rows(result: Result) -> Rows:
    """Return one row for each phase, below the heading."""
    found = [
        [
            "link",
            "labels at the site",
            "labels at the head office",
            "states that changed there",
            "later, p50 / max",
            "cell shown as",
            "kbit/s up",
            "bridge, MB",
        ]
    ]
    for phase in result["phases"]:
        shown = ", ".join(
            state if after == 0 else f"{state} after {after:g} s" for state, after in phase["states_of_cells"]["north"]
        )
        lag = "-"
        if phase["state_lag_ms_p50"] is not None:
            lag = f"{phase['state_lag_ms_p50']} / {phase['state_lag_ms_max']} ms"
        found.append(
            [
                phase["phase"],
                f"{phase['labels_at_site']}",
                f"{phase['labels_at_head']}",
                f"{phase['state_changes_at_head']} of {phase['state_changes_at_site']}",
                lag,
                shown,
                f"{phase['kbit_per_s_up']:g}",
                f"{phase['bridge_rss_mb']:g}",
            ]
        )
    return found
