"""Notices when boards that should share a variant's frames work on the same ones. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from vp_mqtt.fusion.handover import Place
from vp_mqtt.protocol.frames import FrameId

_REMEMBERED = 256
_ENOUGH = 10


class RepeatedVotes:
    """The newest frames that replicas have voted on, and how many were voted on twice."""

    def __init__(self) -> None:
        """Start without votes."""
        self._frames: dict[tuple[Place, str, FrameId], None] = {}
        self._repeats: dict[Place, tuple[frozenset[str], int]] = {}

    def note(self, place: Place, nodes: AbstractSet[str], camera: str, frame: FrameId) -> bool:
        """Note a vote of a variant whose frames these nodes share.

        Returns:
            Whether so many frames have had two votes that something is to be said, once for the same nodes.
        """
        key = place, camera, frame
        if key not in self._frames:
            self._frames[key] = None
            if len(self._frames) > _REMEMBERED:
                del self._frames[next(iter(self._frames))]
            return False
        known, repeats = self._repeats.get(place, (frozenset(), 0))
        repeats = repeats + 1 if known == nodes else 1
        self._repeats[place] = frozenset(nodes), repeats
        return repeats == _ENOUGH
