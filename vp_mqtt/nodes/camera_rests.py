"""Rests between the frames of a camera whose frames take long, so that it delays its own votes only. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

MEAN_DELAY_S = 0.025
"""How long frames of one camera may delay those of the others, in the mean, in s."""
_RECENT_S = 10.0
_MAX_CAMERAS = 1024
# Frames of one size take up to so many times as long, now and then.
_FACTOR = 3.0


@dataclass(slots=True)
class _Account:
    rests_until: float = -math.inf
    voted_at: float = -math.inf
    cost_s: float = math.inf


class CameraRests:
    """Decides how long a camera has to wait for its next turn after a frame that took long.

    A frame in work cannot be interrupted: one that comes meanwhile waits. If a camera's frames take c seconds, with
    a rest of r after each, a frame of another camera waits c * c / (c + r) / 2 in the mean. r makes this at most
    `MEAN_DELAY_S`; frames of up to twice that need no rest. Nor do frames that take as long as those of the other
    cameras: they are what the board is there for. Cameras that have had no vote yet rest together, since a name costs
    nothing.
    """

    def __init__(self) -> None:
        """Start without any camera known."""
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._newcomers = _Account()

    def rests_until(self, camera: str) -> float:
        """Return when the camera's next frame may be worked on, on the caller's clock; minus infinity for at once."""
        return self._accounts.get(camera, self._newcomers).rests_until

    def note(self, camera: str, cost_s: float, now: float, *, has_vote: bool) -> None:
        """Note that a frame of a camera was worked on.

        Args:
            camera: whose frame.
            cost_s: how long it took, in s.
            now: when that ended, on the caller's monotonic clock, in s.
            has_vote: whether it got a vote; if not, it does not count as what frames usually take.
        """
        usual = self._usual_cost(camera, now)
        account = self._accounts.get(camera, self._newcomers)
        rest = 0.0
        if usual is not None and cost_s > usual:
            rest = max(0.0, cost_s * cost_s / (2 * MEAN_DELAY_S) - cost_s)
        account.rests_until = now + rest
        if not has_vote:
            return
        if account is self._newcomers:
            account = self._accounts[camera] = _Account(rests_until=now + rest)
            if len(self._accounts) > _MAX_CAMERAS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(camera)
        account.voted_at, account.cost_s = now, cost_s

    def _usual_cost(self, camera: str, now: float) -> float | None:
        """Return what a frame of another camera takes, of those that got votes lately; None if there is no other."""
        costs = [
            account.cost_s
            for name, account in self._accounts.items()
            if name != camera and now - account.voted_at <= _RECENT_S
        ]
        return _FACTOR * min(costs) if costs else None
