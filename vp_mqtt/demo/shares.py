"""Shares of right answers in a demo, with what chance may have done to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vp_mqtt.demo.intervals import Interval, difference, paired_difference, wilson

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Share:
    """How many answers were right.

    Attributes:
        right: right answers.
        of: all answers.
    """

    right: int
    of: int

    @property
    def value(self) -> float | None:
        """The share, 0..1; None if there was no answer."""
        return round(self.right / self.of, _DIGITS) if self.of else None

    @property
    def interval(self) -> list[float] | None:
        """Its 95 % interval, 0..1; None if there was no answer."""
        return _rounded(wilson(self.right, self.of)) if self.of else None


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of right answers of the fused label and of each variant, by index."""

    fused: Share
    variants: Sequence[Share]

    def values(self) -> dict[str, Any]:
        """Return the shares, for JSON."""
        return {"fused": self.fused.value, "variants": [share.value for share in self.variants]}

    def intervals(self) -> dict[str, Any]:
        """Return their 95 % intervals, for JSON."""
        return {"fused": self.fused.interval, "variants": [share.interval for share in self.variants]}


def gap(first: Share, second: Share) -> dict[str, Any] | None:
    """Return the difference of two shares of different frames, and its 95 % interval for JSON; None without answers."""
    if not first.of or not second.of:
        return None
    interval = difference(first.right, first.of, second.right, second.of)
    return {"difference": round(first.right / first.of - second.right / second.of, _DIGITS)} | _interval(interval)


def paired_gap(only_first: int, only_second: int, of: int) -> dict[str, Any] | None:
    """Return the difference of two shares of the same frames, and its 95 % interval, for JSON; None without frames.

    Args:
        only_first: frames on which only the first answer is right.
        only_second: those on which only the second one is right, whose share is subtracted.
        of: all frames.
    """
    if not of:
        return None
    interval = paired_difference(only_first, only_second, of)
    return {"difference": round((only_first - only_second) / of, _DIGITS)} | _interval(interval)


def _interval(interval: Interval) -> dict[str, Any]:
    return {"interval_95": _rounded(interval)}


def _rounded(interval: Interval) -> list[float]:
    return [round(end, _DIGITS) for end in interval]
