"""How far the variants agree with each camera's labels: falling agreement shows drift. Pure: the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass

from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.messages import MAX_CAMERAS

_LABELS = 100
_LEAST_VOTES = 2
_FORGET_AFTER_S = 60.0
_HEARTBEATS = 2.5


@dataclass(slots=True)
class _Mean:
    """A moving mean: of all values while there are fewer than 100, then exponential with a weight of 1/100.

    Attributes:
        value: the mean.
        count: of the values, 100 at most.
        until: without a further value it is forgotten then, in s, on the caller's monotonic clock.
    """

    value: float = 0.0
    count: int = 0
    until: float = 0.0


class Agreement:
    """The share of votes whose most probable class is the label's, by camera, as a moving mean of the last 100 labels.

    Only labels with two votes or more count: a single vote always agrees with itself.
    """

    def __init__(self) -> None:
        """Start without labels."""
        self._means: dict[str, _Mean] = {}

    def note(self, result: WindowResult) -> None:
        """Note the result of a window."""
        votes = result.votes
        if len(votes) < _LEAST_VOTES:
            return
        mean = self._means.get(result.camera)
        if mean is None:
            if len(self._means) >= MAX_CAMERAS:
                del self._means[min(self._means, key=lambda camera: self._means[camera].until)]
            mean = self._means[result.camera] = _Mean()
        agreeing = sum(vote.classes[0] == result.winner for vote in votes.values())
        mean.count = min(mean.count + 1, _LABELS)
        mean.value += (float(agreeing) / len(votes) - mean.value) / mean.count
        mean.until = result.closed + max(_FORGET_AFTER_S, _HEARTBEATS * (result.announce.next_within_s or 0.0))

    def shares(self, now: float) -> dict[str, float]:
        """Return the agreement of each camera that has had such a label recently, 0..1; from any thread."""
        return {camera: round(mean.value, 4) for camera, mean in list(self._means.items()) if now < mean.until}
