"""Classes of one's own, as the pages show them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vp_mqtt.web.teaching.collection import PictureClass
from vp_mqtt.web.teaching.teaching import GOOD, advice

MOST_KEYS = 9
"""Classes that have a key of their own."""


@dataclass(frozen=True, slots=True)
class ClassCard:
    """A class.

    Attributes:
        name: of the class.
        count: of its pictures.
        advice: what would help, for people; empty if nothing would much.
        share: how many of the pictures that are advised there are, 0..100.
        key: that labels with it; empty without one.
        shown: some of its pictures.
    """

    name: str
    count: int
    advice: str
    share: float
    key: str
    shown: tuple[str, ...]


def class_cards(classes: Sequence[PictureClass]) -> list[ClassCard]:
    """Return the cards of classes."""
    return [
        ClassCard(
            name=one.name,
            count=len(one.pictures),
            advice=advice(len(one.pictures)),
            share=min(100.0, 100 * len(one.pictures) / GOOD),
            key=str(number) if number <= MOST_KEYS else "",
            shown=one.pictures[-4:],
        )
        for number, one in enumerate(classes, 1)
    ]
