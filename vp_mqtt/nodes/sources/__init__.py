"""Where a camera node's pictures come from: webcam, video file, stream, folder of pictures, bundled samples."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from vp_mqtt.config.defaults import DEMO_BUNDLE
from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_formats import PICTURE_SUFFIXES
from vp_mqtt.masking import hide_in_address
from vp_mqtt.nodes.sources.base import Captured, Source
from vp_mqtt.nodes.sources.capture_feed import StreamFeed, WebcamFeed
from vp_mqtt.nodes.sources.files import PictureFolder
from vp_mqtt.nodes.sources.http_feed import HttpFeed
from vp_mqtt.nodes.sources.live import LiveStream
from vp_mqtt.nodes.sources.video import VideoFile

__all__ = [
    "DEFAULT_SAMPLES",
    "SAMPLES",
    "SAMPLES_SOURCE",
    "STREAM_SCHEMES",
    "Captured",
    "LiveStream",
    "PictureFolder",
    "Source",
    "find_source",
    "open_source",
]

SAMPLES = Path(__file__).parents[2] / "assets" / "samples"
DEFAULT_SAMPLES = DEMO_BUNDLE
SAMPLES_SOURCE = "samples"
_DEFAULT_FPS = 10.0
STREAM_SCHEMES = {
    "http": "http",
    "https": "https",
    "rtmp": "rtmp",
    "rtmps": "rtmps",
    "rtp": "rtp",
    "rtsp": "rtsp",
    "rtsps": "rtsps",
    # RTSP over TCP, which is what FFmpeg is asked for anyway.
    "rtspt": "rtsp",
    "srt": "srt",
    "tcp": "tcp",
    "udp": "udp",
}
"""Schemes of streams' addresses, and what FFmpeg calls them."""


def open_source(
    source: str,
    *,
    fps: float = _DEFAULT_FPS,
    size: tuple[int, int] | None = None,
    needed_side: Callable[[], int | None] = lambda: None,
    hold_s: float = 0.0,
    on_refused: Callable[[str], None] = lambda _: None,
    on_problem: Callable[[str | None], None] = lambda _: None,
) -> Source:
    """Open what `--source` names; see `find_source`.

    Raises:
        UserError: there is no such thing, or it cannot be read.
    """
    found = find_source(
        source,
        fps=fps,
        size=size,
        needed_side=needed_side,
        hold_s=hold_s,
        on_refused=on_refused,
        on_problem=on_problem,
    )
    found.open()
    return found


def find_source(
    source: str,
    *,
    fps: float = _DEFAULT_FPS,
    size: tuple[int, int] | None = None,
    needed_side: Callable[[], int | None] = lambda: None,
    hold_s: float = 0.0,
    on_refused: Callable[[str], None] = lambda _: None,
    on_problem: Callable[[str | None], None] = lambda _: None,
) -> Source:
    """Return what `--source` names, not yet opened.

    Args:
        source: a webcam's number, a stream's address, a file, a folder, or "samples" (or "samples:BUNDLE").
        fps: pictures per second that are wanted; files that have their own time are thinned out to it.
        size: width and height to ask a webcam for, in pixels; it may deliver others.
        needed_side: returns how long the shorter side of a webcam's pictures has to be, in pixels, where no size is
            given; None for that of the size that it prefers.
        hold_s: how long each picture of a folder is shown, in seconds; at least for one frame.
        on_refused: called with the reason for every picture of a live source that is skipped, in any thread.
        on_problem: called when a live source has no pictures, with the reason, and with None when it has some again,
            in any thread.

    Raises:
        UserError: there is no such thing.
    """
    if source.isdecimal():
        webcam = WebcamFeed(int(source), size, on_refused, needed_side)
        missing = f"--source {source}: no webcam with this number; try another, or check its cable"
        return LiveStream(f"webcam {source}", webcam, open_error=missing, on_problem=on_problem)
    return _stream(source, fps, on_refused, on_problem) or _find(source, fps, max(1, round(hold_s * fps)))


def _stream(
    source: str,
    fps: float,
    on_refused: Callable[[str], None],
    on_problem: Callable[[str | None], None],
) -> LiveStream | None:
    """Return a stream; None if the source is none."""
    written, separator, rest = source.partition("://")
    if not source or (separator and not rest.strip("/")):
        raise UserError(
            f"--source {source or '(empty)'}: name a webcam's number, a file, a folder, or an address with a host"
        )
    scheme = STREAM_SCHEMES.get(written.lower()) if separator else None
    if scheme is None:
        return None
    address, shown, closed = f"{scheme}://{rest}", hide_in_address(source), threading.Event()
    if scheme in {"http", "https"}:
        web = HttpFeed(address, fps, on_refused, closed.wait)
        return LiveStream(shown, web, on_problem=on_problem, closed=closed, address=address)
    return LiveStream(shown, StreamFeed(address), on_problem=on_problem, address=address)


def _find(source: str, fps: float, repeat: int) -> Source:
    if source == SAMPLES_SOURCE or source.startswith(f"{SAMPLES_SOURCE}:"):
        return PictureFolder(_samples(source), repeat)
    path = Path(source)
    try:
        is_there = path.exists()
    except OSError:
        is_there = False
    if not is_there:
        shown = hide_in_address(source)
        raise UserError(
            f"--source {shown}: there is no such file or folder (nor is it a webcam's number or an address)"
        )
    is_picture = path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES
    return PictureFolder(path, repeat) if is_picture else VideoFile(path, fps)


def _samples(source: str) -> Path:
    name = source.partition(":")[2] or DEFAULT_SAMPLES
    if not (SAMPLES / name).is_dir():
        known = ", ".join(sorted(p.name for p in SAMPLES.glob("*") if p.is_dir())) or "none"
        raise UserError(f"--source {hide_in_address(source)}: no such bundled samples; there are: {known}")
    return SAMPLES / name
