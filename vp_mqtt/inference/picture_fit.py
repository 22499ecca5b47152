"""Whether a camera's pictures are of the kind that a family learned from. Pure.

A family for grey pictures of 28x28 gives labels to a webcam's pictures, too; they mean nothing. What tells: the size of
the pictures, and whether they have colours. A picture that is dark or even tells nothing about colours: a camera sees
no colours at night.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vp_mqtt.inference.pictures import Picture

SIDE_KEY, GREY_KEY = "picture_side", "picture_grey"
"""In a bundle's provenance: the median of the shorter sides, in pixels, and the share of grey pictures, 0..1."""
LOOK_EVERY_S = 1.0

_GRID = 32
"""So many rows and columns of a picture are looked at, at most."""
_DARK, _EVEN = 24.0, 8.0
"""A mean brightness, and a standard deviation of it, below which a picture tells nothing, in grey levels of 255."""
_COLOURED = 6.0
"""The mean distance between a pixel's largest and smallest channel, in grey levels, from which it has colours."""
_GREY = 6.0
"""The largest such distance in a grey picture: JPEG rounds."""
_LOOKS, _ENOUGH, _NEARLY_ALL = 20, 10, 0.9
_HALF, _FEW = 0.5, 0.25
"""A camera whose pictures differ is not to be warned of again and again: what was true of most ends with fewer."""
_MOSTLY_GREY, _HARDLY_GREY = 0.95, 0.25
_TINY = 3.0
"""So many times smaller than what the family learned from, or four times larger where that was small."""
_SMALL_SIDE, _HUGE = 64, 4.0
_LARGEST_SIDE = 100_000
_IN_COLOUR, _SMALLER, _LARGER = "in colour", "far smaller", "far larger"
"""What pictures are; without their size, which may be another with each, while this is retained in a status."""


@dataclass(frozen=True, slots=True)
class Learned:
    """The pictures that a family learned from.

    Attributes:
        side: their shorter side, in pixels, in the median; None if it is not known.
        grey: the share of grey ones, 0..1; None if it is not known.
    """

    side: float | None = None
    grey: float | None = None

    def __str__(self) -> str:
        colours = {True: "grey", False: "colour"}.get(self.grey is not None and self.grey >= _MOSTLY_GREY)
        size = "" if self.side is None else f" about {self.side:g} pixels high or wide"
        return f"{'' if self.grey is None else f'{colours} '}pictures{size}"


_KNOWN = {
    "caltech101": Learned(217, 0.04),
    "cifar10": Learned(32, 0.02),
    "cifar100": Learned(32, 0.02),
    "fashion-mnist": Learned(28, 1.0),
    "svhn": Learned(32, 0.0),
}
"""Data sets of bundles from before their provenance said it."""


def learned_from(provenance: Mapping[str, str | int | float]) -> Learned:
    """Return what a bundle's provenance says of the pictures that its family learned from."""
    side, grey = provenance.get(SIDE_KEY), provenance.get(GREY_KEY)
    # A bundle may say anything: not every integer fits into a float.
    if isinstance(side, int | float) and isinstance(grey, int | float) and 0 < side <= _LARGEST_SIDE and 0 <= grey <= 1:
        return Learned(float(side), float(grey))
    return _KNOWN.get(str(provenance.get("dataset")), Learned())


def describe(pictures: Iterable[Picture]) -> dict[str, int | float]:
    """Return what a bundle's provenance is to say of the pictures that its family learns from; nothing without any."""
    looks = [look_at(picture, min(picture.shape[:2])) for picture in pictures]
    telling = [look for look in looks if look.is_grey or look.is_coloured]
    if not telling:
        return {}
    grey = sum(look.is_grey for look in telling) / len(telling)
    return {SIDE_KEY: int(np.median([look.side for look in looks])), GREY_KEY: round(grey, 2)}


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture looks like; neither grey nor coloured: it does not tell.

    Attributes:
        side: its shorter side, in pixels.
        is_grey: whether it has no colours at all.
        is_coloured: whether it clearly has colours.
    """

    side: int
    is_grey: bool
    is_coloured: bool


def look_at(picture: Picture, side: int) -> Look:
    """Look at a picture.

    Args:
        picture: shape (height, width, 3), uint8, maybe reduced.
        side: the shorter side of the whole picture, in pixels.
    """
    height, width = picture.shape[:2]
    part = picture[:: max(1, height // _GRID), :: max(1, width // _GRID)].astype(np.int16)
    distance = part.max(axis=2) - part.min(axis=2)
    brightness = part.mean(axis=2)
    if brightness.mean() < _DARK or brightness.std() < _EVEN:
        return Look(side, is_grey=False, is_coloured=False)
    return Look(side, is_grey=bool(distance.max() <= _GREY), is_coloured=bool(distance.mean() >= _COLOURED))


class CameraFit:
    """The last looks at the pictures of a camera."""

    def __init__(self) -> None:
        """Start without any."""
        self._sides: deque[int] = deque(maxlen=_LOOKS)
        self._coloured: deque[bool] = deque(maxlen=_LOOKS)
        self._had_colours = False
        self._learned: tuple[Learned, int] | None = None
        self._found: frozenset[str] = frozenset()
        self._next_look = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether it is time for another look, at `now` on a monotonic clock in seconds."""
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_EVERY_S
        return True

    def note(self, look: Look) -> None:
        """Note a look."""
        self._sides.append(look.side)
        if look.is_grey or look.is_coloured:
            self._coloured.append(look.is_coloured)
            self._had_colours |= look.is_coloured

    def misfit(self, learned: Learned, resolution: int) -> str | None:
        """Return what the pictures are that the family has not learned from; None if they fit, or nobody knows.

        Args:
            learned: what it learned from.
            resolution: at which it has seen that, at most, in pixels.
        """
        if self._learned != (learned, resolution):
            self._learned, self._found = (learned, resolution), frozenset()
        found = [*self._wrong_colours(learned), *self._wrong_size(learned, resolution)]
        self._found = frozenset(found)
        return " and ".join(found) or None

    def _wrong_colours(self, learned: Learned) -> list[str]:
        if learned.grey is None or len(self._coloured) < _ENOUGH:
            return []
        coloured = sum(self._coloured) / len(self._coloured)
        if learned.grey >= _MOSTLY_GREY and coloured >= (_HALF if _IN_COLOUR in self._found else _NEARLY_ALL):
            return [_IN_COLOUR]
        # A camera that ever had colours is one that sees none at night.
        return ["grey"] if learned.grey <= _HARDLY_GREY and not self._had_colours else []

    def _wrong_size(self, learned: Learned, resolution: int) -> list[str]:
        if learned.side is None or len(self._sides) < _ENOUGH:
            return []
        # Of larger pictures, it has seen no more than its own resolution.
        seen = min(learned.side, resolution)
        tiny = sum(side * _TINY < seen for side in self._sides)
        huge = sum(learned.side <= _SMALL_SIDE and side >= _HUGE * learned.side for side in self._sides)
        shares = {_SMALLER: tiny / len(self._sides), _LARGER: huge / len(self._sides)}
        return [name for name, share in shares.items() if share >= (_FEW if name in self._found else _HALF)]


def warning(camera: str, misfit: str, family: str, learned: Learned) -> str:
    """Return what to tell people of a camera whose pictures do not fit, and what to do."""
    return (
        f"the pictures of camera '{camera}' are {misfit}, but '{family}' learned from {learned}: its labels may mean "
        "nothing; run another family (--bundle of vp-fusion and every vp-node, or vp push), or train one on pictures "
        "of this camera"
    )
