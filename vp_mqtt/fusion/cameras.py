"""The cameras that are known, in a bounded number. Pure: the clock is passed in."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from vp_mqtt.fusion.camera import CameraFrames

# A camera keeps its place for this long without an announce, if another one wants it.
_IDLE_S = 600.0


class Cameras:
    """The cameras that have announced frames; what does not change them may be called from any thread."""

    def __init__(self, *, only: Collection[str] | None, limit: int, history: int) -> None:
        """Start without cameras.

        Args:
            only: the only ones that are admitted; None for those that come first.
            limit: cameras that are known at a time, where they are not given.
            history: finished frames remembered per camera.
        """
        self._only = None if only is None else frozenset(only)
        self._limit = limit
        self._history = history
        self._frames: dict[str, CameraFrames] = {}

    def __iter__(self) -> Iterator[CameraFrames]:
        return iter(self._frames.values())

    def __getitem__(self, name: str) -> CameraFrames:
        return self._frames[name]

    def __contains__(self, name: str) -> bool:
        return name in self._frames

    def names(self) -> list[str]:
        """Return the names of the known cameras."""
        return list(self._frames)

    def is_given(self, name: str) -> bool:
        """Return whether a camera is one of those that alone are admitted."""
        return self._only is not None and name in self._only

    def may_announce(self, name: str) -> bool:
        """Return whether a camera of this name would be admitted, were there room."""
        return self._only is None or self.is_given(name)

    def find(self, name: str) -> CameraFrames | None:
        """Return the frames of a known camera, None for other cameras."""
        return self._frames.get(name)

    def admit(self, name: str, now: float) -> CameraFrames | None:
        """Make a new camera known, if need be in place of one that has long been idle; None if there is no place."""
        if not self.may_announce(name):
            return None
        if self._only is None and len(self._frames) >= self._limit:
            idle = [(frames.last_announce, name) for name, frames in self._frames.items() if not frames.open_windows]
            since, longest = min(idle, default=(now, ""))
            if now - since < _IDLE_S:
                return None
            del self._frames[longest]
        frames = self._frames[name] = CameraFrames(name, self._history)
        return frames
