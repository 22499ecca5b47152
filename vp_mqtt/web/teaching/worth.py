"""How much a frame is worth a look by one who knows the classes, and how often one may be kept. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vp_mqtt.protocol.messages import LabelMessage

LEAST_WORTH = 0.3
"""Frames below are not kept."""
_OF_UNKNOWN = 0.6
_OF_CHANGE = 0.4
_CLEAR_MARGIN = 0.5


class Reason(StrEnum):
    """Why a frame is worth a look, for people."""

    DISPUTED = "boards disagree"
    UNKNOWN = "unknown"
    UNSURE = "not sure"
    CHANGED = "state changed"


@dataclass(frozen=True, slots=True)
class Worth:
    """What a look at a frame is worth.

    Attributes:
        score: 0..1.
        reasons: the reasons for it.
    """

    score: float
    reasons: tuple[Reason, ...]


def worth_of(label: LabelMessage, votes: Sequence[Hashable], *, has_changed: bool) -> Worth:
    """Return what a look at a frame is worth: the more reasons there are, and the stronger they are, the more.

    Args:
        label: of the frame.
        votes: the most probable class of each variant whose vote is known.
        has_changed: whether the camera's state changed with this frame.
    """
    dispute = _dispute(votes)
    doubt = 0.0 if label.label is None else 1 - margin_of(label)
    is_unknown = label.known is False
    remaining = (1 - dispute) * (1 - doubt**2)
    remaining *= 1 - _OF_UNKNOWN * is_unknown
    remaining *= 1 - _OF_CHANGE * has_changed
    found = {
        Reason.DISPUTED: dispute > 0,
        Reason.UNKNOWN: is_unknown,
        Reason.UNSURE: doubt > _CLEAR_MARGIN,
        Reason.CHANGED: has_changed,
    }
    return Worth(1 - remaining, tuple(reason for reason, holds in found.items() if holds))


def margin_of(label: LabelMessage) -> float:
    """Return by how much the most probable class is ahead of the next one, 0..1."""
    if label.top:
        second = label.top[1].confidence if len(label.top) > 1 else 0.0
        return max(0.0, label.top[0].confidence - second)
    return label.confidence or 0.0


def _dispute(votes: Sequence[Hashable]) -> float:
    """Return the share of the votes that are not for the class that has most of them."""
    if not votes:
        return 0.0
    return 1 - Counter(votes).most_common(1)[0][1] / len(votes)


class Pace:
    """How many frames of each camera may be kept: a number at once, and so many a minute from then on."""

    def __init__(self, *, per_minute: float, at_once: int, cameras: int = 64) -> None:
        """Start with all allowed.

        Args:
            per_minute: of each camera, greater than 0.
            at_once: of each camera, at least 1.
            cameras: so many are remembered at most; of further ones none may be kept.
        """
        self._per_s = per_minute / 60
        self._at_once = at_once
        self._cameras = cameras
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, camera: str, now: float) -> bool:
        """Return whether another frame of a camera may be kept now, in seconds; it then counts as kept."""
        if camera not in self._left and len(self._left) >= self._cameras:
            return False
        left, at = self._left.get(camera, (float(self._at_once), now))
        left = min(self._at_once, left + max(0.0, now - at) * self._per_s)
        self._left[camera] = (left - 1 if left >= 1 else left, now)
        return left >= 1
