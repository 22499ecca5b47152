"""The sizes in which a webcam delivers motion JPEG, and which one to ask it for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# struct v4l2_frmsizeenum of <linux/videodev2.h>: index, pixel format, type, then width and height of a discrete size,
# or the bounds of stepwise ones; reserved.
_FRAME_SIZE = struct.Struct("=III6I2I")
_ENUM_FRAME_SIZES = 0xC02C564A  # _IOWR('V', 74, struct v4l2_frmsizeenum)
_DEVICE = "/dev/video{}"
_MOTION_JPEG = int.from_bytes(b"MJPG", "little")
_DISCRETE = 1
_MAX_MODES = 64
_OTHER_SHAPE = 0.1
"""By which share the aspect ratio may differ: of one that differs more, something would be cut off."""

_SMALLER_AFTER_S = 10.0


class ModeChoice:
    """The size to ask a webcam for: the smallest one of the usual shape that is large enough.

    A larger one is due at once, a smaller one when it has been enough for a while: in between, there are no pictures.
    """

    def __init__(self, number: int, needed_side: Callable[[], int | None]) -> None:
        """Start with the size that the webcam prefers.

        Args:
            number: the webcam's.
            needed_side: returns how long the shorter side of its pictures has to be, in pixels; None for that of the
                size that it prefers.
        """
        self._number = number
        self._needed_side = needed_side
        self._usual: tuple[int, int] | None = None
        self._modes: list[tuple[int, int]] = []
        self._chosen: tuple[int, int] | None = None
        self._smaller_since: float | None = None

    def choose(self, usual: tuple[int, int]) -> tuple[int, int] | None:
        """Return the size to ask for now, as the webcam is opened; None for the usual one.

        Args:
            usual: width and height that the webcam delivers unless asked for others, in pixels.
        """
        # A webcam that has just been plugged in needs a moment: it begins with the usual size.
        is_new = self._usual is None
        self._usual = usual
        self._modes = self._modes or webcam_modes(self._number)
        self._smaller_since = None
        self._chosen = None if is_new else self._wanted()
        return self._chosen

    def is_another_due(self, now: float) -> bool:
        """Return whether the webcam is to be opened again for another size, at `now` on a monotonic clock in s."""
        wanted = self._wanted()
        if wanted == self._chosen or self._usual is None:
            self._smaller_since = None
            return False
        if _pixels(wanted or self._usual) > _pixels(self._chosen or self._usual):
            return True
        self._smaller_since = now if self._smaller_since is None else self._smaller_since
        return now - self._smaller_since >= _SMALLER_AFTER_S

    def _wanted(self) -> tuple[int, int] | None:
        side = self._needed_side()
        if side is None or self._usual is None:
            return None
        found = smallest_mode(self._modes, self._usual, side)
        return None if found == self._usual else found


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def webcam_modes(number: int) -> list[tuple[int, int]]:
    """Return width and height, in pixels, of the sizes in which a webcam delivers motion JPEG; none if unknown."""
    with suppress(OSError, ImportError):
        return list(_modes(Path(_DEVICE.format(number))))
    return []


def _modes(device: Path) -> Iterator[tuple[int, int]]:
    from fcntl import ioctl  # noqa: PLC0415 (there is none on Windows)

    with device.open("rb", buffering=0) as file:
        for index in range(_MAX_MODES):
            asked = _FRAME_SIZE.pack(index, _MOTION_JPEG, *(0,) * 9)
            try:
                answer = ioctl(file, _ENUM_FRAME_SIZES, asked)
            except OSError:
                # There are no more.
                return
            _, _, kind, width, height, *_ = _FRAME_SIZE.unpack(answer)
            if kind != _DISCRETE:
                return
            yield width, height


def smallest_mode(modes: list[tuple[int, int]], usual: tuple[int, int], side: int) -> tuple[int, int] | None:
    """Return the smallest size of the usual shape whose shorter side has at least `side` pixels; None without any.

    Args:
        modes: width and height of each, in pixels.
        usual: the size that the webcam delivers unless asked for another one.
        side: in pixels.
    """
    if min(usual) < 1:
        return None
    ratio = usual[0] / usual[1]
    fitting = [
        (width, height)
        for width, height in modes
        if min(width, height) >= side and abs(width / height / ratio - 1) <= _OTHER_SHAPE
    ]
    return min(fitting, key=lambda size: size[0] * size[1], default=None)
