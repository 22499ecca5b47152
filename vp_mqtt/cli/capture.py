"""`vp capture`: pictures of a class, from a camera or from a site's frames."""

from __future__ import annotations

import contextlib
import json as json_module
import signal
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.settings_options import keyword, settings_command
from vp_mqtt.config.settings import CaptureSettings
from vp_mqtt.nodes.native_output import NATIVE_OUTPUT

if TYPE_CHECKING:
    from vp_mqtt.nodes.sources import Captured, Source

_MAX_WAITING_BYTES = 64_000_000
_PACKET_BYTES = 1000
"""Of topic and properties, at most, beside a frame."""
_LOOK_EVERY_S = 0.5
_HINT_AFTER_S = 10.0


def _capture(
    settings: CaptureSettings,
    *,
    data: Path,
    class_name: str,
    count: int,
    source: str | None,
    every: float,
    json: bool,
) -> None:
    """Fill a class folder with pictures from a camera or from a site's frames, without near-duplicates."""
    # A shell starts its background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    NATIVE_OUTPUT.capture()
    from vp_mqtt.masking import hide_in_address  # noqa: PLC0415
    from vp_mqtt.nodes.class_folder import ClassFolder, class_folder, fill  # noqa: PLC0415
    from vp_mqtt.nodes.sources import open_source  # noqa: PLC0415

    folder = ClassFolder(class_folder(data, class_name))
    before = folder.open()
    opened = None if source is None else open_source(source)
    pictures: Generator[Captured | None] = (
        _from_site(settings) if opened is None else _from_source(opened, source or "")
    )
    if opened is not None and not opened.is_live:
        every = 0.0

    def say(kept: int) -> None:
        sys.stderr.write(f"{class_name}: {kept} of {count}\n")

    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(pictures):
        hinting = _with_hints(pictures, folder.counts.__dict__, class_name, every)
        fill(folder, hinting, count, every_s=every, on_kept=say)
    counts = folder.counts
    if json:
        found = {"folder": str(folder.folder), "before": before, **counts.__dict__}
        typer.echo(json_module.dumps(found))
        return
    typer.echo(
        f"{folder.folder}: {counts.kept} new pictures, {before + counts.kept} in all; left out: "
        f"{counts.near_duplicates} near-duplicates, {counts.refused} that cannot be used"
    )
    if counts.kept < count and opened is not None and not opened.is_live:
        typer.echo(f"{hide_in_address(source or '')} has no more pictures; {count} were to be taken", err=True)


def _with_hints(
    pictures: Iterator[Captured | None], counts: dict[str, int], class_name: str, every_s: float
) -> Iterator[Captured | None]:
    """Yield the pictures, and say so if none has been kept for a while, beyond the time between two."""
    kept, alike, since = 0, 0, time.monotonic()
    for captured in pictures:
        if counts["kept"] != kept:
            kept, alike, since = counts["kept"], counts["near_duplicates"], time.monotonic()
        elif time.monotonic() - since > every_s + _HINT_AFTER_S:
            are_alike = counts["near_duplicates"] > alike
            alike, since = counts["near_duplicates"], time.monotonic()
            why = "all pictures look alike" if are_alike else "no pictures come"
            hint = f"move the {class_name} or the camera" if are_alike else "is the camera running?"
            sys.stderr.write(f"{why}: {hint} (Ctrl-C ends)\n")
        yield captured


def _from_source(source: Source, name: str) -> Generator[Captured | None]:
    """Yield the pictures of an open source, and close it.

    Raises:
        UserError: it cannot be read.
    """
    from vp_mqtt.masking import hide_in_address  # noqa: PLC0415
    from vp_mqtt.nodes.snapshot import let_settle  # noqa: PLC0415

    try:
        let_settle(source, hide_in_address(name))
        yield from source.captures()
    finally:
        source.close()


def _from_site(settings: CaptureSettings) -> Generator[Captured | None]:
    """Yield the frames of a site's cameras, the newest of each, and None after a while without any.

    Raises:
        UserError: the broker cannot be reached, or refuses us.
    """
    from vp_mqtt.inference.pictures import PictureError, decode  # noqa: PLC0415
    from vp_mqtt.mqtt.inbox import Inbox  # noqa: PLC0415
    from vp_mqtt.mqtt.message import Received  # noqa: PLC0415
    from vp_mqtt.mqtt.session import connected  # noqa: PLC0415
    from vp_mqtt.nodes.frame_encoder import MAX_FRAME_BYTES  # noqa: PLC0415
    from vp_mqtt.nodes.sources.files import capture  # noqa: PLC0415
    from vp_mqtt.protocol.topics import Topics  # noqa: PLC0415

    inbox: Inbox[Received] = Inbox(
        per_source=1, max_bytes=_MAX_WAITING_BYTES, size_of=lambda message: len(message.payload)
    )
    with connected(
        settings.broker_options(),
        client_id=f"vp-{settings.site}-{settings.node_name(str(time.time_ns() % 1_000_000))}",
        subscriptions=[(Topics(settings.site).frame(settings.camera), 0)],
        on_message=lambda message: inbox.put(message.topic, message),
        on_end=lambda _: inbox.close(),
        max_packet_bytes=MAX_FRAME_BYTES + _PACKET_BYTES,
    ) as session:
        while True:
            message = inbox.get(_LOOK_EVERY_S)
            if message is None:
                session.check()
                yield None
                continue
            try:
                # Frames come from anyone who may publish some: only what a board would decode is taken.
                decode(message.payload, 16)
                yield capture(message.payload)
            except PictureError:
                yield None


_EXTRA = (
    keyword("data", Annotated[Path, typer.Argument(metavar="NAME", help="the folder of class folders")], default=...),
    keyword("class_name", Annotated[str, typer.Option("--class", help="the class")], default=...),
    keyword("count", Annotated[int, typer.Option(min=1, max=100_000, help="new pictures to take")], default=40),
    keyword(
        "source",
        Annotated[
            str | None,
            typer.Option(
                help="a camera's number, video, stream or folder, as for vp-camera (default: the site's frames)"
            ),
        ],
    ),
    keyword(
        "every",
        Annotated[float, typer.Option(min=0, max=3600, help="seconds between two pictures of a live camera, at least")],
        default=0.5,
    ),
    keyword("json", Json, default=False),
)

capture_command = settings_command(CaptureSettings, _capture, _EXTRA)
