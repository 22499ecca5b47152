"""Fusion with vectors over all classes, as numpy does it: what the sparse one must agree with."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.confidence import Confidences, known_score, sharpen
from vp_mqtt.protocol.votes import FORMAT, HEADER_BYTES, MAX_VOTE_BYTES, PAIR_BYTES, PROBABILITY_STEPS, Vote, VoteError

_PAIR = np.dtype([("class", ">u2"), ("probability", ">u2")])


def decode(data: bytes, classes: int) -> Vote:
    """Decode and check a vote."""
    if not HEADER_BYTES + PAIR_BYTES <= len(data) <= MAX_VOTE_BYTES:
        raise VoteError("wrong length")
    version, k, digest, ticks = struct.unpack_from(">BB4sH", data)
    if version != FORMAT:
        raise VoteError("unknown format")
    if len(data) != HEADER_BYTES + k * PAIR_BYTES:
        raise VoteError("length does not match k")
    pairs = np.frombuffer(data, dtype=_PAIR, offset=HEADER_BYTES)
    indices, scaled = pairs["class"].astype(np.intp), pairs["probability"].astype(np.int64)
    if indices.max() >= classes:
        raise VoteError("class index out of range")
    if np.unique(indices).size != k:
        raise VoteError("class occurs twice")
    if (np.diff(scaled) > 0).any():
        raise VoteError("probabilities not in descending order")
    if scaled.sum() > PROBABILITY_STEPS + k:
        raise VoteError("probabilities add up to more than 1")
    return Vote(tuple(indices.tolist()), tuple((scaled / PROBABILITY_STEPS).tolist()), digest, ticks * 0.1)


class DenseTally:
    """The weighted sum of votes, over all classes."""

    def __init__(self, weights: Sequence[float], classes: int) -> None:
        """Start without votes."""
        self._weights = weights
        self._tolerance = 1e-9 * sum(weights)
        self.sums: NDArray[np.float64] = np.zeros(classes)

    def add(self, variant: int, vote: Vote) -> None:
        """Add a variant's vote."""
        self.sums[list(vote.classes)] += self._weights[variant] * np.array(vote.probabilities)

    def winner(self) -> int:
        """Return the class index with the largest sum, the lowest of equal ones."""
        return int(self.sums.argmax())

    def scores(self) -> NDArray[np.float64]:
        """Return the softmax of the sums."""
        exponentials = np.exp(self.sums - self.sums.max())
        return np.asarray(exponentials / exponentials.sum(), dtype=np.float64)

    def is_decided(self, outstanding: Iterable[int]) -> bool:
        """Return whether no vote of the outstanding variants can change the winner."""
        second, first = np.partition(self.sums, -2)[-2:]
        return bool(first - second > sum(self._weights[v] for v in outstanding) + self._tolerance)


def dense_confidences(manifest: Manifest, votes: Mapping[int, Vote]) -> Confidences:
    """Return the confidences of at least one vote of a calibrated family, which has no class `none`."""
    if manifest.calibration is None:
        raise ValueError("the family is not calibrated")
    weights = [variant.weight for variant in manifest.variants]
    total = sum(weights[v] for v in sorted(votes))
    means = np.zeros(len(manifest.classes))
    for variant, vote in votes.items():
        means[list(vote.classes)] += weights[variant] * np.array(vote.probabilities) / total
    limit = sum(weights[v] * votes[v].probabilities[-1] for v in sorted(votes)) / total
    sure = sharpen(means, limit, manifest.calibration.temperatures[len(votes) - 1], len(manifest.classes))
    score = float(known_score(means))
    named = sorted({index for vote in votes.values() for index in vote.classes})
    is_known = score >= manifest.calibration.thresholds[len(votes) - 1]
    return Confidences({index: float(sure[index]) for index in named}, score, is_known)
