"""What the fusion node knows of one camera: the order of its labels, and how far each variant has got. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from vp_mqtt.fusion.window import Window
from vp_mqtt.protocol.frames import FrameId

# A camera starts a new run with every restart; only so many are remembered.
_MAX_RUNS = 16


class Progress:
    """The newest announced frame of one camera that each variant of one family has voted on, by run of the camera.

    A variant works on the newest frame only: it never votes on older ones afterwards. Runs are kept apart: a late vote
    on a frame from before the camera's restart means nothing for those after it.
    """

    def __init__(self) -> None:
        self._newest: OrderedDict[int, dict[int, FrameId]] = OrderedDict()

    def note_vote(self, variant: int, frame: FrameId) -> None:
        """Note that the variant has voted on the frame."""
        newest = self._newest.setdefault(frame.run, {})
        if variant not in newest or newest[variant] < frame:
            newest[variant] = frame
        while len(self._newest) > _MAX_RUNS:
            self._newest.popitem(last=False)

    def passed(self, frame: FrameId) -> set[int]:
        """Return the variants that have voted on a newer frame of the same run."""
        return {variant for variant, newest in self._newest.get(frame.run, {}).items() if newest > frame}


class CameraFrames:
    """The frames of one camera.

    Labels are released in the order of the frames: by sequence within a run, runs by their first announce.
    """

    def __init__(self, history: int) -> None:
        """Start without frames.

        Args:
            history: finished frames that are remembered, to recognise late votes and duplicates.
        """
        self._history = history
        self._queue: list[Window] = []
        self._finished: OrderedDict[FrameId, float] = OrderedDict()
        self._progress: dict[bytes, Progress] = {}

    def enqueue(self, window: Window) -> None:
        """Add an announced frame's window; announces of one run that overtook each other are sorted."""
        place = len(self._queue)
        while place and self._is_newer(self._queue[place - 1].frame, window.frame):
            place -= 1
        self._queue.insert(place, window)

    def release(self) -> list[Window]:
        """Remove and return the windows at the head of the queue that are decided, in label order."""
        count = next((n for n, window in enumerate(self._queue) if window.result is None), len(self._queue))
        released = self._queue[:count]
        del self._queue[:count]
        return released

    def up_to(self, windows: Collection[Window]) -> list[Window]:
        """Return the announced windows, and those whose labels come before one of theirs."""
        wanted = set(windows)
        count = max((place + 1 for place, window in enumerate(self._queue) if window in wanted), default=0)
        return [*self._queue[:count], *(window for window in windows if window.is_labelled)]

    def older(self, frame: FrameId) -> list[Window]:
        """Return the windows without a label of older frames of the same run."""
        return [window for window in self._queue if self._is_newer(frame, window.frame)]

    def finish(self, window: Window) -> None:
        """Remember a frame whose window is removed."""
        self._finished[window.frame] = window.opened
        while len(self._finished) > self._history:
            self._finished.popitem(last=False)

    def opened(self, frame: FrameId) -> float | None:
        """Return when the window of a finished frame had opened; None for other frames."""
        return self._finished.get(frame)

    def note_vote(self, family: bytes, variant: int, frame: FrameId) -> None:
        """Note that a variant of the family with this digest has voted on an announced frame."""
        self._progress.setdefault(family, Progress()).note_vote(variant, frame)

    def passed(self, family: bytes, frame: FrameId) -> set[int]:
        """Return the variants of the family with this digest that have voted on a newer frame of the run."""
        progress = self._progress.get(family)
        return progress.passed(frame) if progress is not None else set()

    def forget_family(self, family: bytes) -> None:
        """Forget how far the variants of the family with this digest have got."""
        self._progress.pop(family, None)

    @staticmethod
    def _is_newer(frame: FrameId, than: FrameId) -> bool:
        return frame.run == than.run and frame > than
