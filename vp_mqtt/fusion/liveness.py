"""Which variants are alive, as far as the fusion node can know. Pure: the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass

# Nodes are named by strangers: of those that claim to run one variant, no more are remembered.
_MAX_NODES = 256


@dataclass(slots=True)
class _Member:
    since: float
    silent_frames: int = 0


class Roster:
    """The variants that are alive, told by their nodes' statuses and by their votes.

    A variant is alive while at least one node that runs it says that it is online, or, while no status of it is known,
    because it voted. One that stays silent for `suspect_after` frames in a row is suspected, and no longer waited for,
    until a vote of it arrives in time.
    """

    def __init__(self, *, suspect_after: int) -> None:
        """Start with nobody.

        Args:
            suspect_after: frames in a row without a vote after which a variant is suspected, at least 1.
        """
        self._suspect_after = suspect_after
        self._online: dict[int, set[str]] = {}
        self._alive: dict[int, _Member] = {}

    def set_node(self, node: str, variant: int, *, online: bool, now: float) -> None:
        """Note what a node's status says: it runs this variant, and it is online or not."""
        for other, nodes in list(self._online.items()):
            if other != variant and node in nodes:
                self._leave(node, other)
        if online:
            nodes = self._online.setdefault(variant, set())
            if not nodes or variant not in self._alive:
                self._alive[variant] = _Member(since=now)
            if len(nodes) < _MAX_NODES:
                nodes.add(node)
        else:
            self._leave(node, variant)

    def _leave(self, node: str, variant: int) -> None:
        nodes = self._online.setdefault(variant, set())
        nodes.discard(node)
        if not nodes:
            self._alive.pop(variant, None)

    def heard(self, variant: int, now: float) -> None:
        """Note that a vote of the variant arrived in time."""
        member = self._alive.get(variant)
        if member is not None:
            member.silent_frames = 0
        elif variant not in self._online:
            self._alive[variant] = _Member(since=now)

    def missed(self, variant: int) -> bool:
        """Note that a frame's deadline fell without the variant's vote; return whether it becomes suspected."""
        member = self._alive.get(variant)
        if member is None:
            return False
        member.silent_frames += 1
        return member.silent_frames == self._suspect_after

    def suspect(self, variant: int) -> None:
        """No longer wait for the variant until a vote of it arrives in time."""
        member = self._alive.get(variant)
        if member is not None:
            member.silent_frames = max(member.silent_frames, self._suspect_after)

    def awaited(self, opened: float) -> set[int]:
        """Return the variants whose vote is worth waiting for in a window that opened at this time."""
        return {v for v in self._alive if not self.is_suspected(v) and self._alive[v].since <= opened}

    def alive(self) -> set[int]:
        """Return the variants known to be alive, the suspected among them."""
        return set(self._alive)

    def is_suspected(self, variant: int) -> bool:
        """Tell whether the variant is alive by its status but has been silent for too long."""
        member = self._alive.get(variant)
        return member is not None and member.silent_frames >= self._suspect_after
