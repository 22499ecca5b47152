"""Which of a camera's frames are published: those with motion, and now and then one without. Pure."""

from __future__ import annotations

import math

from vp_mqtt.motion.change import ChangeDetector, GreyPicture


class MotionGate:
    """Lets frames pass while something moves and a little longer, and a heartbeat while nothing does.

    A frame is compared with the last one that was published. If publishing one fails, the next is compared with the
    same: no change is lost. Times are in s, on a monotonic clock.
    """

    def __init__(self, detector: ChangeDetector, *, hold: float, heartbeat: float) -> None:
        """Start: the first frame passes.

        Args:
            detector: compares frames.
            hold: how long every frame passes after the last motion, in s.
            heartbeat: how long no frame passes at most, in s.
        """
        self._detector = detector
        self._hold = hold
        self._heartbeat = heartbeat
        self._newest: GreyPicture | None = None
        self._moved_at = -math.inf
        self._published_at = -math.inf

    def look(self, picture: GreyPicture, now: float) -> bool:
        """Return whether a frame is to be published.

        Args:
            picture: the frame, small and grey.
            now: the present time.
        """
        self._newest = picture
        if self._detector.has_changed(picture):
            self._moved_at = now
        return not self.is_still(now) or now - self._published_at >= self._heartbeat

    def note_published(self, now: float) -> None:
        """Note that the frame that was looked at last has been published."""
        if self._newest is not None:
            self._detector.keep(self._newest)
        self._published_at = now

    def is_still(self, now: float) -> bool:
        """Return whether nothing has moved lately."""
        return now - self._moved_at > self._hold
