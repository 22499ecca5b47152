"""Labelled pictures, in memory or in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from cv2.utils import logging as cv2_logging
from numpy.typing import NDArray

from vp_mqtt import MAX_PIXELS
from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import Picture, PictureError, decode

# Its warnings do not name the file; our errors do.
cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_ERROR)

Labels = NDArray[np.int64]

_REMEDIES = {"picture too large": f"reduce it to at most {MAX_PIXELS // 1_000_000} million pixels"}


class UnusablePictureError(UserError):
    """A picture of a data set cannot be used."""

    hint = "; `vp check-data` lists all that cannot be used"

    @classmethod
    def of(cls, where: str, reason: str) -> UnusablePictureError:
        """Return the error of a picture, by its origin.

        Not the constructor, which PyTorch's data loader calls with the message alone when it raises a worker's error.
        """
        return cls(f"{where}: {reason}; {_REMEDIES.get(reason, 'repair or remove it')}")


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
        """Return a picture, shape (height, width, 3), uint8, BGR.

        Raises:
            UserError: it cannot be read.
        """

    def data(self, index: int) -> bytes | None:
        """Return a picture as it is stored in its file; None where it is not in a file of its own.

        Raises:
            UserError: it cannot be read.
        """
        del index
        return None

    @abstractmethod
    def where(self, index: int) -> str:
        """Return a picture's origin, for messages."""

    @abstractmethod
    def subset(self, indices: NDArray[np.intp]) -> Pictures:
        """Return the pictures with these indices."""

    @abstractmethod
    def relabelled(self, labels: Labels) -> Pictures:
        """Return the same pictures with other labels, shape (N,), int64."""


class ArrayPictures(Pictures):
    """Pictures of one size, in memory."""

    def __init__(
        self, pictures: NDArray[np.uint8], labels: Labels, source: str, members: NDArray[np.intp] | None = None
    ) -> None:
        """Hold pictures and labels.

        Args:
            pictures: shape (M, height, width) for grey, (M, height, width, 3) for RGB; uint8.
            labels: shape (N,), int64.
            source: their origin, for messages.
            members: indices of the pictures that belong to this set, shape (N,); by default all.
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
        """Return the source and the picture's number in it, from 0."""
        return f"{self._source}, picture {self._members[index]}"

    def subset(self, indices: NDArray[np.intp]) -> ArrayPictures:
        """Return the pictures with these indices."""
        return ArrayPictures(self._pictures, self.labels[indices], self._source, self._members[indices])

    def relabelled(self, labels: Labels) -> ArrayPictures:
        """Return the same pictures with other labels, shape (N,), int64."""
        return ArrayPictures(self._pictures, labels, self._source, self._members)


class PictureFiles(Pictures):
    """Pictures in files, decoded on access.

    Grey and CMYK are converted to colour and 16 bits to 8, transparency is dropped, and the orientation in EXIF is
    applied: all as on a board.
    """

    def __init__(self, files: Sequence[Path], labels: Labels) -> None:
        """Hold files and their labels, shape (N,), int64."""
        self._files = files
        self.labels = labels

    def picture(self, index: int) -> Picture:
        """Return a picture.

        Raises:
            UserError: it cannot be read.
        """
        try:
            return decode(self.data(index), formats=FILES)
        except PictureError as error:
            raise self._unusable(index, str(error)) from None

    def data(self, index: int) -> bytes:
        """Return a file's content.

        Raises:
            UserError: it cannot be read.
        """
        try:
            return self._files[index].read_bytes()
        except OSError as error:
            raise self._unusable(index, error.strerror or str(error)) from None

    def _unusable(self, index: int, reason: str) -> UserError:
        return UnusablePictureError.of(str(self._files[index]), reason)

    def where(self, index: int) -> str:
        """Return the file's path."""
        return str(self._files[index])

    def subset(self, indices: NDArray[np.intp]) -> PictureFiles:
        """Return the pictures with these indices."""
        return PictureFiles([self._files[i] for i in indices], self.labels[indices])

    def relabelled(self, labels: Labels) -> PictureFiles:
        """Return the same pictures with other labels, shape (N,), int64."""
        return PictureFiles(self._files, labels)


class JoinedPictures(Pictures):
    """Several sets of pictures as one."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        """Concatenate the sets, in their order."""
        self._members = [(part, index) for part in parts for index in range(len(part))]
        self.labels = np.concatenate([part.labels for part in parts])

    def picture(self, index: int) -> Picture:
        """Return a picture.

        Raises:
            UserError: it cannot be read.
        """
        part, own = self._members[index]
        return part.picture(own)

    def data(self, index: int) -> bytes | None:
        """Return a picture as it is stored in its file; None where it is not in a file of its own.

        Raises:
            UserError: it cannot be read.
        """
        part, own = self._members[index]
        return part.data(own)

    def where(self, index: int) -> str:
        """Return a picture's origin, for messages."""
        part, own = self._members[index]
        return part.where(own)

    def subset(self, indices: NDArray[np.intp]) -> JoinedPictures:
        """Return the pictures with these indices."""
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
    """A labelled data set, split into three parts.

    Attributes:
        name: of the data set.
        classes: class names by index.
        train: for training.
        validation: for choices made during and after training.
        test: for the final evaluation, and nothing else.
        left_out: number of files in its folders that are not used, by kind; see `inference.picture_folders`.
        problems: a message for each class with too few pictures, where a check has let these pass.
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    validation: Pictures
    test: Pictures
    left_out: Counter[str] = field(default_factory=Counter)
    problems: tuple[str, ...] = ()

    def everything(self) -> Pictures:
        """Return the pictures of all parts."""
        return JoinedPictures([self.train, self.validation, self.test])


def use_one_thread() -> None:
    """Keep OpenCV from starting threads: pictures are already read by several threads."""
    cv2.setNumThreads(1)
