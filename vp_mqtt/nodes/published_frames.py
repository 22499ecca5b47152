"""Says in a camera node's status what its frames are like. Pure but for the call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from vp_mqtt.nodes.frame_publisher import FramePublisher
from vp_mqtt.protocol.messages import PublishedFrames

_EVERY_S = 10.0
"""A folder may have a picture of another size each time."""


class PublishedFramesReport:
    """Tells what the frames of a node's cameras are like, when that changes, but not too often."""

    def __init__(self, tell: Callable[[Mapping[str, PublishedFrames]], None]) -> None:
        """Start with nothing told.

        Args:
            tell: called with what has changed.
        """
        self._tell = tell
        self._told: Mapping[str, PublishedFrames] = {}
        self._told_at = -math.inf

    def look(self, publishers: Sequence[FramePublisher], now: float) -> None:
        """Look at the newest frames, at `now` on a monotonic clock in s."""
        is_first = any(one.newest is not None and one.camera not in self._told for one in publishers)
        if not is_first and now - self._told_at < _EVERY_S:
            return
        found = {}
        for publisher in publishers:
            if (frame := publisher.newest) is not None:
                width, height = frame.size
                found[publisher.camera] = PublishedFrames(
                    width=width, height=height, passed_through=frame.is_passed_through
                )
        self._told_at = now
        if found != self._told:
            self._told = found
            self._tell(found)
