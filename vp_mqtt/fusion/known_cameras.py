"""The cameras that a fusion node knows that shares them, in a bounded number. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

_MAX_CAMERAS = 4096
# Any client can name a node.
_MAX_NODES = 1024
_IDLE_S = 600.0
_LEFT_S = 30.0
_ON_ITS_WAY_S = 5.0


class KnownCameras:
    """The cameras that nodes name in their statuses, or that have announced frames; a collection of their names.

    A camera that no node names any more is forgotten after 30 s, so that one that starts again misses no frame. One
    that no node has named is forgotten after 10 minutes without a frame. Cameras that are given stay.

    Attributes:
        version: grows when the collection changes.
    """

    def __init__(self, given: Collection[str] | None) -> None:
        """Start with the cameras that are given.

        Args:
            given: the only ones that are known; None for those that nodes name.
        """
        self._given = given
        self._named: dict[str, tuple[str, ...]] = {}
        self._namings: Counter[str] = Counter()
        self._left: dict[str, float] = {}
        self._seen: dict[str, float] = dict.fromkeys(given or (), 0.0)
        self.version = 0

    def __contains__(self, camera: object) -> bool:
        return camera in self._seen

    def __iter__(self) -> Iterator[str]:
        # Subscriptions are renewed by other threads, too.
        return iter(tuple(self._seen))

    def __len__(self) -> int:
        return len(self._seen)

    def note_named(self, node: str, cameras: Collection[str], now: float) -> None:
        """Note which cameras a node's newest status names; none if the node is not online.

        Args:
            node: the node's name.
            cameras: those of a camera node, or those that a fusion node owns.
            now: on a monotonic clock, in s, as everywhere here.
        """
        if self._given is not None:
            return
        before = self._named.pop(node, ())
        if cameras and len(self._named) < _MAX_NODES:
            self._named[node] = tuple(dict.fromkeys(cameras))
            self._namings.update(self._named[node])
        self._namings.subtract(before)
        for camera in cameras:
            self.note_seen(camera, now)
            self._left.pop(camera, None)
        for camera in before:
            if self._namings[camera] <= 0:
                del self._namings[camera]
                self._left[camera] = now

    def note_seen(self, camera: str, now: float) -> None:
        """Note that a camera has announced a frame."""
        if self._given is not None:
            return
        if camera not in self._seen:
            if len(self._seen) >= _MAX_CAMERAS:
                return
            self.version += 1
        self._seen[camera] = now

    def expected(self) -> list[str]:
        """Return the cameras that should have labels: those that are given, or that nodes name now."""
        return [camera for camera in self if self._given is not None or camera in self._namings]

    def prune(self, now: float) -> None:
        """Forget the cameras that are gone."""
        if self._given is not None:
            return
        gone = [camera for camera in self if now >= self._gone_at(camera)]
        for camera in gone:
            del self._seen[camera]
        self._left = {camera: left for camera, left in self._left.items() if camera in self._seen}
        self.version += bool(gone)

    def _gone_at(self, camera: str) -> float:
        if camera in self._namings:
            return float("inf")
        seen, left = self._seen[camera], self._left.get(camera)
        is_left = left is not None and seen < left + _ON_ITS_WAY_S
        return left + _LEFT_S if left is not None and is_left else seen + _IDLE_S
