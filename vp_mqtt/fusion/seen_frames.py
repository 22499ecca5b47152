"""The frames of a camera that were announced, so that none gets a second label. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict

from vp_mqtt.protocol.frames import FrameId

# A camera starts a new run with every restart; only so many are remembered, and of each so many gaps.
_MAX_RUNS = 64
_MAX_STRETCHES = 16


class _Run:
    """The sequence numbers of one run, as disjoint stretches in ascending order.

    A camera that counts up makes one stretch, however long it runs. Where there are too many, the smallest gap is
    closed: frames in it count as seen, which can only concern those that come much too late.
    """

    __slots__ = ("_first", "_last")

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def __contains__(self, sequence: int) -> bool:
        place = bisect_right(self._first, sequence) - 1
        return place >= 0 and sequence <= self._last[place]

    def add(self, sequence: int) -> bool:
        first, last = self._first, self._last
        place = bisect_right(first, sequence) - 1
        if place >= 0 and sequence <= last[place]:
            return False
        continues = place >= 0 and last[place] == sequence - 1
        precedes = place + 1 < len(first) and first[place + 1] == sequence + 1
        if continues and precedes:
            self._close_gap(place)
        elif continues:
            last[place] = sequence
        elif precedes:
            first[place + 1] = sequence
        else:
            first.insert(place + 1, sequence)
            last.insert(place + 1, sequence)
            if len(first) > _MAX_STRETCHES:
                gaps = [following - end for end, following in zip(last[:-1], first[1:], strict=True)]
                self._close_gap(gaps.index(min(gaps)))
        return True

    def _close_gap(self, place: int) -> None:
        self._last[place] = self._last.pop(place + 1)
        del self._first[place + 1]


class SeenFrames:
    """The announced frames of one camera, in bounded memory.

    A sequence number that jumps, up to the largest one, is a frame like any other: those after it are new frames still.
    """

    def __init__(self) -> None:
        """Start without frames."""
        self._runs: OrderedDict[int, _Run] = OrderedDict()

    def __contains__(self, frame: FrameId) -> bool:
        run = self._runs.get(frame.run)
        return run is not None and frame.sequence in run

    def add(self, frame: FrameId) -> bool:
        """Note an announced frame; return whether it is new."""
        run = self._runs.get(frame.run)
        if run is None:
            run = self._runs[frame.run] = _Run()
            if len(self._runs) > _MAX_RUNS:
                self._runs.popitem(last=False)
        else:
            self._runs.move_to_end(frame.run)
        return run.add(frame.sequence)
