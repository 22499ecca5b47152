"""How large frames have to be for the boards that look at them, and which pictures are made smaller. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vp_mqtt.protocol.messages import State, StatusMessage

Encoding = Literal["auto", "never", "always"]
"""Whether pictures that are larger than needed are encoded anew: where that pays, not at all, or all of them."""

LEAST_SIDE = 256
"""Frames are not made smaller than this, in pixels of their shorter side: people look at them, and teach with them."""

_MAX_BOARDS = 1024
# Of a picture that is encoded anyway, and of a JPEG that could be published as it is.
_SPARE, _SPARE_OF_JPEG = 1.25, 1.5
_PAYS_FROM_BOARDS = 2


@dataclass(frozen=True, slots=True)
class Need:
    """What the boards of a site need.

    Attributes:
        side: the largest square that any of them resizes frames to, in pixels; None where that is not known.
        boards: how many look at frames.
    """

    side: int | None = None
    boards: int = 0


class BoardNeeds:
    """The needs of the boards that are online, from their statuses.

    A board that does not say what it needs, and more boards than can be remembered, need pictures as they are: what
    others publish never makes frames smaller than a board says that it needs.

    Attributes:
        newest: of all boards together; may be read in any thread.
    """

    def __init__(self) -> None:
        """Start without boards."""
        self._sides: dict[str, int | None] = {}
        self._has_overflowed = False
        self.newest = Need()

    def note(self, status: StatusMessage) -> None:
        """Note a node's status."""
        # A board without a bundle has no model to look with.
        looks = status.role == "variant" and status.state is State.ONLINE and status.bundle is not None
        if not looks:
            self.forget(status.node)
            return
        if status.node not in self._sides and len(self._sides) >= _MAX_BOARDS:
            self._has_overflowed = True
        else:
            self._sides[status.node] = status.frame_side
        self._sum_up()

    def forget(self, node: str) -> None:
        """Note that a node is no longer there."""
        if self._sides.pop(node, 0) != 0:
            self._sum_up()

    def clear(self) -> None:
        """Note that nothing is known any more."""
        self._sides.clear()
        self._has_overflowed = False
        self._sum_up()

    def _sum_up(self) -> None:
        sides = [side for side in self._sides.values() if side is not None]
        is_known = bool(sides) and len(sides) == len(self._sides) and not self._has_overflowed
        self.newest = Need(max(sides) if is_known else None, len(self._sides))


class FrameSizes:
    """Decides how large frames are published."""

    def __init__(self, encoding: Encoding, side: int | None, needs: BoardNeeds) -> None:
        """Set the rules.

        Args:
            encoding: which pictures are encoded anew.
            side: the shorter side that is needed, in pixels, whatever boards say; None for what they say.
            needs: of the boards.
        """
        self._encoding = encoding
        self._side = side
        self._needs = needs

    @property
    def side(self) -> int | None:
        """How long the shorter side of a frame has to be, in pixels; None for that of the picture."""
        if self._encoding == "never":
            return None
        if self._side is not None:
            return self._side
        needed = self._needs.newest.side
        return None if needed is None else max(needed, LEAST_SIDE)

    def reduced(self, size: tuple[int, int], side: int) -> tuple[int, int] | None:
        """Return the size to give a picture that is encoded anyway; None if it is not worth while.

        Args:
            size: its width and height, in pixels.
            side: of the frame, see there.
        """
        shorter = min(size)
        if shorter < _SPARE * side:
            return None
        width, height = (max(side, round(length * side / shorter)) for length in size)
        return width, height

    def pays_for_jpeg(self, size: tuple[int, int], side: int) -> bool:
        """Return whether it pays to encode a JPEG anew that could be published as it is.

        What it takes here is saved by the boards if there are enough of them. A board that is alone waits longer.

        Args:
            size: its width and height, in pixels.
            side: of the frame, see there.
        """
        if self._encoding == "always":
            return min(size) >= _SPARE * side
        has_boards = self._needs.newest.boards >= _PAYS_FROM_BOARDS
        return has_boards and min(size) >= _SPARE_OF_JPEG * side
