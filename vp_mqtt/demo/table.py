"""The demo's tables."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from vp_mqtt.demo.record import UNKNOWN, FrameRecord, Record
from vp_mqtt.protocol.messages import LabelMessage

_ROWS = 16
_VOTE_WIDTH = 4
_CLASS_WIDTH = 9
_NAMES = 3
_ANSWERS = 8


def _answer(answer: str | None, *, is_right: bool, width: int | None = None) -> Text:
    if answer is None:
        return Text("-", style="dim")
    return Text(answer[:width], style="green" if is_right else "red")


def live_table(record: Record) -> Table:
    """Return the newest frames, one per row: truth, the votes, the label, what closed its window, response time."""
    table = Table(
        title="variant parallelism over MQTT",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("frame", justify="right", min_width=5, no_wrap=True)
    table.add_column("truth", min_width=_CLASS_WIDTH, no_wrap=True)
    for variant in range(record.variants):
        is_dead = variant in record.killed
        heading = Text(f"v{variant} x" if is_dead else f"v{variant}", style="red" if is_dead else "")
        table.add_column(heading, min_width=_VOTE_WIDTH, no_wrap=True)
    table.add_column("fused", min_width=_CLASS_WIDTH, no_wrap=True)
    table.add_column("closed by", min_width=8, no_wrap=True)
    table.add_column("ms", justify="right", min_width=5)
    rows = list(record.frames.values())[-_ROWS:]
    for row in rows:
        table.add_row(*_row(row, record.variants))
    for _ in range(_ROWS - len(rows)):
        table.add_row()
    fused = record.shares().fused.value
    right = "" if fused is None else f", {fused:.1%} of the labels right"
    if record.frames:
        table.caption = f"{record.labelled()} of {len(record.frames)} frames labelled{right}"
    return table


def _vote(row: FrameRecord, variant: int) -> Text:
    answer = row.votes.get(variant)
    is_right = answer is not None and (row.announce.truth is None or row.is_right_of(variant))
    return _answer(answer, is_right=is_right, width=_VOTE_WIDTH)


def _shown(label: LabelMessage | None) -> str | None:
    """Return what is shown of a fused label; None for nothing."""
    if label is None or not label.voted:
        return None
    return label.label or UNKNOWN


def _row(row: FrameRecord, variants: int) -> list[Text]:
    truth = row.announce.truth
    label = row.label
    return [
        Text(str(row.announce.frame.sequence)),
        Text(truth or ""),
        *(_vote(row, variant) for variant in range(variants)),
        _answer(_shown(label), is_right=truth is None or row.is_right()),
        Text(str(label.closed_by) if label else "", style="dim"),
        Text("" if row.response_ms is None else f"{row.response_ms:.1f}"),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _range(interval: list[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.1%} to {interval[1]:.1%})"


def _points(difference: float | None) -> str:
    return "-" if difference is None else f"{difference * 100:+.1f} points"


def facts_table(summary: dict[str, Any]) -> Table:
    """Return a table of what was played, and how fast it was answered."""
    table = Table(title="summary", title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("broker", f"{summary['broker']['name']} {summary['broker']['version']}")
    table.add_row("frames", f"{summary['frames']} announced, {summary['labels']} labelled, {summary['lost']} lost")
    latency = summary["latency_ms"]
    table.add_row("response time", ", ".join(f"{name} {value} ms" for name, value in latency.items()))
    table.add_row(
        "a vote", f"{summary['vote_bytes']['payload']} bytes, {summary['vote_bytes']['packet']} as MQTT packet"
    )
    others = summary["not_classes"]
    if others:
        names = ", ".join(list(others)[:_NAMES]) + (", .." if len(others) > _NAMES else "")
        table.add_row("not counted", f"{sum(others.values())} frames of folders that are no class: {names}")
    if summary["accuracy"]["fused"] is None:
        answers = list(summary["answers"].items())[:_ANSWERS]
        table.add_row("labels", ", ".join(f"{name} {count}" for name, count in answers) or "-")
    return table


def shares_table(summary: dict[str, Any]) -> Table | None:
    """Return a table of the shares of right answers; None if no frame's truth is known."""
    shares, intervals, all_pictures = summary["accuracy"], summary["interval_95"], summary.get("all_pictures")
    if shares["fused"] is None:
        return None
    table = Table("", "right (95% interval)", title_justify="left")
    if all_pictures is not None:
        table.add_column(f"of all {all_pictures['pictures']:,}")

    def add(name: str, here: str, everywhere: str) -> None:
        table.add_row(name, here, *([] if all_pictures is None else [everywhere]))

    reference = all_pictures or {"fused": None, "variants": [None] * summary["variants"], "after": None}
    killed = summary["killed"]
    if killed:
        for name, when, right in (("all alive", "before", "fused"), (f"{len(killed)} dead", "after", "after")):
            here = _percent(summary[f"accuracy_{when}"]["fused"]) + _range(summary[f"interval_95_{when}"]["fused"])
            add(f"fused, {name}", here, _percent(reference[right]))
        add("difference", *_difference(summary["after_minus_before"], reference["after"], reference["fused"]))
    else:
        add("fused label", _percent(shares["fused"]) + _range(intervals["fused"]), _percent(reference["fused"]))
    for variant, share in enumerate(shares["variants"]):
        note = " (killed)" if variant in killed else ""
        here = _percent(share) + _range(intervals["variants"][variant])
        add(f"variant {variant}{note}", here, _percent(reference["variants"][variant]))
    against = summary["fused_minus_variant"]
    if against is not None and not killed:
        variant = against["variant"]
        add(
            f"fused - variant {variant}",
            *_difference(against, reference["fused"], reference["variants"][variant]),
        )
    return table


def _difference(found: dict[str, Any] | None, first: float | None, second: float | None) -> tuple[str, str]:
    """Return a difference that was found, with what chance may make of it, and that of two shares of all pictures."""
    everywhere = "-" if first is None or second is None else _points(first - second)
    if found is None:
        return "-", everywhere
    low, high = found["interval_95"]
    verdict = ": in doubt" if low <= 0 <= high else ""
    return f"{_points(found['difference'])} ({low * 100:+.1f} to {high * 100:+.1f}){verdict}", everywhere
