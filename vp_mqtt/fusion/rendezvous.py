"""Which of several members has a camera, by rendezvous hashing: each member works it out alone. Pure.

Every member has a score for every camera; the highest one has the camera. When a member comes or goes, only the cameras
that it gets or had move (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM
Transactions on Networking 6(1), 1998).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

_SCORE_BYTES = 8


@lru_cache(maxsize=16_384)
def score(member: str, camera: str) -> tuple[int, str]:
    """Return a member's score for a camera; no two members have the same."""
    # No name has a line feed.
    digest = blake2b(f"{member}\n{camera}".encode(), digest_size=_SCORE_BYTES).digest()
    return int.from_bytes(digest, "big"), member


def owner(members: Iterable[str], camera: str) -> str:
    """Return which of the members has the camera.

    Raises:
        ValueError: there are no members.
    """
    return max(members, key=lambda member: score(member, camera))
