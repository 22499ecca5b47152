"""95 % confidence intervals of shares of right labels, and of their differences. Pure."""

from __future__ import annotations

from math import sqrt

Interval = tuple[float, float]
_Z = 1.959964
"""The normal distribution has 95 % of its mass within so many standard deviations."""


def wilson(right: int, of: int) -> Interval:
    """Return the interval of a share (Wilson 1927), within 0..1.

    Args:
        right: right answers, 0 to `of`.
        of: answers, at least 1.
    """
    share = right / of
    centre = share + _Z**2 / (2 * of)
    half = _Z * sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    scale = 1 + _Z**2 / of
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def difference(right: int, of: int, other_right: int, other_of: int) -> Interval:
    """Return the interval of the difference of two shares of different answers (Newcombe 1998, method 10), -1..1.

    Args:
        right: right answers of the first share.
        of: its answers, at least 1.
        other_right: right answers of the share that is subtracted.
        other_of: its answers, at least 1.
    """
    first, second = right / of, other_right / other_of
    low, high = wilson(right, of)
    other_low, other_high = wilson(other_right, other_of)
    return (
        first - second - sqrt((first - low) ** 2 + (other_high - second) ** 2),
        first - second + sqrt((high - first) ** 2 + (second - other_low) ** 2),
    )


def paired_difference(only_first: int, only_second: int, of: int) -> Interval:
    """Return the interval of the difference of two shares of the same pictures (Bonett and Price 2012), -1..1.

    Args:
        only_first: pictures on which only the first answer is right.
        only_second: those on which only the second one is right, whose share is subtracted.
        of: all pictures, at least 1.
    """
    first, second = (only_first + 1) / (of + 2), (only_second + 1) / (of + 2)
    half = _Z * sqrt((first + second - (first - second) ** 2) / (of + 2))
    return max(-1.0, first - second - half), min(1.0, first - second + half)
