"""Checks a data set before a long training: pictures that cannot be read, leaks between parts, contradictory labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_folders import describe_left_out
from vp_mqtt.training.datasets.damage import can_find_damage, find_damage
from vp_mqtt.training.datasets.pictures import Dataset, UnusablePictureError, use_one_thread
from vp_mqtt.training.parallel import map_pictures

_DIGEST_BYTES = 16
_PART_TITLES = {"to learn from": "for training", "to choose by": "for validation", "to judge by": "for test"}
"""By the keys of the JSON report."""


@dataclass(frozen=True)
class DatasetReport:
    """Contents and defects of a data set.

    Attributes:
        name: of the data set.
        classes: number of classes.
        parts: number of pictures in each part, by the keys of `_PART_TITLES`.
        per_class: fewest and most pictures of a class.
        smallest: height and width of the picture with the shortest side, in pixels; None if none can be read.
        largest: height and width of the picture with the most pixels; None if none can be read.
        unusable: an error message for each class folder and each picture that cannot be used.
        leaks: pairs of identical pictures, one in the training or validation part, one in the test part.
        contradictions: pairs of identical pictures with different labels.
        left_out: number of files that are not used, by kind.
        finds_damage: whether JPEGs that are damaged in the middle were looked for.
    """

    name: str
    classes: int
    parts: dict[str, int]
    per_class: tuple[int, int]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    unusable: list[str]
    leaks: list[tuple[str, str]]
    contradictions: list[tuple[str, str]]
    left_out: dict[str, int]
    finds_damage: bool

    @property
    def is_fine(self) -> bool:
        """Whether all pictures can be used, without leaks and contradictions."""
        return not (self.unusable or self.leaks or self.contradictions)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for `vp check-data --json`."""
        return {"fine": self.is_fine, **self.__dict__}

    def lines(self, most: int) -> Iterator[str]:
        """Yield the report as lines of text.

        Args:
            most: number of pictures to list of each kind of defect.
        """
        counts = ", ".join(f"{count} {_PART_TITLES[part]}" for part, count in self.parts.items())
        fewest, most_pictures = self.per_class
        per_class = f"{fewest}" if fewest == most_pictures else f"{fewest} to {most_pictures}"
        yield f"'{self.name}': {self.classes} classes of {per_class} pictures ({counts})"
        if self.smallest and self.largest:
            (low_h, low_w), (high_h, high_w) = self.smallest, self.largest
            yield f"from {low_w} x {low_h} to {high_w} x {high_h} pixels"
        if self.left_out:
            yield f"left out: {describe_left_out(self.left_out)}"
        yield from _some(f"{len(self.unusable)} cannot be used:", self.unusable, most)
        yield from _some(
            f"{len(self.leaks)} in the test part are also in the training or validation part:",
            [f"{one} is {other}" for one, other in self.leaks],
            most,
        )
        yield from _some(
            f"{len(self.contradictions)} are in two classes:",
            [f"{one} is {other}" for one, other in self.contradictions],
            most,
        )
        if not self.finds_damage:
            yield "JPEGs that are damaged in the middle were not looked for: `pip install simplejpeg`"
        if self.is_fine:
            yield "all other pictures can be used" if self.left_out else "all pictures can be used"


def _some(title: str, items: list[str], most: int) -> Iterator[str]:
    if items:
        yield title
        yield from (f"  {item}" for item in items[:most])
        if len(items) > most:
            yield f"  .. and {len(items) - most} more; --json lists all"


def check_dataset(dataset: Dataset) -> DatasetReport:
    """Read every picture of a data set once, in as many threads as there are cores."""
    use_one_thread()
    parts = dict(zip(_PART_TITLES, (dataset.train, dataset.validation, dataset.test), strict=True))
    pictures = dataset.everything()
    starts = np.cumsum([len(part) for part in parts.values()])

    finds_damage = can_find_damage()

    def read(index: int) -> tuple[bytes, tuple[int, int]] | str:
        try:
            # Before OpenCV decodes it, which would let libjpeg complain without the file's name.
            damage = find_damage(pictures.data(index)) if finds_damage else None
            if damage is not None:
                return str(UnusablePictureError.of(pictures.where(index), f"damaged ({damage})"))
            picture = pictures.picture(index)
        except UserError as error:
            return str(error)
        digest = hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=_DIGEST_BYTES)
        digest.update(repr(picture.shape).encode())
        return digest.digest(), (picture.shape[0], picture.shape[1])

    unusable = list(dataset.problems)
    sizes: set[tuple[int, int]] = set()
    alike: dict[bytes, list[int]] = defaultdict(list)
    for index, found in enumerate(map_pictures(read, len(pictures), "reading")):
        if isinstance(found, str):
            unusable.append(found)
        else:
            alike[found[0]].append(index)
            sizes.add(found[1])
    leaks: list[tuple[str, str]] = []
    contradictions: list[tuple[str, str]] = []
    for first, *others in alike.values():
        for other in others:
            pair = (pictures.where(first), pictures.where(other))
            if first < starts[1] <= other:
                leaks.append(pair)
            if pictures.labels[first] != pictures.labels[other]:
                contradictions.append(pair)
    per_class = np.bincount(pictures.labels, minlength=len(dataset.classes))
    return DatasetReport(
        name=dataset.name,
        classes=len(dataset.classes),
        parts={name: len(part) for name, part in parts.items()},
        per_class=(int(per_class.min()), int(per_class.max())),
        smallest=min(sizes, key=min, default=None),
        largest=max(sizes, key=lambda size: size[0] * size[1], default=None),
        unusable=unusable,
        leaks=leaks,
        contradictions=contradictions,
        left_out=dict(dataset.left_out),
        finds_damage=finds_damage,
    )
