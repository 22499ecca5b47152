"""Where the regions of a camera lie in its picture. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vp_mqtt.protocol.messages import StatusMessage

_USUAL_SIZE = (640, 480)
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_COLOURS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A region in a picture.

    Attributes:
        name: of the region.
        left, top, width, height: in pixels of the whole picture.
        colour: number of its colour.
    """

    name: str
    left: float
    top: float
    width: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Regions to be drawn on a picture.

    Attributes:
        width, height: of the picture, in pixels.
        places: the regions.
    """

    width: int
    height: int
    places: tuple[Place, ...]

    @property
    def text_size(self) -> float:
        """Size of the letters, in pixels of the picture."""
        return round(self.height / 18, 1)


def drawing(status: StatusMessage) -> Drawing:
    """Return the regions of a camera node, drawn on its whole picture."""
    width, height = status.picture or _USUAL_SIZE
    places = []
    for number, (name, (left, top, right, bottom)) in enumerate(_regions(status).items()):
        in_pixels = (left * width, top * height, (right - left) * width, (bottom - top) * height)
        x, y, wide, high = (round(edge, 1) for edge in in_pixels)
        places.append(Place(name, x, y, wide, high, number % _COLOURS))
    return Drawing(width, height, tuple(places))


def on_card(status: StatusMessage, camera: str) -> tuple[Drawing | None, Drawing | None]:
    """Return what to draw on the card of a camera, and where it lies itself.

    Args:
        status: of its node.
        camera: a region of the node's camera, or that itself.

    Returns:
        The other regions, where its picture is the whole one, or None; and itself in the whole picture, or None.
    """
    own = status.camera
    if own is None or camera == own:
        return None, None
    name = camera.removeprefix(f"{own}.")
    edges = _regions(status).get(name)
    if edges is None:
        return None, None
    whole = drawing(status)
    if edges == _WHOLE:
        others = tuple(place for place in whole.places if place.name != name)
        return (Drawing(whole.width, whole.height, others) if others else None), None
    return None, Drawing(whole.width, whole.height, tuple(place for place in whole.places if place.name == name))


def _regions(status: StatusMessage) -> Mapping[str, tuple[float, float, float, float]]:
    return (None if status.settings is None else status.settings.regions) or {}
