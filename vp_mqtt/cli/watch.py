"""`vp watch`: the labels of a site as they arrive."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session, connected
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, LabelMessage, MessageError
from vp_mqtt.protocol.topics import Topics

_ROWS = 15
_MAX_WAITING = 1000
_REFRESHES_PER_S = 8


def _line(label: LabelMessage) -> str:
    """Return a label as a line of text."""
    name = label.label or "(no vote)"
    confidence = "" if label.confidence is None else f" {label.confidence:.0%}"
    missing = f" missing {','.join(map(str, label.missing))}" if label.missing else ""
    return (
        f"{label.camera} {label.frame} {name}{confidence} "
        f"({len(label.voted)} votes, {label.closed_by}, {label.latency_ms:.0f} ms{missing})"
    )


def labels_table(labels: deque[tuple[float, LabelMessage]]) -> Table:
    """Return the newest labels as a table, newest last; the votes as `01.3`: variant 2 of four was missing."""
    table = Table(title="labels", title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for heading in ("time", "camera", "frame", "label", "confidence", "votes", "closed by", "latency"):
        is_number = heading in {"frame", "confidence", "latency"}
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    for at, label in labels:
        # Text, not markup: names come from the network.
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(at)),
            Text(label.camera),
            label.frame.partition("-")[2],
            _name(label),
            "" if label.confidence is None else f"{label.confidence:.0%}",
            _votes(label),
            str(label.closed_by),
            f"{label.latency_ms:.1f} ms",
        )
    return table


def _name(label: LabelMessage) -> Text:
    if label.label is None:
        return Text("(no vote)", style="dim")
    if label.truth is None or label.truth == label.label:
        return Text(label.label, style="bold")
    return Text(f"{label.label} (is {label.truth})", style="red")


def _votes(label: LabelMessage) -> str:
    variants = sorted({*label.voted, *label.missing})
    return "".join(str(v) if v in label.voted else "." for v in variants)


def _labels(session: Session, inbox: Inbox[Received], timeout: float | None = None) -> Iterator[LabelMessage | None]:
    """Yield the labels as they arrive, and None after `timeout` seconds without one.

    Raises:
        UserError: the session has ended with a permanent failure.
    """
    refusals = Refusals()
    while True:
        message = inbox.get(timeout)
        if message is None:
            session.check()
            yield None
            continue
        try:
            yield LabelMessage.decode(message.payload)
        except MessageError as error:
            refusals.add(message.topic, str(error))


def _print_lines(labels: Iterable[LabelMessage | None], *, as_json: bool) -> None:
    for label in labels:
        if label is not None:
            sys.stdout.write((label.encode().decode() if as_json else _line(label)) + "\n")
            sys.stdout.flush()


def _show_table(labels: Iterable[LabelMessage | None]) -> None:
    newest: deque[tuple[float, LabelMessage]] = deque(maxlen=_ROWS)
    with Live(labels_table(newest), refresh_per_second=_REFRESHES_PER_S) as live:
        for label in labels:
            if label is not None:
                newest.append((time.time(), label))
                live.update(labels_table(newest))


def run(settings: WatchSettings, *, json_lines: bool) -> None:
    """Show labels until a KeyboardInterrupt.

    Args:
        settings: what to watch.
        json_lines: print the labels as JSON, one object per line.

    Raises:
        UserError: a certificate, key or password file is not usable, or the broker cannot be reached or refuses us.
    """
    inbox: Inbox[Received] = Inbox(per_source=_MAX_WAITING)
    # Several may watch a site from one machine.
    name = settings.node_name(str(time.time_ns() % 1_000_000))
    with connected(
        settings.broker_options(),
        client_id=f"vp-{settings.site}-{name}",
        subscriptions=[(Topics(settings.site).label(settings.camera), 0)],
        on_message=lambda message: inbox.put(message.topic, message),
        on_end=lambda _: inbox.close(),
        max_packet_bytes=MAX_MESSAGE_BYTES,
    ) as session:
        if Console().is_terminal and not json_lines:
            _show_table(_labels(session, inbox, timeout=1.0))
        else:
            _print_lines(_labels(session, inbox), as_json=json_lines)
