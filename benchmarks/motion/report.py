"""Tables of `vp bench motion`. The first row of each is the heading."""

from __future__ import annotations

from collections import Counter
from typing import Any

Result = dict[str, Any]
Rows = list[list[str]]

_PARTS = ("camera", "variants", "fusion", "broker")


def costs(result: Result) -> Rows:
    """Return what a still scene costs a site without and with the gate."""
    site = result["site"]
    off, on = site["off"], site["on"]
    rows = [["", "gate off", "gate on", "saved"]]
    rows += [
        [f"processor time, {part}", _share(off[part]), _share(on[part]), _saved(off[part], on[part])] for part in _PARTS
    ]
    whole = "processor_share"
    rows.append(
        [
            "**processor time, whole site**",
            _share(off[whole]),
            _share(on[whole]),
            f"**{_percent(site['processor_saved'])}**",
        ]
    )
    kilobytes = [f"{one['bytes_per_s'] / 1000:,.1f} kB/s" for one in (off, on)]
    rows.append(["**bytes through the broker**", *kilobytes, f"**{_percent(site['bytes_saved'])}**"])
    delays = Counter(site["delays_frames"])
    told = ", ".join(f"{delay} ({count} of {delays.total()} changes)" for delay, count in sorted(delays.items()))
    return [*rows, ["frames with a change before the one that is published", "", told, ""]]


def decisions(result: Result) -> Rows:
    """Return what was taken for motion, and what was noticed."""
    rows = [["still scene with ..", "taken for motion", "by MOG2"]]
    rows += [[one["what"], _percent(one["difference"]), _percent(one["mog2"])] for one in result["decisions"]["still"]]
    rows.append(
        ["**something comes, of so much of the picture's width and height**", "**noticed at once**", "**by MOG2**"]
    )
    rows += [
        [f"{one['side']:.0%}", _percent(one["difference"]), _percent(one["mog2"])]
        for one in result["decisions"]["noticed"]
    ]
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(share: float) -> str:
    return f"{1000 * share:.0f} ms/s"


def _saved(off: float, on: float) -> str:
    return _percent(1 - on / off) if off else ""
