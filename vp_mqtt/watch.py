"""`vp watch`: the labels of a site, as they come."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table

from vp_mqtt.inbox import Inbox
from vp_mqtt.messages import MAX_MESSAGE_BYTES, LabelMessage, MessageError
from vp_mqtt.nodes.runtime import Node
from vp_mqtt.packets import Received
from vp_mqtt.settings import WatchSettings
from vp_mqtt.topics import Topics

_ROWS = 15
_WAITING = 1000
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
    """Return the newest labels as a table, newest last."""
    table = Table(title="labels", title_justify="left", expand=False)
    for heading in ("time", "camera", "frame", "label", "confidence", "voted", "missing", "closed by", "latency"):
        table.add_column(heading, justify="right" if heading in {"confidence", "latency"} else "left")
    for at, label in labels:
        right = label.truth is None or label.label is None or label.truth == label.label
        name = label.label or "(no vote)"
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(at)),
            label.camera,
            label.frame.partition("-")[2],
            f"[{'bold' if right else 'red'}]{name}[/]" + ("" if right else f" ({label.truth})"),
            "" if label.confidence is None else f"{label.confidence:.0%}",
            " ".join(map(str, label.voted)),
            " ".join(map(str, label.missing)),
            str(label.closed_by),
            f"{label.latency_ms:.1f} ms",
        )
    return table


class Watcher:
    """Receives the labels of a site, and shows them."""

    def __init__(self, settings: WatchSettings, *, json_lines: bool) -> None:
        """Prepare, without connecting.

        Args:
            settings: what to watch.
            json_lines: print the labels as JSON, one object a line.

        Raises:
            UserError: a certificate, key or password file is not usable.
        """
        self._json_lines = json_lines
        self._inbox: Inbox[Received] = Inbox(per_source=_WAITING)
        self._node = Node(
            settings,
            parts=(str(time.time_ns() % 1_000_000),),
            subscriptions=[(Topics(settings.site).label(settings.camera), 0)],
            on_message=lambda message: self._inbox.put(message.topic, message),
            on_stop=self._inbox.close,
            max_packet_bytes=MAX_MESSAGE_BYTES,
            is_silent=True,
        )

    def run(self) -> None:
        """Show labels until told to stop.

        Raises:
            UserError: the broker cannot be reached, or will not have us.
        """
        as_table = Console().is_terminal and not self._json_lines
        self._node.run(self._show_table if as_table else self._print_lines)

    def _labels(self, timeout: float | None = None) -> Iterator[LabelMessage | None]:
        """Yield the labels, and None whenever none has come for `timeout` s."""
        while not self._node.stopping.is_set():
            message = self._inbox.get(timeout)
            if message is None:
                yield None
                continue
            try:
                yield LabelMessage.decode(message.payload)
            except MessageError as error:
                self._node.refusals.add(message.topic, str(error))

    def _print_lines(self) -> None:
        for label in self._labels():
            if label is not None:
                sys.stdout.write((label.encode().decode() if self._json_lines else _line(label)) + "\n")
                sys.stdout.flush()

    def _show_table(self) -> None:
        newest: deque[tuple[float, LabelMessage]] = deque(maxlen=_ROWS)
        with Live(labels_table(newest), refresh_per_second=_REFRESHES_PER_S) as live:
            for label in self._labels(timeout=1.0):
                if label is not None:
                    newest.append((time.time(), label))
                    live.update(labels_table(newest))


def run(settings: WatchSettings, *, json_lines: bool) -> None:
    """Show labels until told to stop.

    Raises:
        UserError: the broker cannot be reached, or will not have us.
    """
    Watcher(settings, json_lines=json_lines).run()
