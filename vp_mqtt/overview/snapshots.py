"""The newest whole pictures of cameras, which are published on request only. Pure: the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_MAX_CAMERAS = 16
_MAX_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A camera's whole picture.

    Attributes:
        picture: a JPEG.
        at: when it arrived, on the monotonic clock, in seconds.
        number: another one for each that arrives.
    """

    picture: bytes
    at: float
    number: int


class Snapshots:
    """The newest snapshot of each camera: those that came last, in bounded number and size."""

    def __init__(self) -> None:
        """Start without any."""
        self._newest: OrderedDict[str, Snapshot] = OrderedDict()
        self._count = 0

    def note(self, camera: str, picture: bytes, now: float) -> None:
        """Note a snapshot: a JPEG that has been checked."""
        self._count += 1
        self._newest[camera] = Snapshot(picture, now, self._count)
        self._newest.move_to_end(camera)
        while self._newest and (len(self._newest) > _MAX_CAMERAS or self._bytes() > _MAX_BYTES):
            self._newest.popitem(last=False)

    def get(self, camera: str) -> Snapshot | None:
        """Return the newest snapshot of a camera; None without one."""
        return self._newest.get(camera)

    def _bytes(self) -> int:
        return sum(len(one.picture) for one in self._newest.values())
