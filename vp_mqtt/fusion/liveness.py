"""Which variants of a family are alive, as far as the fusion node can know. Pure: the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

# Any client can name a node: per variant, only so many node names are remembered.
_MAX_NODES = 256
# Cameras come and go: per variant, it is remembered for so many how long it has been silent on their frames.
_MAX_CAMERAS = 4096


@dataclass(slots=True)
class _Member:
    since: float
    is_heard: bool = True
    silent_frames: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """In a row, by camera; only cameras on whose newest frame the variant was silent."""
    suspected_on: set[str] = field(default_factory=set)
    is_suspected_everywhere: bool = False


class Liveness:
    """The variants that are alive, as their nodes' statuses and their votes show.

    A variant is waited for while at least one node that runs it is online by its status, or because it voted in time,
    even if a status claimed before that it was gone. It counts as alive once it was heard, by its vote or otherwise.
    One that stays silent on `suspect_after` frames of a camera in a row, on which others voted, is suspected: it is not
    waited for on that camera's frames until it votes on one in time.

    Attributes:
        version: grows with every change of what `awaited` returns.
    """

    def __init__(self, *, suspect_after: int) -> None:
        """Start with no variant alive.

        Args:
            suspect_after: frames in a row without a vote after which a variant is suspected, at least 1.
        """
        self._suspect_after = suspect_after
        self._online: dict[int, set[str]] = {}
        self._gone: dict[int, float] = {}
        self._alive: dict[int, _Member] = {}
        self.version = 0

    def set_node(self, node: str, variant: int, *, online: bool, now: float, is_heard: bool = True) -> None:
        """Note what a node's status reports.

        Args:
            node: the node's name.
            variant: which variant it runs.
            online: whether it is online.
            now: the time, on the caller's clock, in s.
            is_heard: whether the node itself was heard; a status that the broker has kept may be old.
        """
        self.version += 1
        for other, nodes in list(self._online.items()):
            if other != variant and node in nodes:
                self._remove(node, other, now)
        if online:
            nodes = self._online.setdefault(variant, set())
            before = self._alive.get(variant)
            if not nodes or before is None:
                self._alive[variant] = _Member(since=now, is_heard=is_heard or (before is not None and before.is_heard))
            else:
                before.is_heard |= is_heard
            if len(nodes) < _MAX_NODES:
                nodes.add(node)
        else:
            self._remove(node, variant, now)

    def _remove(self, node: str, variant: int, now: float) -> None:
        nodes = self._online.setdefault(variant, set())
        nodes.discard(node)
        if not nodes:
            self._alive.pop(variant, None)
            self._gone[variant] = now

    def note_vote(self, camera: str, variant: int, arrived: float) -> None:
        """Note that a vote of the variant arrived in time.

        Args:
            camera: on whose frame it is.
            variant: whose vote it is.
            arrived: when it arrived; one from before the status that the variant is gone does not outweigh that.
        """
        member = self._alive.get(variant)
        if member is None:
            if arrived > self._gone.get(variant, float("-inf")):
                self._alive[variant] = _Member(since=arrived)
                self.version += 1
            return
        if member.silent_frames:
            member.silent_frames.pop(camera, None)
            member.suspected_on.discard(camera)
            self.version += 1
        if member.is_suspected_everywhere:
            member.is_suspected_everywhere = False
            self.version += 1
        member.is_heard = True

    def note_missed(self, camera: str, variant: int) -> bool:
        """Note that the variant did not vote on a frame on which others did; return whether it becomes suspected."""
        member = self._alive.get(variant)
        if member is None:
            return False
        silent = member.silent_frames
        silent[camera] = silent.get(camera, 0) + 1
        silent.move_to_end(camera)
        if len(silent) > _MAX_CAMERAS:
            forgotten, _ = silent.popitem(last=False)
            member.suspected_on.discard(forgotten)
            self.version += 1
        if silent[camera] < self._suspect_after or camera in member.suspected_on:
            return False
        member.suspected_on.add(camera)
        self.version += 1
        return True

    def suspect(self, variant: int) -> None:
        """Stop waiting for the variant, on the frames of all cameras, until a vote of it arrives in time."""
        member = self._alive.get(variant)
        if member is not None:
            member.is_suspected_everywhere = True
            self.version += 1

    def awaited(self, camera: str, opened: float) -> set[int]:
        """Return the variants to wait for in a window of this camera that opened at this time."""
        return {
            variant
            for variant, member in self._alive.items()
            if member.since <= opened and not member.is_suspected_everywhere and camera not in member.suspected_on
        }

    def alive(self) -> set[int]:
        """Return the variants known to be alive, including the suspected ones."""
        return {variant for variant, member in self._alive.items() if member.is_heard}

    def expected(self) -> set[int]:
        """Return the variants that are alive or, by a status that the broker has kept, may be."""
        return set(self._alive)

    def suspected(self) -> dict[int, frozenset[str] | None]:
        """Return the variants that are suspected, each with the cameras on whose frames; None for all cameras."""
        return {
            variant: None if member.is_suspected_everywhere else frozenset(member.suspected_on)
            for variant, member in self._alive.items()
            if member.is_suspected_everywhere or member.suspected_on
        }
