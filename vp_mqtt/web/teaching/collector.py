"""Looks at the frames of a site as they come, and puts those that are worth it into the queue."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from vp_mqtt.inference.picture_look import PictureLook
from vp_mqtt.inference.pictures import PictureError
from vp_mqtt.overview.frames import SeenFrame
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.history.changes import StoredVote
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.teaching.queue import FrameQueue, Sight
from vp_mqtt.web.teaching.worth import LEAST_WORTH, Pace, worth_of

_LOOK_EVERY_S = 0.25
# Votes may be read shortly after the label that they made.
_SETTLE_S = 0.2
_REMEMBERED = 1024
_PER_MINUTE, _AT_ONCE = 12.0, 6
"""Frames of each camera that are kept."""
_LOOKED_AT_PER_MINUTE, _LOOKED_AT_AT_ONCE = 120.0, 10
"""Frames of each camera that are decoded, to see whether they look like another one."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    sight: Sight
    picture: bytes


class Collector:
    """Fills the queue, in a thread of its own."""

    def __init__(self, listener: Listener, queue: FrameQueue) -> None:
        """Prepare.

        Args:
            listener: hears the site.
            queue: to fill.
        """
        self._listener = listener
        self._queue = queue
        self._pace = Pace(per_minute=_PER_MINUTE, at_once=_AT_ONCE)
        self._looks = Pace(per_minute=_LOOKED_AT_PER_MINUTE, at_once=_LOOKED_AT_AT_ONCE)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._states: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()

    def look(self, now: float) -> int:
        """Look at what is new, now on the monotonic clock; return how many frames were kept."""
        with self._listener.view() as view:
            candidates = [one for camera in view.cameras(now) for one in self._candidates(view, camera, now)]
        return sum(self._keep(one, now) for one in sorted(candidates, key=lambda one: -one.sight.score))

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            self.look(time.monotonic())

    def _candidates(self, view: SiteView, camera: str, now: float) -> list[_Candidate]:
        frames = view.frames(camera)
        changed = self._changed_with(view, camera)
        found = []
        for frame in frames.complete():
            key = camera, frame.frame
            if frame.label is None or key in self._seen or now - frame.label.at < _SETTLE_S:
                continue
            self._seen[key] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            candidate = _describe(view, camera, frame, now, has_changed=frame is changed)
            if candidate is not None:
                found.append(candidate)
        return found

    def _changed_with(self, view: SiteView, camera: str) -> SeenFrame | None:
        """Return the frame that a camera's state has changed with since the last look."""
        state = view.overview.states.get(camera)
        if state is None:
            return None
        before = self._states.get(camera)
        self._states[camera] = state.state.since
        return None if before in {None, state.state.since} else view.frames(camera).picture_of(state.state.label)

    def _keep(self, candidate: _Candidate, now: float) -> bool:
        camera = candidate.sight.camera
        if not self._looks.take(camera, now):
            return False
        try:
            look = PictureLook.of_jpeg(candidate.picture)
        except PictureError:
            return False
        if not self._queue.is_new(camera, look) or not self._pace.take(camera, now):
            return False
        return self._queue.offer(candidate.sight, candidate.picture, look)


def _describe(view: SiteView, camera: str, frame: SeenFrame, now: float, *, has_changed: bool) -> _Candidate | None:
    if frame.label is None or frame.picture is None:
        return None
    label = frame.label.label
    votes = [vote.top[0][0] for vote in frame.votes.values() if vote.top]
    worth = worth_of(label, votes, has_changed=has_changed)
    if worth.score < LEAST_WORTH:
        return None
    named = [vote for vote in view.votes(frame, now) if vote.top]
    closest = label.label or (label.top[0].label if label.top else None)
    sight = Sight(
        camera=camera,
        frame=frame.frame,
        seen=frame.label.wall_time,
        label=closest,
        score=worth.score,
        reasons=tuple(str(reason) for reason in worth.reasons),
        votes=tuple(StoredVote(vote.variant, vote.top[0][0], round(vote.top[0][1], 4)) for vote in named),
    )
    return _Candidate(sight, frame.picture)
