"""One picture of a camera's source, as it is published, and where the regions lie in it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import cv2
import numpy as np

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.regions import WHOLE, Rectangle
from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.inference.pictures import Picture, PictureError
from vp_mqtt.masking import hide_in_address
from vp_mqtt.nodes.camera import webcam_size
from vp_mqtt.nodes.sources import LiveStream, Source, open_source
from vp_mqtt.nodes.views import View

_PATIENCE_S = 20.0
_POLL_S = 0.02
# A webcam adjusts its exposure first.
_SETTLED_PICTURES, _SETTLED_S = 10, 2.0
_COLOURS = ((80, 220, 60), (60, 160, 255), (255, 160, 60), (220, 80, 255), (60, 230, 230), (255, 220, 60))
_MOTION_COLOUR = (255, 255, 255)
_BLACK = (0, 0, 0)
_SUFFIXES = (".jpg", ".jpeg", ".png")


def take_picture(settings: CameraSettings) -> Picture:
    """Return a picture of the source, turned and mirrored as it is published, whole.

    Raises:
        UserError: the source cannot be opened or read, or has no picture in time.
    """
    address = settings.read_source()
    shown = hide_in_address(address)
    source = open_source(address, fps=settings.fps, size=webcam_size(settings))
    try:
        let_settle(source, shown)
        captured = next(source.captures(), None)
        if captured is None:
            raise UserError(f"{shown} has no pictures")
        return View(rotate=settings.rotate, mirror=settings.mirror).of(captured.picture)
    except PictureError as error:
        raise UserError(f"{shown}: {error}") from None
    finally:
        source.close()


def let_settle(source: Source, shown: str) -> None:
    """Wait until a live source has adjusted its exposure.

    Args:
        source: an open one; others than live ones need no time.
        shown: what to call it.

    Raises:
        UserError: no pictures come.
    """
    if not isinstance(source, LiveStream):
        return
    started = time.monotonic()
    first: float | None = None
    while source.pictures_seen < _SETTLED_PICTURES and (first is None or time.monotonic() - first < _SETTLED_S):
        if first is None and source.pictures_seen:
            first = time.monotonic()
        if first is None and time.monotonic() - started > _PATIENCE_S:
            raise UserError(f"no pictures from {shown} for {_PATIENCE_S:g} s: {source.problem}")
        time.sleep(_POLL_S)


def draw_regions(picture: Picture, settings: CameraSettings) -> Picture:
    """Return a picture with the outlines and names of the regions, and in white where motion is looked for.

    Args:
        picture: whole, as it is published; shape (height, width, 3), uint8.
        settings: the camera's.
    """
    drawn = np.ascontiguousarray(picture).copy()
    for number, region in enumerate(settings.region):
        _draw(drawn, region.rectangle, _COLOURS[number % len(_COLOURS)], region.camera(settings.camera))
    if settings.motion_gate and settings.motion_region != WHOLE:
        for rectangle in [region.rectangle for region in settings.region] or [WHOLE]:
            _draw(drawn, rectangle.part(settings.motion_region), _MOTION_COLOUR, "motion", is_inner=True)
    return drawn


def _draw(
    picture: Picture, rectangle: Rectangle, colour: tuple[int, int, int], text: str, *, is_inner: bool = False
) -> None:
    height, width = picture.shape[:2]
    left, top, right, bottom = rectangle.pixels(width, height)
    thick = max(1, round(min(width, height) / 240))
    if is_inner:
        # The outline around it is to show, too.
        left, top, right, bottom = left + 4 * thick, top + 4 * thick, right - 4 * thick, bottom - 4 * thick
    # Light on dark, so that it shows on every background.
    for ink, extra in ((_BLACK, 2), (colour, 0)):
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), ink, thick + extra)
    scale = 0.45 * thick
    (text_width, text_height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    # The inner name is at the bottom: the other one may be above.
    base = bottom - 3 * thick - below if is_inner else top + 3 * thick + text_height
    start = left + 3 * thick
    cv2.rectangle(picture, (start, base - text_height), (start + text_width, base + below), _BLACK, cv2.FILLED)
    cv2.putText(picture, text, (start, base), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)


def check_not_source(path: Path, settings: CameraSettings) -> None:
    """Check that a picture does not take the place of what it is made from.

    Args:
        path: to write to.
        settings: the camera's.

    Raises:
        UserError: it is the source, or one of its pictures.
    """
    source = Path(settings.read_source())
    with contextlib.suppress(OSError):  # most addresses are no files
        if path.exists() and (source.samefile(path) or path.resolve().is_relative_to(source.resolve(strict=True))):
            raise UserError(f"--out {path}: this is a picture of the source; name another file")


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture, in the format that the file's suffix names.

    Raises:
        UserError: there is no such format, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UserError(f"--out {path}: name a file that ends in {', '.join(_SUFFIXES)}")
    _, data = cv2.imencode(suffix, picture)
    try:
        write_atomically(path, data.tobytes())
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror or error}") from None
