"""Runs the demo: starts broker and nodes, follows the frames, and prints a summary."""

from __future__ import annotations

import io
import json
import sys
import tempfile
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
from vp_mqtt.config.defaults import DEMO_BUNDLE
from vp_mqtt.config.loading import env_name
from vp_mqtt.demo import page
from vp_mqtt.demo.listener import CAMERA, SITE, Listener
from vp_mqtt.demo.playlist import Playlist, make_playlist
from vp_mqtt.demo.record import Record
from vp_mqtt.demo.reference import read_reference
from vp_mqtt.demo.table import facts_table, live_table, shares_table
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.local.node_processes import NodeProcesses
from vp_mqtt.nodes.sources import SAMPLES_SOURCE
from vp_mqtt.terminal import can_redraw

_START_S = 30.0
"""How long nodes may take until they are online, in seconds."""
_SETTLE_S = 1.0
"""How long labels are waited for after the last frame's deadline, in seconds."""
_PICTURE_WIDTH = 80
_REMEMBERED = 200
"""Frames that an endless demo remembers."""
_HOLD_S = 3.0
"""With the page, the camera shows each picture for so long: long enough for a state, and to look at."""


@dataclass(frozen=True)
class DemoSettings:
    """What the demo shows.

    Attributes:
        frames: how many the camera publishes, at least 1; None: see `make_playlist`, or with the page until Ctrl-C.
        fps: frames per second, greater than 0; None: see `make_playlist`.
        kill: variants that are killed half-way.
        bundle: name or folder of the family.
        source: the camera's source, as `vp-camera --source` accepts it.
        broker: which broker to start.
        deadline_ms: of a window, in ms.
        json: print one JSON object instead of tables.
        picture: an SVG file to write the last table and the summary to.
        web: show the page, at this address and port; None: do not.
    """

    frames: int | None = None
    fps: float | None = None
    kill: tuple[int, ...] = ()
    bundle: str = DEMO_BUNDLE
    source: str = "samples"
    broker: Literal["auto", "embedded", "mosquitto"] = "auto"
    deadline_ms: float = 250.0
    json: bool = False
    picture: Path | None = None
    web: str | None = None

    @property
    def is_endless(self) -> bool:
        """Whether the demo runs until Ctrl-C."""
        return self.frames is None and self.web is not None


def run(settings: DemoSettings) -> None:
    """Start everything, show what happens, and print the summary.

    Raises:
        UserError: there is no such bundle, source or broker, a variant to kill is not in the bundle, or the broker or
            a node does not start.
    """
    logs.set_up(json_lines=False, level="error")
    manifest = open_bundle(settings.bundle).manifest
    record = Record(
        manifest.classes,
        len(manifest.variants),
        *manifest.strongest(1),
        keep=_REMEMBERED if settings.is_endless else None,
    )
    for variant in settings.kill:
        if not 0 <= variant < record.variants:
            raise UserError(f"--kill {variant}: the bundle has variants 0 to {record.variants - 1}")
    playlist = make_playlist(
        settings.source,
        classes=manifest.classes,
        frames=settings.frames,
        fps=settings.fps,
        kills=bool(settings.kill),
        shows_page=settings.web is not None,
    )
    listener = Listener(record, manifest.short_digest)
    console = Console()
    is_live = can_redraw(sys.stdout)
    with (
        LocalBroker.find(settings.broker) as broker,
        tempfile.TemporaryDirectory(prefix="vp-demo-") as folder,
        NodeProcesses(("--broker", broker.url, "--site", SITE)) as nodes,
        listener.connected(broker.url),
    ):
        _start_nodes(settings, playlist, record.variants, nodes, listener, cache=Path(folder) / "bundles")
        if settings.web is not None:
            page.start(nodes, settings.web, Path(folder))
        with _display(console, record, is_live=is_live and not settings.json) as refresh, _until_interrupted(settings):
            _follow(settings, playlist, nodes, listener, refresh)
    summary = {**record.summary(), "broker": asdict(broker.info)}
    if settings.source == SAMPLES_SOURCE:
        summary["all_pictures"] = read_reference(manifest.digest.hex(), record.variants, settings.kill)
    if settings.json:
        sys.stdout.write(json.dumps(summary) + "\n")
        return
    if not is_live:
        console.print(live_table(record))
    _print_summary(console, summary, has_page=settings.web is not None)
    if settings.picture is not None:
        _save_picture(settings, settings.picture, record, summary)


def _start_nodes(
    settings: DemoSettings, playlist: Playlist, variants: int, nodes: NodeProcesses, listener: Listener, *, cache: Path
) -> None:
    """Start the fusion node and the variants, wait until all are online, and start the camera."""
    bundle: tuple[str, ...] = ("--bundle", settings.bundle)
    if settings.web is not None:
        # What is taught on the page can be sent to them, and goes with the demo.
        bundle = ("--bundle", "auto", "--fallback", settings.bundle, "--bundle-cache", str(cache))
    # Where right labels are counted, every label counts: they are compared with the variants', which are never unknown.
    waiting = ("--deadline-ms", str(settings.deadline_ms), "--unknown", "off" if playlist.has_truth else "auto")
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
    arguments = ["--camera", CAMERA, *playlist.camera_arguments(), "--name", "camera"]
    if settings.web is not None:
        arguments += ["--hold", str(_HOLD_S)]
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
    settings: DemoSettings, playlist: Playlist, nodes: NodeProcesses, listener: Listener, refresh: Callable[[], None]
) -> None:
    """Handle messages until every frame has its label or is overdue; half-way, kill the variants to be killed."""
    patience = settings.deadline_ms / 1000 + _SETTLE_S
    record = listener.record
    camera_ended: float | None = None
    while True:
        if listener.handle_message(timeout=0.05):
            refresh()
        if settings.kill and not record.killed and len(record.frames) >= playlist.half:
            for variant in settings.kill:
                nodes.kill(f"variant-{variant}")
            record.killed = settings.kill
        _check(nodes)
        if camera_ended is None and nodes.has_ended("camera"):
            camera_ended = time.monotonic()
        has_all = record.labelled() >= len(record.frames) >= (playlist.frames or 0)
        if camera_ended is not None and (has_all or time.monotonic() > camera_ended + patience):
            return


@contextmanager
def _until_interrupted(settings: DemoSettings) -> Iterator[None]:
    """Let Ctrl-C end an endless demo as if it were over; of others, it is an abort."""
    try:
        yield
    except KeyboardInterrupt:
        if not settings.is_endless:
            raise


def _print_summary(console: Console, summary: dict[str, Any], *, has_page: bool) -> None:
    console.print(facts_table(summary))
    shares = shares_table(summary)
    # With the page, each picture is shown for many frames, which chance does not draw anew.
    if shares is not None and not has_page:
        console.print(shares)


def _save_picture(settings: DemoSettings, path: Path, record: Record, summary: dict[str, Any]) -> None:
    # Not the console of the live table, which would record its every state.
    console = Console(record=True, file=io.StringIO(), width=_PICTURE_WIDTH, force_terminal=True)
    console.print(live_table(record))
    _print_summary(console, summary, has_page=settings.web is not None)
    try:
        console.save_svg(str(path), title="vp demo")
    except OSError as error:
        raise UserError(f"--picture {path}: {error.strerror}") from None
