"""Shows what `vp bench shards` measured. Pure."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
Rows = list[list[str]]


def fault_rows(report: Report) -> Rows:
    """Return a row for each fault: the sums, and the longest pauses, of its runs."""
    rows = [
        [
            "what happens to one of three fusion nodes",
            "cameras that move",
            "runs",
            "frames",
            "lost",
            "of cameras that stay",
            "labelled twice",
            "longest pause, cameras that move; that stay",
        ]
    ]
    for name, runs in report["shards"]["faults"].items():
        sums = {key: sum(run[key] for run in runs) for key in ("frames", "lost", "lost_of_others", "labelled_twice")}
        pauses = [max(run[key] for run in runs) for key in ("longest_pause_s", "longest_pause_of_others_s")]
        rows.append(
            [
                name,
                str(runs[0]["cameras_moved"]),
                str(len(runs)),
                f"{sums['frames']:,}",
                str(sums["lost"]),
                str(sums["lost_of_others"]),
                str(sums["labelled_twice"]),
                "; ".join(f"{pause:.2f} s" for pause in pauses),
            ]
        )
    return rows


def group_rows(report: Report) -> Rows:
    """Return a row for each group of boards."""
    rows = [["boards of one variant", "frames/s", "frames", "without a vote", "votes/s", "announce to label, p50; p95"]]
    for name, group in report["replicas"].items():
        rows.append(
            [
                name,
                f"{group['fps']:g}",
                str(group["frames"]),
                str(group["without_vote"]),
                f"{group['with_vote_per_s']:g}",
                f"{group['announce_to_label_ms_p50']:.0f}; {group['announce_to_label_ms_p95']:.0f} ms",
            ]
        )
    return rows
