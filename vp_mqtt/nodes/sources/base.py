"""What a source of pictures is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from vp_mqtt.inference import pictures
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.picture_formats import SNAPSHOTS
from vp_mqtt.inference.pictures import GreyPicture, Picture


@dataclass(frozen=True, eq=False)
class Captured:
    """A picture from a source: decoded, as JPEG, or both; or in another format.

    Attributes:
        decoded: as `picture`, where the source has it.
        truth: the true class name, if the source knows it.
        jpeg: as the source delivered it.
        encoded: as the source delivered it, where that is no JPEG.
        at: when it is to be shown, in seconds since the source's start, where the source has a time of its own.
        is_early: it was taken before its time, since a frame was asked for.
    """

    decoded: Picture | None = None
    truth: str | None = None
    jpeg: Jpeg | None = None
    encoded: bytes | None = None
    at: float | None = None
    is_early: bool = False

    @cached_property
    def picture(self) -> Picture:
        """Shape (height, width, 3), uint8, blue, green, red; decoded at the first access.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self.decoded is not None:
            return self.decoded
        if self.jpeg is not None:
            return pictures.decode(self.jpeg.data, formats=SNAPSHOTS)
        return pictures.decode(self.encoded or b"", formats=SNAPSHOTS)

    def reduced(self, side: int) -> Picture:
        """Return the picture for a frame whose shorter side is to have at least `side` pixels.

        A JPEG that is far larger is decoded at a half, a quarter or an eighth of its size.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self.decoded is not None or self.jpeg is None or "picture" in self.__dict__:
            return self.picture
        return pictures.decode(self.jpeg.data, side, version=2, formats=SNAPSHOTS)

    def grey(self, side: int) -> GreyPicture:
        """Return the picture's brightness; of a JPEG, only that is decoded.

        Args:
            side: that its shorter side is to have at least, in pixels, if the picture is so large; less than twice.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self.decoded is None and self.jpeg is not None:
            return pictures.shrink_grey(pictures.decode_grey(self.jpeg.data, side), side)
        return pictures.shrink_grey(self.picture, side)


class Source(ABC):
    """Yields pictures; the camera node sets the pace."""

    is_live: ClassVar[bool] = False
    """Whether the source yields pictures of the present, for ever."""

    @abstractmethod
    def open(self) -> None:
        """Open the source.

        Raises:
            UserError: it cannot be opened.
        """

    @abstractmethod
    def captures(self) -> Iterator[Captured]:
        """Yield the pictures from the start to the end of the open source; live sources have no end.

        Raises:
            UserError: the source cannot be read.
        """

    def is_stuck(self, _patience: float) -> bool:
        """Return whether a read has been hanging for more than so many seconds; a source may be without pictures."""
        return False

    def close(self) -> None:  # noqa: B027 (most sources hold nothing)
        """Release whatever the source holds; `captures` ends soon after."""
