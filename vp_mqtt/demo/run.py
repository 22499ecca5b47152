"""Runs the demo: starts broker and nodes, follows the frames, and prints a summary."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.live import Live

from vp_mqtt import logs
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.config.loading import env_name
from vp_mqtt.demo.listener import CAMERA, SITE, Listener
from vp_mqtt.demo.record import Record
from vp_mqtt.demo.table import live_table, summary_table
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.local.node_processes import NodeProcesses
from vp_mqtt.terminal import can_redraw

_START_S = 30.0
"""How long nodes may take until they are online, in seconds."""
_SETTLE_S = 1.0
"""How long labels are waited for after the last frame's deadline, in seconds."""
_PICTURE_WIDTH = 80


@dataclass(frozen=True)
class DemoSettings:
    """What the demo shows.

    Attributes:
        frames: how many the camera publishes, at least 1.
        fps: frames per second, greater than 0.
        kill: variants that are killed half-way.
        bundle: name or folder of the family.
        source: the camera's source, as `vp-camera --source` accepts it.
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


def run(settings: DemoSettings) -> None:
    """Start everything, show what happens, and print the summary.

    Raises:
        UserError: there is no such bundle or broker, a variant to kill is not in the bundle, or the broker or a node
            does not start.
    """
    logs.set_up(json_lines=False, level="error")
    manifest = open_bundle(settings.bundle).manifest
    record = Record(manifest.classes, len(manifest.variants))
    for variant in settings.kill:
        if not 0 <= variant < record.variants:
            raise UserError(f"--kill {variant}: the bundle has variants 0 to {record.variants - 1}")
    listener = Listener(record)
    console = Console()
    is_live = can_redraw(sys.stdout)
    with (
        LocalBroker.find(settings.broker) as broker,
        NodeProcesses(("--broker", broker.url, "--site", SITE)) as nodes,
        listener.connected(broker.url),
    ):
        _start_nodes(settings, record.variants, nodes, listener)
        with _display(console, record, is_live=is_live and not settings.json) as refresh:
            _follow(settings, nodes, listener, record, refresh)
    summary = {**record.summary(), "broker": asdict(broker.info)}
    if settings.json:
        sys.stdout.write(json.dumps(summary) + "\n")
        return
    if not is_live:
        console.print(live_table(record))
    console.print(summary_table(summary))
    if settings.picture is not None:
        _save_picture(settings.picture, record, summary)


def _start_nodes(settings: DemoSettings, variants: int, nodes: NodeProcesses, listener: Listener) -> None:
    """Start the fusion node and the variants, wait until all are online, and start the camera."""
    bundle = ("--bundle", settings.bundle)
    # Every label counts: the demo compares them with the variants' own, which are never unknown.
    waiting = ("--deadline-ms", str(settings.deadline_ms), "--unknown", "off")
    nodes.start("fusion", "fusion", *bundle, *waiting, "--name", "fusion")
    names = {"fusion"}
    for variant in range(variants):
        name = f"variant-{variant}"
        nodes.start(name, "node", *bundle, "--variant", str(variant), "--name", name)
        names.add(name)
    until = time.monotonic() + _START_S
    while not names <= listener.online:
        listener.handle_message(timeout=0.1)
        _check(nodes)
        if time.monotonic() > until:
            late = ", ".join(sorted(names - listener.online))
            raise UserError(f"not online after {_START_S:g} s: {late}; is the machine very busy?")
    arguments = ["--camera", CAMERA, "--fps", str(settings.fps), "--frames", str(settings.frames), "--name", "camera"]
    # Not a flag: everyone on the machine could read a password in it.
    nodes.start("camera", "camera", *arguments, environment={env_name("source"): settings.source})


def _check(nodes: NodeProcesses) -> None:
    failed = nodes.failed()
    if failed is not None:
        raise UserError(f"a node of the demo ended: {failed}")


@contextmanager
def _display(console: Console, record: Record, *, is_live: bool) -> Iterator[Callable[[], None]]:
    """Provide a function that shows the record as it is now; without `is_live` it does nothing."""
    if not is_live:
        yield lambda: None
        return
    with Live(console=console, refresh_per_second=10) as live:
        yield lambda: live.update(live_table(record))


def _follow(
    settings: DemoSettings, nodes: NodeProcesses, listener: Listener, record: Record, refresh: Callable[[], None]
) -> None:
    """Handle messages until every frame has its label or is overdue; half-way, kill the variants to be killed."""
    patience = settings.deadline_ms / 1000 + _SETTLE_S
    camera_ended: float | None = None
    while True:
        if listener.handle_message(timeout=0.05):
            refresh()
        if settings.kill and not record.killed and len(record.frames) >= settings.frames // 2:
            for variant in settings.kill:
                nodes.kill(f"variant-{variant}")
            record.killed = settings.kill
        _check(nodes)
        if camera_ended is None and nodes.has_ended("camera"):
            camera_ended = time.monotonic()
        has_all = record.labelled() >= len(record.frames) >= settings.frames
        if camera_ended is not None and (has_all or time.monotonic() > camera_ended + patience):
            return


def _save_picture(path: Path, record: Record, summary: dict[str, Any]) -> None:
    # Not the console of the live table, which would record its every state.
    console = Console(record=True, file=io.StringIO(), width=_PICTURE_WIDTH, force_terminal=True)
    console.print(live_table(record))
    console.print(summary_table(summary))
    try:
        console.save_svg(str(path), title="vp demo")
    except OSError as error:
        raise UserError(f"--picture {path}: {error.strerror}") from None
