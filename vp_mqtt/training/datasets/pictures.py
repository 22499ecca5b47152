"""Labelled pictures, in memory or in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt import MAX_PIXELS
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture, PictureError, decode

Labels = NDArray[np.int64]

_REMEDIES = {"picture too large": f"make it smaller, {MAX_PIXELS // 1_000_000} million pixels at most"}


class Pictures(ABC):
    """Labelled pictures.

    Attributes:
        labels: class indices, shape (N,), int64.
    """

    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def picture(self, index: int) -> Picture:
        """Return a picture, shape (height, width, 3), uint8, blue, green, red.

        Raises:
            UserError: it cannot be read.
        """

    @abstractmethod
    def where(self, index: int) -> str:
        """Return where a picture is from, for people."""

    @abstractmethod
    def subset(self, indices: NDArray[np.intp]) -> Pictures:
        """Return those with these indices."""

    @abstractmethod
    def relabelled(self, labels: Labels) -> Pictures:
        """Return the same pictures with other labels, shape (N,), int64."""


class ArrayPictures(Pictures):
    """Pictures of one size, in memory."""

    def __init__(
        self, pictures: NDArray[np.uint8], labels: Labels, source: str, members: NDArray[np.intp] | None = None
    ) -> None:
        """Take pictures and labels.

        Args:
            pictures: shape (M, height, width) for grey, (M, height, width, 3) for red, green, blue; uint8.
            labels: shape (N,), int64.
            source: where they are from, for people.
            members: which of the pictures belong here, shape (N,); by default all.
        """
        self._pictures = pictures
        self.labels = labels
        self._source = source
        # Indices instead of copies: the parts of a set share one array.
        self._members = np.arange(len(pictures)) if members is None else members

    def picture(self, index: int) -> Picture:
        """Return a picture; a grey one with three equal channels."""
        picture = self._pictures[self._members[index]]
        if picture.ndim == 2:  # noqa: PLR2004 (height, width)
            return np.repeat(picture[..., np.newaxis], 3, axis=2)
        return np.ascontiguousarray(picture[..., ::-1])

    def where(self, index: int) -> str:
        """Return the source, and which of its pictures it is, counted from 0."""
        return f"{self._source}, picture {self._members[index]}"

    def subset(self, indices: NDArray[np.intp]) -> ArrayPictures:
        """Return those with these indices."""
        return ArrayPictures(self._pictures, self.labels[indices], self._source, self._members[indices])

    def relabelled(self, labels: Labels) -> ArrayPictures:
        """Return the same pictures with other labels, shape (N,), int64."""
        return ArrayPictures(self._pictures, labels, self._source, self._members)


class PictureFiles(Pictures):
    """Pictures in files, decoded when they are asked for.

    Grey and CMYK ones become colour, 16 bits become 8, transparency is left out, and the orientation that a telephone
    noted (EXIF) is followed: all as on a device.
    """

    def __init__(self, files: Sequence[Path], labels: Labels) -> None:
        """Take files, and labels, shape (N,), int64."""
        self._files = files
        self.labels = labels

    def picture(self, index: int) -> Picture:
        """Return a picture.

        Raises:
            UserError: it cannot be read.
        """
        file = self._files[index]
        try:
            return decode(file.read_bytes())
        except (OSError, PictureError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"{file}: {reason}; {_REMEDIES.get(reason, 'mend it or take it away')}") from None

    def where(self, index: int) -> str:
        """Return the file's path."""
        return str(self._files[index])

    def subset(self, indices: NDArray[np.intp]) -> PictureFiles:
        """Return those with these indices."""
        return PictureFiles([self._files[i] for i in indices], self.labels[indices])

    def relabelled(self, labels: Labels) -> PictureFiles:
        """Return the same pictures with other labels, shape (N,), int64."""
        return PictureFiles(self._files, labels)


class JoinedPictures(Pictures):
    """Several lots of pictures as one."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        """Take the parts, in their order."""
        self._members = [(part, index) for part in parts for index in range(len(part))]
        self.labels = np.concatenate([part.labels for part in parts])

    def picture(self, index: int) -> Picture:
        """Return a picture.

        Raises:
            UserError: it cannot be read.
        """
        part, own = self._members[index]
        return part.picture(own)

    def where(self, index: int) -> str:
        """Return where a picture is from, for people."""
        part, own = self._members[index]
        return part.where(own)

    def subset(self, indices: NDArray[np.intp]) -> JoinedPictures:
        """Return those with these indices."""
        return self._with([self._members[i] for i in indices], self.labels[indices])

    def relabelled(self, labels: Labels) -> JoinedPictures:
        """Return the same pictures with other labels, shape (N,), int64."""
        return self._with(self._members, labels)

    @staticmethod
    def _with(members: list[tuple[Pictures, int]], labels: Labels) -> JoinedPictures:
        joined = JoinedPictures.__new__(JoinedPictures)
        joined._members, joined.labels = members, labels  # noqa: SLF001 (its own)
        return joined


@dataclass(frozen=True)
class Dataset:
    """A set of pictures, split.

    Attributes:
        name: of the set, for people.
        classes: class names by index.
        train: to learn from.
        validation: to choose by.
        test: to judge by, and for nothing else.
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    validation: Pictures
    test: Pictures

    def everything(self) -> Pictures:
        """Return the pictures of all parts."""
        return JoinedPictures([self.train, self.validation, self.test])


def use_one_thread() -> None:
    """Keep OpenCV from starting threads of its own: pictures are read by several threads of ours."""
    cv2.setNumThreads(1)
