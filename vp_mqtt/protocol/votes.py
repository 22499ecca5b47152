"""A variant's vote: its k most probable classes.

Layout of an encoded vote, big-endian (docs/wire.md):

| bytes      | what                                                                   |
|------------|------------------------------------------------------------------------|
| 0          | format, 1                                                              |
| 1          | k, 1..255                                                              |
| 2..5       | first 4 bytes of the bundle's digest                                   |
| 6..7       | time from the frame's arrival to the vote, in 0.1 ms, 65535 if longer   |
| then 4 * k | class index (2 bytes), probability in 1/65535 (2 bytes); most probable first |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, starmap
from operator import lt

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
MAX_K = 255
_HEADER = ">BB4sH"
_PAIR = "HH"
PROBABILITY_STEPS = 65_535  # a probability travels as a multiple of 1 / 65_535
_MS_PER_TICK = 0.1
_ROUNDING = 1e-3

HEADER_BYTES = struct.calcsize(_HEADER)
PAIR_BYTES = struct.calcsize(">" + _PAIR)
MAX_VOTE_BYTES = HEADER_BYTES + MAX_K * PAIR_BYTES


class VoteError(ValueError):
    """An invalid encoded vote; the message is a short reason, the same for all votes with the same error."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The k most probable classes of one variant for one frame.

    Attributes:
        classes: k indices, each 0..65535, no two equal.
        probabilities: of these classes, 0..1, in descending order, with a sum of at most 1 (except for rounding).
        digest: first 4 bytes of the digest of the bundle that the variant belongs to.
        compute_ms: time from the frame's arrival at the variant to its vote, in ms.
    """

    classes: tuple[int, ...]
    probabilities: tuple[float, ...]
    digest: bytes
    compute_ms: float = 0.0

    def __post_init__(self) -> None:
        k = len(self.classes)
        if len(self.probabilities) != k:
            raise ValueError(f"{k} classes need {k} probabilities, not {len(self.probabilities)}")
        if not 1 <= k <= MAX_K:
            raise ValueError(f"k must be 1 to {MAX_K}, not {k}")

    @property
    def k(self) -> int:
        """Number of classes in the vote."""
        return len(self.classes)


@cache
def _layout(k: int) -> struct.Struct:
    return struct.Struct(_HEADER + k * _PAIR)


def select(probabilities: NDArray[np.floating], k: int, digest: bytes, compute_ms: float = 0.0) -> Vote:
    """Return the vote with the k largest probabilities; among equal ones the lower class index comes first.

    Args:
        probabilities: shape (classes,), 0..1, finite.
        k: 1..classes, at most 255.
        digest: first 4 bytes of the bundle's digest.
        compute_ms: time from the frame's arrival to the vote, in ms.

    Raises:
        ValueError: the shape is wrong, or k or a value is out of range.
    """
    if probabilities.ndim != 1:
        raise ValueError(f"probabilities must have shape (classes,), not {probabilities.shape}")
    if not 1 <= k <= min(probabilities.size, MAX_K):
        raise ValueError(f"k must be 1 to {min(probabilities.size, MAX_K)}, not {k}")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities must be finite")
    if probabilities.min() < -_ROUNDING or probabilities.max() > 1 + _ROUNDING:
        raise ValueError("probabilities must be 0 to 1")
    order = np.argsort(-probabilities, kind="stable")[:k]
    chosen = np.clip(probabilities[order].astype(np.float64), 0.0, 1.0)
    return Vote(tuple(order.tolist()), tuple(chosen.tolist()), digest, compute_ms)


def encode(vote: Vote) -> bytes:
    """Return the vote's 8 + 4 k bytes."""
    ticks = min(max(round(vote.compute_ms / _MS_PER_TICK), 0), 65_535)
    pairs: list[int] = []
    for index, probability in zip(vote.classes, vote.probabilities, strict=True):
        pairs += (index, round(probability * PROBABILITY_STEPS))
    return _layout(vote.k).pack(FORMAT, vote.k, vote.digest, ticks, *pairs)


def digest_of(data: bytes) -> bytes:
    """Return the short digest in an encoded vote; of data that is not a vote, arbitrary bytes."""
    return data[2:6]


def decode(data: bytes, classes: int) -> Vote:
    """Decode and check a vote.

    Args:
        data: the encoded vote.
        classes: number of classes of the family.

    Raises:
        VoteError: length or format is wrong, a class index is out of range or occurs twice, or the probabilities are
            not in descending order or add up to more than 1 (except for rounding).
    """
    if not HEADER_BYTES + PAIR_BYTES <= len(data) <= MAX_VOTE_BYTES:
        raise VoteError("wrong length")
    version, k = data[0], data[1]
    if version != FORMAT:
        raise VoteError("unknown format")
    if len(data) != HEADER_BYTES + k * PAIR_BYTES:
        raise VoteError("length does not match k")
    _, _, digest, ticks, *pairs = _layout(k).unpack(data)
    indices, scaled = tuple(pairs[::2]), pairs[1::2]
    if max(indices) >= classes:
        raise VoteError("class index out of range")
    if len(set(indices)) != k:
        raise VoteError("class occurs twice")
    if any(starmap(lt, pairwise(scaled))):
        raise VoteError("probabilities not in descending order")
    if sum(scaled) > PROBABILITY_STEPS + k:
        raise VoteError("probabilities add up to more than 1")
    return Vote(indices, tuple([step / PROBABILITY_STEPS for step in scaled]), digest, ticks * _MS_PER_TICK)
