"""From the votes of a family on one frame to the winning class and its score. Pure: no I/O, no clock.

The method is that of arXiv 2210.08376: every vote is scattered back to a vector over the classes, multiplied by its
variant's weight, and added; a softmax turns the sums into scores. Of the vector, only the classes that a vote names are
kept: the others have 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
        self._classes = classes
        self._tolerance = _TOLERANCE * sum(weights)
        self._sums: dict[int, float] = {}

    def add(self, variant: int, vote: Vote) -> None:
        """Add a variant's vote.

        Raises:
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        weight = self._weights[variant]
        if max(vote.classes) >= self._classes:
            raise IndexError("no such class")
        sums = self._sums
        for index, probability in zip(vote.classes, vote.probabilities, strict=True):
            sums[index] = sums.get(index, 0.0) + weight * probability

    def winner(self) -> int:
        """Return the class index with the largest sum, the lowest of equal ones."""
        largest = self._largest()
        # Of the classes that no vote names, the first one has the lowest index, and all have 0.
        return min(index for index, total in self._sums.items() if total == largest) if largest > 0 else 0

    def score(self, index: int) -> float:
        """Return the softmax of the sums of all classes at one of them, 0..1, greater than 0 but for underflow."""
        largest = self._largest()
        total = sum(math.exp(one - largest) for one in self._sums.values())
        total += (self._classes - len(self._sums)) * math.exp(-largest)
        return math.exp(self._sums.get(index, 0.0) - largest) / total

    def is_decided(self, outstanding: Iterable[int]) -> bool:
        """Return whether no vote of the outstanding variants, whatever its content, can change the winner.

        A vote adds at most its variant's weight to one class, so the winner stands once it leads the second class by
        more than the outstanding weights together.
        """
        *_, second, first = sorted([0.0, 0.0, *self._sums.values()])
        missing = sum(map(self._weights.__getitem__, outstanding))
        return first - second > missing + self._tolerance

    def _largest(self) -> float:
        return max(self._sums.values(), default=0.0)
