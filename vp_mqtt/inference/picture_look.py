"""What a picture looks like to one who labels it: its hash and its mean colour. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from vp_mqtt.inference.near_duplicates import HASH_BITS, MAX_DISTANCE, distance, perceptual_hash
from vp_mqtt.inference.pictures import Picture, decode

_DECODED_SIDE = 64
_HASH_BYTES = HASH_BITS // 8
_BYTES = _HASH_BYTES + 3
_NEAR_COLOUR = 20
"""Levels, 0..255, of the mean of each channel: a red cup is another picture than a blue one."""


@dataclass(frozen=True, slots=True)
class PictureLook:
    """What a picture looks like.

    Attributes:
        hash: perceptual hash of its brightness.
        colour: mean of blue, green and red, 0..255.
    """

    hash: int
    colour: tuple[int, int, int]

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """Return the look of a picture, shape (height, width, 3), uint8."""
        blue, green, red = (round(float(level)) for level in picture.mean((0, 1)))
        return cls(perceptual_hash(picture), (blue, green, red))

    @classmethod
    def of_jpeg(cls, data: bytes) -> Self:
        """Return the look of a JPEG, which is decoded at a fraction of its size.

        Raises:
            PictureError: it is no JPEG, or one that is refused.
        """
        return cls.of(decode(data, _DECODED_SIDE))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return a look that `to_bytes` has made bytes of.

        Raises:
            ValueError: these are no such bytes.
        """
        if len(data) != _BYTES:
            raise ValueError(f"a look has {_BYTES} bytes, not {len(data)}")
        blue, green, red = data[-3:]
        return cls(int.from_bytes(data[:-3], "big"), (blue, green, red))

    def to_bytes(self) -> bytes:
        """Return the look as bytes."""
        return self.hash.to_bytes(_HASH_BYTES, "big") + bytes(self.colour)

    def is_near(self, other: PictureLook) -> bool:
        """Return whether both pictures look the same."""
        if distance(self.hash, other.hash) > MAX_DISTANCE:
            return False
        return all(abs(own - its) <= _NEAR_COLOUR for own, its in zip(self.colour, other.colour, strict=True))
