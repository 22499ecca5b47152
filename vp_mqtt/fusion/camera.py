"""What the fusion node knows of one camera: the order of its labels, and how far each variant has got. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from collections.abc import Set as AbstractSet

from vp_mqtt.fusion.seen_frames import SeenFrames
from vp_mqtt.fusion.window import Finished, Window
from vp_mqtt.protocol.frames import Announce, FrameId

# A camera starts a new run with every restart; only so many are remembered.
_MAX_RUNS = 16
_NOBODY: frozenset[int] = frozenset()


class Progress:
    """The newest frame of one camera that each variant of one family has voted on, by run of the camera.

    A variant works on the newest frame only: it never votes on older ones afterwards. Newer is what was announced later
    with a higher sequence number: announces can overtake each other, and a sequence number can jump. Runs are kept
    apart: a late vote on a frame from before the camera's restart means nothing for those after it.
    """

    def __init__(self) -> None:
        self._newest: OrderedDict[int, dict[int, tuple[int, int]]] = OrderedDict()
        self._order = 0

    def note_vote(self, variant: int, frame: FrameId, order: int) -> None:
        """Note that the variant has voted on the frame with this place in the order of the announces."""
        self._order = max(self._order, order)
        newest = self._newest.get(frame.run)
        if newest is None:
            newest = self._newest[frame.run] = {}
            if len(self._newest) > _MAX_RUNS:
                self._newest.popitem(last=False)
        last = newest.get(variant)
        if last is None or last[0] < order:
            newest[variant] = order, frame.sequence

    def passed(self, frame: FrameId, order: int) -> AbstractSet[int]:
        """Return the variants that have voted on a newer frame of the same run."""
        newest = self._newest.get(frame.run)
        if newest is None or self._order <= order:
            return _NOBODY
        return {variant for variant, (last, sequence) in newest.items() if last > order and sequence > frame.sequence}


class CameraFrames:
    """The frames of one camera.

    Labels are released in the order of the frames: by sequence within a run, runs by their first announce.

    Attributes:
        last_announce: when the newest frame was announced, in s, on the caller's clock.
        open_windows: how many windows are open.
    """

    def __init__(self, name: str, history: int) -> None:
        """Start without frames.

        Args:
            name: the camera's.
            history: finished frames of which it is remembered when their windows opened.
        """
        self._name = name
        self._history = history
        self._announced = 0
        self._queue: list[Window] = []
        self._seen = SeenFrames()
        self._finished: OrderedDict[FrameId, Finished] = OrderedDict()
        self._progress: dict[bytes, Progress] = {}
        self.last_announce = 0.0
        self.open_windows = 0

    def has_seen(self, frame: FrameId) -> bool:
        """Return whether the frame was announced before."""
        return frame in self._seen

    def open(self, announce: Announce, now: float) -> Window | None:
        """Return the window of a frame that is announced; None if it was announced before."""
        if not self._seen.add(announce.frame):
            return None
        self.last_announce = now
        self.open_windows += 1
        self._announced += 1
        window = Window(self._name, announce, now, self._announced)
        place = len(self._queue)
        # Announces of one run that overtook each other are sorted.
        while place and self._comes_before(window, self._queue[place - 1]):
            place -= 1
        self._queue.insert(place, window)
        return window

    def release(self) -> list[Window]:
        """Remove and return the windows at the head of the queue that are decided, in label order."""
        count = next((n for n, window in enumerate(self._queue) if window.result is None), len(self._queue))
        released = self._queue[:count]
        del self._queue[:count]
        return released

    def up_to(self, windows: Collection[Window]) -> list[Window]:
        """Return the windows, and those whose labels come before one of theirs."""
        wanted = set(windows)
        count = max((place + 1 for place, window in enumerate(self._queue) if window in wanted), default=0)
        return [*self._queue[:count], *(window for window in windows if window.is_labelled)]

    def older(self, frame: FrameId, order: int) -> list[Window]:
        """Return the windows without a label of frames of the same run that were announced before this one."""
        return [window for window in self._queue if window.order < order and window.frame.run == frame.run]

    def finish(self, window: Window) -> None:
        """Remember a frame whose window is removed."""
        self.open_windows -= 1
        self._finished[window.frame] = window.finished()
        if len(self._finished) > self._history:
            self._finished.popitem(last=False)

    def abandon(self) -> None:
        """Forget the windows; frames that were announced stay so."""
        self._queue.clear()
        self.open_windows = 0

    def finished(self, frame: FrameId) -> Finished | None:
        """Return what is remembered of a finished frame; None for other frames."""
        return self._finished.get(frame)

    def note_vote(self, family: bytes, variant: int, frame: FrameId, order: int) -> None:
        """Note that a variant of the family with this digest has voted on an announced frame."""
        progress = self._progress.get(family)
        if progress is None:
            progress = self._progress[family] = Progress()
        progress.note_vote(variant, frame, order)

    def passed(self, family: bytes, window: Window) -> AbstractSet[int]:
        """Return the variants of the family with this digest that have voted on a newer frame of the run."""
        progress = self._progress.get(family)
        return progress.passed(window.frame, window.order) if progress is not None else _NOBODY

    def forget_family(self, family: bytes) -> None:
        """Forget how far the variants of the family with this digest have got."""
        self._progress.pop(family, None)

    @staticmethod
    def _comes_before(window: Window, other: Window) -> bool:
        return window.frame.run == other.frame.run and window.frame.sequence < other.frame.sequence
