"""Where a camera node's pictures come from: webcam, video file, stream, folder of pictures, bundled samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import PICTURE_SUFFIXES
from vp_mqtt.masking import hide_in_address
from vp_mqtt.nodes.sources.base import Captured, Source
from vp_mqtt.nodes.sources.files import PictureFolder, VideoFile
from vp_mqtt.nodes.sources.live import LiveStream

__all__ = ["DEFAULT_SAMPLES", "SAMPLES", "STREAM_SCHEMES", "Captured", "LiveStream", "Source", "open_source"]

SAMPLES = Path(__file__).parents[2] / "assets" / "samples"
DEFAULT_SAMPLES = "fashion-mnist"
STREAM_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "udp://", "tcp://")


def open_source(
    source: str, *, size: tuple[int, int] | None = None, on_refused: Callable[[str], None] = lambda _: None
) -> Source:
    """Open what `--source` names.

    Args:
        source: a webcam's number, a stream's address, a file, a folder, or "samples" (or "samples:BUNDLE").
        size: width and height to ask a webcam for, in pixels; it may deliver others.
        on_refused: called with the reason for every picture of a live source that is skipped, in any thread.

    Raises:
        UserError: there is no such thing, or it cannot be read.
    """
    found = _find(source, size, on_refused)
    found.open()
    return found


def _find(source: str, size: tuple[int, int] | None, on_refused: Callable[[str], None]) -> Source:
    if source == "samples" or source.startswith("samples:"):
        return PictureFolder(_samples(source))
    if source.isdecimal():
        return LiveStream(int(source), size=size, on_refused=on_refused)
    if source.startswith(STREAM_SCHEMES):
        return LiveStream(source, on_refused=on_refused)
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
    return PictureFolder(path) if path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES else VideoFile(path)


def _samples(source: str) -> Path:
    name = source.partition(":")[2] or DEFAULT_SAMPLES
    if not (SAMPLES / name).is_dir():
        known = ", ".join(sorted(p.name for p in SAMPLES.glob("*") if p.is_dir())) or "none"
        raise UserError(f"--source {hide_in_address(source)}: no such bundled samples; there are: {known}")
    return SAMPLES / name
