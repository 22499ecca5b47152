"""The demo's tables."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from vp_mqtt.demo.record import FrameRecord, Record

_ROWS = 16
_VOTE_WIDTH = 4
_CLASS_WIDTH = 9


def _answer(answer: str | None, truth: str | None, width: int | None = None) -> Text:
    if answer is None:
        return Text("-", style="dim")
    is_correct = truth is None or answer == truth
    return Text(answer[:width], style="green" if is_correct else "red")


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
    fused = record.accuracy()["fused"]
    if fused is not None:
        table.caption = f"{record.labelled()} of {len(record.frames)} frames labelled, {fused:.1%} of the labels right"
    return table


def _row(row: FrameRecord, variants: int) -> list[Text]:
    truth = row.announce.truth
    label = row.label
    return [
        Text(str(row.announce.frame.sequence)),
        Text(truth or ""),
        *(_answer(row.votes.get(variant), truth, _VOTE_WIDTH) for variant in range(variants)),
        _answer(label.label if label else None, truth),
        Text(str(label.closed_by) if label else "", style="dim"),
        Text("" if row.response_ms is None else f"{row.response_ms:.1f}"),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def summary_table(summary: dict[str, Any]) -> Table:
    """Return a table of the summary that `--json` prints."""
    table = Table(title="summary", title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column()
    killed = summary["killed"]
    table.add_row("broker", f"{summary['broker']['name']} {summary['broker']['version']}")
    table.add_row("frames", f"{summary['frames']} announced, {summary['labels']} labelled, {summary['lost']} lost")
    table.add_row("fused label", f"{_percent(summary['accuracy']['fused'])} right")
    for variant, share in enumerate(summary["accuracy"]["variants"]):
        note = " (killed half-way)" if variant in killed else ""
        table.add_row(f"variant {variant}", f"{_percent(share)} right{note}")
    if killed:
        before, after = summary["accuracy_before"]["fused"], summary["accuracy_after"]["fused"]
        table.add_row("fused, all alive", f"{_percent(before)} right")
        table.add_row(f"fused, {len(killed)} dead", f"{_percent(after)} right")
    latency = summary["latency_ms"]
    table.add_row("response time", ", ".join(f"{name} {value} ms" for name, value in latency.items()))
    table.add_row(
        "a vote", f"{summary['vote_bytes']['payload']} bytes, {summary['vote_bytes']['packet']} as MQTT packet"
    )
    return table
