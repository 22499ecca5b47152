"""Rectangles of a camera's picture, as settings name them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from vp_mqtt.protocol.settings_values import LEAST_SIDE, MAX_REGIONS
from vp_mqtt.protocol.topics import is_name

_EDGES = 4
_REGION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SEPARATORS = re.compile(r"[\s;]+")


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle of a picture: its edges as shares of the picture's width and height, 0..1, from the upper left.

    Raises:
        ValueError: it is not within the picture, or has no area to speak of.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        edges = (self.left, self.top, self.right, self.bottom)
        if not all(0 <= edge <= 1 for edge in edges):  # not a number, too
            raise ValueError(f"{self}: edges are shares of the picture's width and height, 0 to 1")
        if self.right - self.left < LEAST_SIDE or self.bottom - self.top < LEAST_SIDE:
            raise ValueError(f"{self}: write LEFT,TOP,RIGHT,BOTTOM, each side at least {LEAST_SIDE:g} long")

    def __str__(self) -> str:
        return f"{self.left:g},{self.top:g},{self.right:g},{self.bottom:g}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rectangle that LEFT,TOP,RIGHT,BOTTOM is.

        Raises:
            ValueError: it is none.
        """
        try:
            edges = [float(part) for part in text.split(",")]
        except ValueError:
            edges = []
        if len(edges) != _EDGES:
            raise ValueError(f"{text!r} is not a rectangle; write LEFT,TOP,RIGHT,BOTTOM, such as 0.1,0.2,0.4,0.9")
        return cls(*edges)

    def part(self, rectangle: Rectangle) -> Rectangle:
        """Return where a rectangle of this rectangle's own picture lies in the whole picture."""
        width, height = self.right - self.left, self.bottom - self.top
        left, top = self.left + width * rectangle.left, self.top + height * rectangle.top
        right = min(1.0, max(left + LEAST_SIDE, self.left + width * rectangle.right))
        bottom = min(1.0, max(top + LEAST_SIDE, self.top + height * rectangle.bottom))
        return Rectangle(min(left, right - LEAST_SIDE), min(top, bottom - LEAST_SIDE), right, bottom)

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the edges in pixels of a picture of this size, at least one pixel apart: left, top, right, bottom."""
        left, right = _span(self.left, self.right, width)
        top, bottom = _span(self.top, self.bottom, height)
        return left, top, right, bottom


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(math.floor(start * length + 0.5), length - 1)
    return first, max(first + 1, math.floor(end * length + 0.5))


WHOLE = Rectangle(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a camera's picture that is a camera of its own on the wire.

    Attributes:
        name: what is added to the camera's name, after a dot.
        rectangle: where it is in the picture.

    Raises:
        ValueError: the name is not one.
    """

    name: str
    rectangle: Rectangle

    def __post_init__(self) -> None:
        if _REGION_NAME.fullmatch(self.name) is None:
            raise ValueError(
                f"{self.name!r} is not a region's name: use letters, digits, '_' and '-', the first a letter or digit"
            )

    def __str__(self) -> str:
        return f"{self.name}={self.rectangle}"

    def camera(self, camera: str) -> str:
        """Return the name under which this region of a camera is published."""
        return f"{camera}.{self.name}"


def as_rectangle(value: object) -> object:
    """Return a text, or a list of four numbers, as a rectangle; anything else as it is.

    Raises:
        ValueError: it is no rectangle.
    """
    if isinstance(value, (list, tuple)):
        value = ",".join(str(edge) for edge in value)
    return Rectangle.parse(value) if isinstance(value, str) else value


def as_regions(value: object) -> object:
    """Return regions as a tuple: NAME=LEFT,TOP,RIGHT,BOTTOM, several with spaces between, a list of such, or a table.

    Raises:
        ValueError: it is none, or there are two of one name, or too many.
    """
    if isinstance(value, str):
        value = [part for part in _SEPARATORS.split(value) if part]
    if isinstance(value, Mapping):
        value = [Region(str(name), _checked(as_rectangle(edges))) for name, edges in value.items()]
    if not isinstance(value, (list, tuple)):
        return value
    regions = tuple(_region(part) for part in value)
    names = [region.name for region in regions]
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise ValueError(f"two regions are called {twice!r}: give each its own name")
    if len(regions) > MAX_REGIONS:
        raise ValueError(f"{len(regions)} regions: a camera has at most {MAX_REGIONS}")
    return regions


def _region(value: object) -> Region:
    if isinstance(value, Region):
        return value
    name, equals, edges = str(value).partition("=")
    if not equals:
        raise ValueError(f"{value!r} is not a region; write NAME=LEFT,TOP,RIGHT,BOTTOM, such as door=0.1,0.2,0.4,0.9")
    return Region(name.strip(), Rectangle.parse(edges))


def _checked(value: object) -> Rectangle:
    if not isinstance(value, Rectangle):
        raise ValueError(f"{value!r} is not a rectangle; write [LEFT, TOP, RIGHT, BOTTOM]")  # noqa: TRY004 (pydantic's)
    return value


def region_names(camera: str, regions: tuple[Region, ...]) -> tuple[str, ...]:
    """Return the names under which a camera's frames are published: its own, or those of its regions.

    Raises:
        ValueError: a name is too long.
    """
    names = tuple(region.camera(camera) for region in regions) or (camera,)
    if (wrong := next((name for name in names if not is_name(name)), None)) is not None:
        raise ValueError(f"'{wrong}' is too long for a camera's name: shorten that of the region or the camera")
    return names
