"""Windows: what the fusion node knows of each frame until its label is published. Pure: the clock is passed in.

A window opens with the frame's announce or its first vote, and closes at the first of: every variant known to be alive
has voted; no outstanding vote can change the winner; the deadline. Labels come out in frame order per camera, exactly
one for every announced frame.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.fusion.liveness import Roster
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

# Of a camera, remembered: it starts a new one with every restart.
_MAX_RUNS = 16


@dataclass(frozen=True, eq=False, slots=True)
class Closed:
    """The outcome of one window.

    Attributes:
        camera: whose frame it was.
        announce: the camera's announce of the frame.
        opened: when the window opened, in s, on the caller's monotonic clock.
        closed: when it closed, on the same clock.
        votes: by variant index, those that arrived in time.
        alive: variants known to be alive when the window closed, in ascending order.
        winner: the class index, None without a vote.
        scores: shape (classes,), float64, adding up to 1; all equal without a vote.
        closed_by: why it closed.
    """

    camera: str
    announce: Announce
    opened: float
    closed: float
    votes: dict[int, Vote]
    alive: tuple[int, ...]
    winner: int | None
    scores: NDArray[np.float64]
    closed_by: ClosedBy


@dataclass(eq=False, slots=True)
class _Window:
    camera: str
    frame: FrameId
    opened: float
    tally: Tally
    announce: Announce | None = None
    votes: dict[int, Vote] = field(default_factory=dict)
    outcome: Closed | None = None


@dataclass(eq=False, slots=True)
class _Camera:
    queue: list[_Window] = field(default_factory=list)
    """Announced frames whose label is not out yet, in frame order."""
    done: OrderedDict[FrameId, float] = field(default_factory=OrderedDict)
    """When the windows of recent announced frames opened, of frames whose window is no more."""
    newest: OrderedDict[int, dict[int, FrameId]] = field(default_factory=OrderedDict)
    """By run, the newest announced frame that each variant has voted on."""


class Windows:
    """The windows of all cameras.

    Every method that takes `now`, a monotonic clock in s that never goes back, returns the outcomes that are due, in
    the order in which their labels are to be published. `counts` tells what became of what arrived: "announced",
    "votes", "late" (its window was closed), "duplicate_votes", "duplicate_announces", "unannounced" (windows that
    nobody announced), "suspected" and "refused" (too many cameras or open windows).
    """

    def __init__(
        self,
        *,
        weights: Sequence[float],
        classes: int,
        deadline: float,
        suspect_after: int = 3,
        max_cameras: int = 256,
        max_open: int = 4096,
        history: int = 1024,
    ) -> None:
        """Start without windows.

        Args:
            weights: of each variant's vote, by index, each greater than 0.
            classes: how many classes the family knows, at least 2.
            deadline: of a window, in s after it opened, greater than 0.
            suspect_after: frames in a row without a vote after which a variant is no longer waited for.
            max_cameras: cameras that are remembered; the one idle for longest makes room for a new one.
            max_open: windows open at a time.
            history: closed frames remembered per camera, to tell late votes and duplicates.
        """
        self._weights = weights
        self._classes = classes
        self._deadline = deadline
        self._max_cameras = max_cameras
        self._max_open = max_open
        self._history = history
        # Those whose label is not out yet: a closed one is among them while an older frame's label is to come first.
        self._open: dict[tuple[str, FrameId], _Window] = {}
        self._cameras: OrderedDict[str, _Camera] = OrderedDict()
        self.roster = Roster(suspect_after=suspect_after)
        self.counts: Counter[str] = Counter()

    def announce(self, camera: str, announce: Announce, now: float) -> list[Closed]:
        """Take a camera's word that it has published a frame."""
        frame = announce.frame
        window = self._open.get((camera, frame))
        if window is None:
            if self._is_done(camera, frame):
                self.counts["duplicate_announces"] += 1
                return []
            window = self._open_window(camera, frame, now)
            if window is None:
                return []
        if window.announce is not None:
            self.counts["duplicate_announces"] += 1
            return []
        window.announce = announce
        self.counts["announced"] += 1
        queue = self._cameras[camera].queue
        place = len(queue)
        while place and queue[place - 1].frame.run == frame.run and queue[place - 1].frame > frame:
            place -= 1
        queue.insert(place, window)
        older = [other for variant in window.votes for other in self._go_on(window.camera, frame, variant)]
        return self._settle([*older, window], now)

    def vote(self, camera: str, frame: FrameId, variant: int, vote: Vote, now: float) -> list[Closed]:
        """Take a variant's vote, which has been checked against the family.

        Raises:
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        window = self._open.get((camera, frame))
        if window is None and self._is_done(camera, frame):
            return self._late(camera, frame, variant, self._cameras[camera].done[frame], now)
        if window is not None and window.outcome is not None:
            return self._late(camera, frame, variant, window.opened, now)
        if window is None:
            window = self._open_window(camera, frame, now)
            if window is None:
                return []
        if variant in window.votes:
            self.counts["duplicate_votes"] += 1
            return []
        window.tally.add(variant, vote)
        window.votes[variant] = vote
        self.counts["votes"] += 1
        self.roster.heard(variant, now)
        older = self._go_on(camera, frame, variant) if window.announce is not None else []
        return self._settle([*older, window], now)

    def set_node(self, node: str, variant: int, *, online: bool, now: float) -> list[Closed]:
        """Take a variant node's status: a window no longer waits for a variant that is gone."""
        self.roster.set_node(node, variant, online=online, now=now)
        return self._settle(list(self._open.values()), now)

    def suspect(self, variant: int, now: float) -> list[Closed]:
        """No longer wait for the variant until a vote of it arrives in time."""
        self.roster.suspect(variant)
        return self._settle(list(self._open.values()), now)

    def expire(self, now: float) -> list[Closed]:
        """Close the windows whose deadline has fallen."""
        due: list[_Window] = []
        for window in self._open.values():
            if window.opened + self._deadline > now:
                break
            due.append(window)
        suspected = False
        for window in due:
            if window.outcome is None:
                for variant in self._outstanding(window):
                    suspected |= self._note_missed(variant)
        closed: list[Closed] = []
        for window in due:
            # No label comes later than its deadline, and none before an older frame's: that window closes with it.
            for other in self._up_to(window):
                closed += self._close(other, ClosedBy.DEADLINE, now)
        if suspected:
            closed += self._settle(list(self._open.values()), now)
        return closed

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, on the caller's clock; None while no window is open."""
        first = next(iter(self._open.values()), None)
        return None if first is None else first.opened + self._deadline

    def _is_done(self, camera: str, frame: FrameId) -> bool:
        known = self._cameras.get(camera)
        return known is not None and frame in known.done

    def _open_window(self, camera: str, frame: FrameId, now: float) -> _Window | None:
        if not (self._has_room() and self._remember(camera)):
            self.counts["refused"] += 1
            return None
        window = _Window(camera, frame, now, Tally(self._weights, self._classes))
        self._open[camera, frame] = window
        return window

    def _has_room(self) -> bool:
        """Make room for one more window, if need be in place of the oldest that nobody announced."""
        if len(self._open) < self._max_open:
            return True
        key = next((key for key, window in self._open.items() if window.announce is None), None)
        if key is None:
            return False
        del self._open[key]
        self.counts["unannounced"] += 1
        return True

    def _remember(self, camera: str) -> bool:
        """Make the camera the most recent one; False if all that are remembered have windows open."""
        if camera not in self._cameras and len(self._cameras) >= self._max_cameras:
            busy = {window.camera for window in self._open.values()}
            idle = next((name for name in self._cameras if name not in busy), None)
            if idle is None:
                return False
            del self._cameras[idle]
        self._cameras.setdefault(camera, _Camera())
        self._cameras.move_to_end(camera)
        return True

    def _late(self, camera: str, frame: FrameId, variant: int, opened: float, now: float) -> list[Closed]:
        self.counts["late"] += 1
        # Late only because nobody waited for it: had the window been open until its deadline, the vote would count.
        if now - opened <= self._deadline:
            self.roster.heard(variant, now)
        return self._settle(self._go_on(camera, frame, variant), now)

    def _go_on(self, camera: str, frame: FrameId, variant: int) -> list[_Window]:
        """Note that a variant, which works on the newest frame only, votes on no older ones of the camera any more.

        Returns:
            The windows of those older frames, which need not wait for it.
        """
        known = self._cameras[camera]
        # Runs side by side: a late vote on a frame of before the camera's restart says nothing about those after it.
        newest = known.newest.setdefault(frame.run, {})
        if variant not in newest or newest[variant] < frame:
            newest[variant] = frame
        while len(known.newest) > _MAX_RUNS:
            known.newest.popitem(last=False)
        return [other for other in known.queue if other.frame.run == frame.run and other.frame < frame]

    def _up_to(self, window: _Window) -> list[_Window]:
        """Return the open windows whose labels come before a window's, and the window itself."""
        if window.announce is None:
            return [window]
        queue = self._cameras[window.camera].queue
        place = queue.index(window) if window in queue else -1
        return [other for other in queue[: place + 1] if other.outcome is None]

    def _passed(self, window: _Window) -> set[int]:
        """Return the variants that have gone on to a newer frame of the camera."""
        newest = self._cameras[window.camera].newest.get(window.frame.run, {})
        return {variant for variant, frame in newest.items() if frame > window.frame}

    def _outstanding(self, window: _Window) -> set[int]:
        return self.roster.awaited(window.opened) - window.votes.keys() - self._passed(window)

    def _settle(self, windows: list[_Window], now: float) -> list[Closed]:
        """Close those of the windows that need not wait any longer."""
        closed: list[Closed] = []
        for window in windows:
            reason = self._reason_to_close(window)
            if reason is not None:
                closed += self._close(window, reason, now)
        return closed

    def _reason_to_close(self, window: _Window) -> ClosedBy | None:
        if window.announce is None or window.outcome is not None:
            return None
        outstanding = self._outstanding(window)
        if window.votes:
            if not outstanding:
                return ClosedBy.COMPLETE
            return ClosedBy.DECIDED if window.tally.is_decided(outstanding) else None
        return ClosedBy.SKIPPED if not outstanding and self._passed(window) else None

    def _note_missed(self, variant: int) -> bool:
        becomes_suspected = self.roster.missed(variant)
        self.counts["suspected"] += becomes_suspected
        return becomes_suspected

    def _close(self, window: _Window, reason: ClosedBy, now: float) -> list[Closed]:
        camera = self._cameras[window.camera]
        if window.announce is None:
            # Not remembered: should the announce come after all, it opens a window anew.
            del self._open[window.camera, window.frame]
            self.counts["unannounced"] += 1
            return []
        window.outcome = Closed(
            camera=window.camera,
            announce=window.announce,
            opened=window.opened,
            closed=now,
            votes=window.votes,
            alive=tuple(sorted(self.roster.alive())),
            winner=window.tally.winner() if window.votes else None,
            scores=window.tally.scores(),
            closed_by=reason,
        )
        due: list[Closed] = []
        for first in camera.queue:
            if first.outcome is None:
                break
            due.append(first.outcome)
            del self._open[first.camera, first.frame]
            camera.done[first.frame] = first.opened
        del camera.queue[: len(due)]
        while len(camera.done) > self._history:
            camera.done.popitem(last=False)
        return due
