"""From the votes of a family on one frame to the winning class and its score. Pure: no I/O, no clock.

The method is that of arXiv 2210.08376: every vote is scattered back to a vector over the classes, multiplied by its
variant's weight, and added; a softmax turns the sums into scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.protocol.votes import Vote

# Votes carry probabilities in steps of 1/65535: a lead must exceed the error of rounding and of the order of additions.
_TOLERANCE = 1e-9  # times the sum of the weights


class Tally:
    """The weighted sum of the votes that have arrived for one frame."""

    def __init__(self, weights: Sequence[float], classes: int) -> None:
        """Start without votes.

        Args:
            weights: of each variant's vote, by index, each greater than 0.
            classes: how many classes the family knows, at least 2.
        """
        self._weights = weights
        self._tolerance = _TOLERANCE * sum(weights)
        self._sums = np.zeros(classes, dtype=np.float64)

    def add(self, variant: int, vote: Vote) -> None:
        """Add a variant's vote.

        Raises:
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        self._sums[vote.classes] += self._weights[variant] * vote.probabilities

    def winner(self) -> int:
        """Return the class index with the largest sum, the lowest of equal ones."""
        return int(self._sums.argmax())

    def scores(self) -> NDArray[np.float64]:
        """Return the softmax of the sums, shape (classes,), float64, greater than 0, adding up to 1."""
        exponentials = np.exp(self._sums - self._sums.max())
        return np.asarray(exponentials / exponentials.sum(), dtype=np.float64)

    def is_decided(self, outstanding: Iterable[int]) -> bool:
        """Return whether no vote of the outstanding variants, whatever its content, can change the winner.

        A vote adds at most its variant's weight to one class, so the winner stands once it leads the second class by
        more than the outstanding weights together.
        """
        second, first = np.partition(self._sums, -2)[-2:]
        return bool(first - second > sum(self._weights[v] for v in outstanding) + self._tolerance)
