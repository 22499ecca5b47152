"""Runs the demo: broker, nodes, and somebody who watches them."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.live import Live

from vp_mqtt import logs
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.demo.record import Record
from vp_mqtt.demo.table import live_table, summary_table
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.local.node_processes import NodeProcesses
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, State, StatusMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics

SITE = "demo"
CAMERA = "demo"
_START_S = 30.0
_SETTLE_S = 1.0
_WAITING = 10_000
_PICTURE_WIDTH = 80


@dataclass(frozen=True)
class DemoSettings:
    """What the demo shows.

    Attributes:
        frames: how many the camera publishes, at least 1.
        fps: how many in a second, greater than 0.
        kill: variants that are killed half-way.
        bundle: name or folder of the family.
        source: the camera's, as `vp-camera --source` takes it.
        broker: which broker to start.
        deadline_ms: of a window, in ms.
        json: print one JSON object instead of tables.
        picture: an SVG file to write the last table and the summary to.
    """

    frames: int = 200
    fps: float = 10.0
    kill: tuple[int, ...] = ()
    bundle: str = "fashion-mnist"
    source: str = "samples"
    broker: Literal["auto", "embedded", "mosquitto"] = "auto"
    deadline_ms: float = 250.0
    json: bool = False
    picture: Path | None = None


@dataclass(eq=False)
class _Watch:
    """Takes in what happens on the site's topics."""

    record: Record
    classes: int
    inbox: Inbox[Received] = field(default_factory=lambda: Inbox(per_source=_WAITING))
    online: set[str] = field(default_factory=set)

    def take(self, timeout: float) -> bool:
        """Take in one message; False if none came within `timeout` s."""
        message = self.inbox.get(timeout)
        if message is None:
            return False
        topic = topics.parse(message.topic)
        match topic.kind:
            case Kind.ANNOUNCE:
                self.record.announced(AnnounceMessage.decode(message.payload).announce())
            case Kind.VOTE if topic.variant is not None:
                vote = votes.decode(message.payload, self.classes)
                packet = Outgoing(message.topic, message.payload, correlation=message.correlation).packet_bytes()
                frame = FrameId.decode(message.correlation)
                self.record.voted(frame, topic.variant, vote, len(message.payload), packet)
            case Kind.LABEL:
                # Capture is announced on the wall clock, which is the same for all processes of this machine.
                wall_clock = time.time() - (time.monotonic() - message.at)
                self.record.labelled(LabelMessage.decode(message.payload), wall_clock)
            case Kind.STATUS:
                status = StatusMessage.decode(message.payload)
                (self.online.add if status.state is State.ONLINE else self.online.discard)(status.node)
        return True


class Demo:
    """One run of the demo."""

    def __init__(self, settings: DemoSettings) -> None:
        """Check the settings, without starting anything.

        Raises:
            UserError: there is no such bundle, or a variant to kill is not one of it.
        """
        self._settings = settings
        self._manifest = open_bundle(settings.bundle).manifest
        self._variants = len(self._manifest.variants)
        for variant in settings.kill:
            if not 0 <= variant < self._variants:
                raise UserError(f"--kill {variant}: the bundle has variants 0 to {self._variants - 1}")
        self._broker = LocalBroker.find(settings.broker)
        self._record = Record(self._manifest.classes, self._variants)
        self._watch = _Watch(self._record, len(self._manifest.classes))
        self._killed: tuple[int, ...] = ()
        self._console = Console()

    def run(self) -> None:
        """Start everything, show what happens, and print the summary.

        Raises:
            UserError: the broker or a node does not start.
        """
        logs.set_up(json_lines=False, level="error")
        with self._broker as broker:
            common = ("--broker", broker.url, "--site", SITE)
            with NodeProcesses(common) as nodes, self._session(broker.url):
                self._start(nodes)
                if self._settings.json or not self._console.is_terminal:
                    self._follow(nodes, lambda: None)
                else:
                    with Live(console=self._console, refresh_per_second=10) as live:
                        self._follow(nodes, lambda: live.update(self._table()))
        self._finish()

    def _session(self, url: str) -> Session:
        site = Topics(SITE)
        inbox = self._watch.inbox
        return Session(
            BrokerOptions(url=url),
            client_id=f"vp-{SITE}-watch",
            subscriptions=[
                (site.status(ANY), 1),
                (site.announce(CAMERA), 1),
                (site.vote(CAMERA, ANY), 0),
                (site.label(CAMERA), 0),
            ],
            on_message=lambda message: inbox.put(message.topic, message),
            on_end=lambda _error: inbox.close(),
        )

    def _start(self, nodes: NodeProcesses) -> None:
        """Start fusion and variants, wait until all are online, and start the camera."""
        settings = self._settings
        bundle = ("--bundle", settings.bundle)
        nodes.start("fusion", "fusion", *bundle, "--deadline-ms", str(settings.deadline_ms), "--name", "fusion")
        names = {"fusion"}
        for variant in range(self._variants):
            name = f"variant-{variant}"
            nodes.start(name, "node", *bundle, "--variant", str(variant), "--name", name)
            names.add(name)
        until = time.monotonic() + _START_S
        while not names <= self._watch.online:
            self._watch.take(0.1)
            failed = nodes.failed()
            if failed is not None:
                raise UserError(f"a node of the demo ended: {failed}")
            if time.monotonic() > until:
                late = ", ".join(sorted(names - self._watch.online))
                raise UserError(f"not online after {_START_S:g} s: {late}; is the machine very busy?")
        arguments = ["--camera", CAMERA, "--source", settings.source, "--fps", str(settings.fps)]
        nodes.start("camera", "camera", *arguments, "--frames", str(settings.frames), "--name", "camera")

    def _follow(self, nodes: NodeProcesses, refresh: Callable[[], None]) -> None:
        """Watch until every frame has its label, or has had time enough for one; kill half-way what is to be killed."""
        record, settings = self._record, self._settings
        patience = settings.deadline_ms / 1000 + _SETTLE_S
        ended: float | None = None
        while True:
            if self._watch.take(0.05):
                refresh()
            if settings.kill and not self._killed and len(record.frames) >= settings.frames // 2:
                for variant in settings.kill:
                    nodes.kill(f"variant-{variant}")
                self._killed = settings.kill
                record.is_after_kill = True
            failed = nodes.failed()
            if failed is not None:
                raise UserError(f"a node of the demo ended: {failed}")
            if ended is None and nodes.has_ended("camera"):
                ended = time.monotonic()
            if ended is not None and (
                record.labels() >= len(record.frames) >= settings.frames or time.monotonic() > ended + patience
            ):
                return

    def _table(self) -> Any:  # noqa: ANN401 (rich's renderables have no common type)
        return live_table(self._record, self._variants, self._killed)

    def summary(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        record = self._record
        labels = record.labels()
        return {
            "frames": len(record.frames),
            "labels": labels,
            "lost": len(record.frames) - labels,
            "accuracy": record.accuracy(),
            "accuracy_before": record.accuracy(lambda r: not r.after_kill),
            "accuracy_after": record.accuracy(lambda r: r.after_kill),
            "latency_ms": record.latency_ms(),
            "vote_bytes": record.vote_bytes,
            "broker": {"name": self._broker.info.name, "version": self._broker.info.version},
            "variants": self._variants,
            "killed": list(self._killed),
        }

    def _finish(self) -> None:
        summary = self.summary()
        if self._settings.json:
            sys.stdout.write(json.dumps(summary) + "\n")
            return
        if not self._console.is_terminal:
            self._console.print(self._table())
        self._console.print(summary_table(summary))
        if self._settings.picture is not None:
            self._save_picture(self._settings.picture, summary)

    def _save_picture(self, path: Path, summary: dict[str, Any]) -> None:
        # A console of its own: the other one would record every state of the live table.
        console = Console(record=True, file=io.StringIO(), width=_PICTURE_WIDTH, force_terminal=True)
        console.print(self._table())
        console.print(summary_table(summary))
        try:
            console.save_svg(str(path), title="vp demo")
        except OSError as error:
            raise UserError(f"--picture {path}: {error.strerror}") from None
