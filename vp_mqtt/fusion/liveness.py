"""Which variants of a family are alive, as far as the fusion node can know. Pure: the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass

# Any client can name a node: per variant, only so many node names are remembered.
_MAX_NODES = 256


@dataclass(slots=True)
class _Member:
    since: float
    silent_frames: int = 0


class Liveness:
    """The variants that are alive, as their nodes' statuses and their votes show.

    A variant is alive while at least one node that runs it reports that it is online, or, while no status of it is
    known, because it voted. One that stays silent for `suspect_after` frames in a row is suspected, and not waited for
    until a vote of it arrives in time.
    """

    def __init__(self, *, suspect_after: int) -> None:
        """Start with no variant alive.

        Args:
            suspect_after: frames in a row without a vote after which a variant is suspected, at least 1.
        """
        self._suspect_after = suspect_after
        self._online: dict[int, set[str]] = {}
        self._alive: dict[int, _Member] = {}

    def set_node(self, node: str, variant: int, *, online: bool, now: float) -> None:
        """Note what a node's status reports: which variant it runs, and whether it is online."""
        for other, nodes in list(self._online.items()):
            if other != variant and node in nodes:
                self._remove(node, other)
        if online:
            nodes = self._online.setdefault(variant, set())
            if not nodes:
                self._alive[variant] = _Member(since=now)
            if len(nodes) < _MAX_NODES:
                nodes.add(node)
        else:
            self._remove(node, variant)

    def _remove(self, node: str, variant: int) -> None:
        nodes = self._online.setdefault(variant, set())
        nodes.discard(node)
        if not nodes:
            self._alive.pop(variant, None)

    def note_vote(self, variant: int, now: float) -> None:
        """Note that a vote of the variant arrived in time."""
        member = self._alive.get(variant)
        if member is not None:
            member.silent_frames = 0
        elif variant not in self._online:
            self._alive[variant] = _Member(since=now)

    def note_missed(self, variant: int) -> bool:
        """Note that a frame's deadline passed without the variant's vote; return whether it becomes suspected."""
        member = self._alive.get(variant)
        if member is None:
            return False
        member.silent_frames += 1
        return member.silent_frames == self._suspect_after

    def suspect(self, variant: int) -> None:
        """Stop waiting for the variant until a vote of it arrives in time."""
        member = self._alive.get(variant)
        if member is not None:
            member.silent_frames = max(member.silent_frames, self._suspect_after)

    def awaited(self, opened: float) -> set[int]:
        """Return the variants to wait for in a window that opened at this time."""
        return {v for v in self._alive if not self.is_suspected(v) and self._alive[v].since <= opened}

    def alive(self) -> set[int]:
        """Return the variants known to be alive, including the suspected ones."""
        return set(self._alive)

    def is_suspected(self, variant: int) -> bool:
        """Return whether the variant is alive by its status but has been silent for too many frames."""
        member = self._alive.get(variant)
        return member is not None and member.silent_frames >= self._suspect_after
