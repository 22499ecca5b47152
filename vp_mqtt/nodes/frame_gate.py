"""Leaves the frames of a camera that floods at the broker, so that other cameras' frames are not delayed by them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from functools import lru_cache

from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.flood_guard import STRANGERS, FloodGuard, Limit, Verdict
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.source_subscriptions import SourceSubscriptions
from vp_mqtt.protocol import topics

LIMIT = Limit(burst=150, per_second=300.0)
"""What one camera may send: as many frames as the fusion node takes announces."""
USUAL_BYTES = 200_000
"""A frame of n times so many bytes counts as n frames: no camera sends more than 60 MB/s for long."""
STRANGERS_LIMIT = Limit(burst=256, per_second=20.0)
"""What all cameras may send together that are not known yet, or have no place."""
MAX_CAMERAS = 1024
_IDLE_S = 600.0
"""A camera keeps its place for this long without a frame, if another one wants it."""
_KNOWN, _STRANGER = "known", "stranger"


class FrameGate:
    """Subscribes to the frames of all cameras, and bounds their rate and bytes before they wait for their turn.

    What a camera sends is worked on as fast as the board can. But each message takes time of the network's thread, and
    of the interpreter that the thread shares with the work, however small it is.
    """

    def __init__(
        self,
        node: Node,
        *,
        cameras: Collection[str] | None,
        block_s: float = 10.0,
        topic: Callable[[str], str] | None = None,
    ) -> None:
        """Subscribe.

        Args:
            node: which subscribes.
            cameras: the only ones whose frames are of interest; None for those that come first.
            block_s: for how long a camera's frames are left at the broker, in s; up to eight times as long if it
                floods again.
            topic: returns the filter for a camera's frames; None for their topic.
        """
        self._guard = FloodGuard(
            {_KNOWN: LIMIT, _STRANGER: STRANGERS_LIMIT}, block_s=block_s, longest_block_s=8 * block_s
        )
        self._only = None if cameras is None else frozenset(cameras)
        # When each camera sent its last frame, in s, and that which has been idle for longest first.
        self._cameras: dict[str, float] = {}
        self._lock = threading.Lock()
        self._subscriptions = SourceSubscriptions(
            node,
            topic or node.topics.frame,
            lambda: self._cameras if self._only is None else self._only,
            qos=0,
            retained=False,
            has_wildcard=cameras is None,
        )

    def may_pass(self, topic: str, now: float, size: int = 0) -> bool:
        """Return whether a frame is to be looked at.

        Args:
            topic: on which it arrived.
            now: when, in s on the monotonic clock.
            size: in bytes.
        """
        camera = _camera(topic)
        with self._lock:
            is_known = camera in (self._cameras if self._only is None else self._only)
            source = (_KNOWN, camera) if is_known else (_STRANGER, STRANGERS)
            # The first frame of each camera is one of a stranger, however large.
            verdict = self._guard.check(source, now, max(1.0, size / USUAL_BYTES) if is_known else 1.0)
            if verdict is Verdict.ACCEPT:
                self._note(camera, now)
            if verdict is Verdict.BLOCK:
                self._block(source, now)
        return verdict is Verdict.ACCEPT

    def note_arrival(self) -> None:
        """Note that a frame is in the inbox."""

    def note_work(self, seconds: float) -> None:
        """Note how long a frame has taken, in s."""

    def set_open(self, *, is_open: bool) -> None:
        """Leave all frames at the broker, or no longer."""
        with self._lock:
            self._subscriptions.set_open(is_open=is_open)

    def _note(self, camera: str, now: float) -> None:
        """Give a camera a place, if need be that of one that has long been idle."""
        if camera == STRANGERS or self._only is not None:
            return
        if camera not in self._cameras and len(self._cameras) >= MAX_CAMERAS:
            oldest = next(iter(self._cameras))
            if now - self._cameras[oldest] < _IDLE_S:
                return
            del self._cameras[oldest]
        self._cameras.pop(camera, None)
        self._cameras[camera] = now

    def _block(self, source: tuple[str, str], now: float) -> None:
        _, name = source
        shown = f"'{name}'" if name else "unknown cameras"
        LOGGER.warning("the frames of %s flood: they are left at the broker for a while", shown)
        self._subscriptions.block(name)
        due = self._guard.blocked_until(source)
        timer = threading.Timer(due - now, self._unblock, [due])
        timer.daemon = True
        timer.start()

    def _unblock(self, due: float) -> None:
        with self._lock:
            for _, name in sorted(self._guard.unblock(max(due, time.monotonic()))):
                self._subscriptions.unblock(name)


@lru_cache(maxsize=4096)
def _camera(topic: str) -> str:
    """Return whose frames a topic carries; STRANGERS if it is no valid name."""
    try:
        return topics.parse(topic).source
    except topics.TopicError:
        return STRANGERS
