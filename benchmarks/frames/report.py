"""Tables of `vp bench frames`. The first row of each is the heading."""

from __future__ import annotations

from itertools import groupby
from typing import Any

Result = dict[str, Any]
Rows = list[list[str]]


def labels(result: Result) -> Rows:
    """Return bytes, processor time without models, and accuracy of each way."""
    ways = result["labels"]
    counts = list(ways[0]["right_by_boards"])
    rows = [["", *(one["way"] for one in ways)]]
    rows.append(["a frame", *(f"{one['frame_bytes'] / 1000:.1f} KB" for one in ways)])
    rows.append(["camera", *(f"{one['camera_ms']:.2f} ms" for one in ways)])
    rows += [
        [f"board with variant {index}", *(f"{one['board_ms'][index]:.2f} ms" for one in ways)]
        for index in range(len(ways[0]["board_ms"]))
    ]
    rows.append(["all these boards", *(f"{sum(one['board_ms']):.2f} ms" for one in ways)])
    rows += [
        [f"labels right, {_boards(int(count))}", *(_percent(one["right_by_boards"][count]) for one in ways)]
        for count in counts
    ]
    return [*rows, ["the same label", *(_percent(one["same_label"]) for one in ways)]]


def site(result: Result) -> Rows:
    """Return what each way costs sites of so many boards."""
    heading = ["boards", "frames", "bytes through the broker", "camera", "a board", "broker", "whole site", "to label"]
    rows = [heading]
    for _, group in groupby(result["site"], key=lambda one: one["boards"]):
        for one in group:
            row = [str(one["boards"]), one["way"], f"{one['bytes_per_frame'] / 1000:.0f} KB"]
            row += [f"{one[name]:.1f} ms" for name in ("camera_ms", "board_ms", "broker_ms", "site_ms")]
            rows.append([*row, _times(one)])
    return rows


def behind_link(result: Result) -> Rows:
    """Return the time from capture to label, p50 and p95, where all boards share a link."""
    ways = list(dict.fromkeys(one["way"] for one in result["behind_link"]))
    rows = [["boards", *ways]]
    for boards, group in groupby(result["behind_link"], key=lambda one: one["boards"]):
        rows.append([str(boards), *(_times(one) for one in group)])
    return rows


def _times(one: Result) -> str:
    return f"{one['label_ms']['p50']:.0f}; {one['label_ms']['p95']:.0f} ms"


def _boards(count: int) -> str:
    return f"{count} board" if count == 1 else f"{count} boards"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
