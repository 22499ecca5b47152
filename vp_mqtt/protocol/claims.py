"""Which variant a board takes that chooses by itself (`vp-node --variant auto`). Pure: the clock is passed in.

The boards' retained statuses are all that is needed. A board that looks for a variant names one that nobody has in its
status, as a *claim*, and waits: if no other board claimed the same before it, the claim is *held*, and the board runs
the variant. Of two claims, the one of the board that started first counts, by what their statuses say, so that all
boards decide alike. A claim that is held, or a variant that was assigned, comes before a new claim.

A variant is free again when its board's status says "stopped" or "offline" (its will), or when nothing was heard of the
board for three intervals of its stats, see `vp_mqtt.protocol.presence`.

When the site runs another family, boards keep their variants if these are among those worth most, of as many as there
are boards. The others give theirs up, once, and claim again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.presence import NodePresence, Presence

SETTLE_S = 2.0
"""A claim is held when no earlier one of another board has arrived for so long."""
LISTEN_S = 1.0
"""The statuses that the broker has kept arrive within this time."""
VARIANT_ROLE = "variant"
# Any client can name a node.
_MAX_NODES = 512
_LOOK_FOR_ROOM_S = 1.0


class Rank(NamedTuple):
    """The order of boards: the lower one keeps what both claim.

    Attributes:
        is_choosing: whether the board chooses by itself; one whose variant was assigned does not yield.
        started: as its status says, in seconds since 1970.
        node: its name, which no other board has.
    """

    is_choosing: bool
    started: float
    node: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A variant that a board claims.

    Attributes:
        variant: its index.
        is_held: whether it is the board's; else another board may have been first.
    """

    variant: int
    is_held: bool


def claim_of(status: StatusMessage) -> Claim | None:
    """Return what a board's status claims; an assigned variant is held. None for spares and other nodes."""
    if status.claim is not None:
        return Claim(status.claim, is_held=status.claim_held is True)
    return None if status.variant is None else Claim(status.variant, is_held=True)


def rank_of(status: StatusMessage) -> Rank:
    """Return the place of a board in the order of boards."""
    return Rank(status.claim is not None, status.started, status.node)


class Claimant:
    """A board that chooses its variant.

    Attributes:
        claim: what it claims now; None while it looks around, or waits as a spare.
    """

    def __init__(self, node: str, started: float, now: float) -> None:
        """Look around.

        Args:
            node: its name.
            started: as its status says.
            now: on a monotonic clock, in seconds, as everywhere here.
        """
        self.claim: Claim | None = None
        self._rank = Rank(True, started, node)
        self._others: dict[str, NodePresence] = {}
        self._since = now
        self._is_full_until = 0.0

    def note_status(self, status: StatusMessage, *, retained: bool, now: float) -> None:
        """Note a status of a node; of the board's own, and of nodes that run no variants, nothing is kept.

        Where there is no place for a further node, it has that of one that is not online.
        """
        name = status.node
        if name == self._rank.node or status.role != VARIANT_ROLE:
            return
        if name in self._others:
            self._others[name].note_status(status, retained=retained, now=now)
        elif len(self._others) < _MAX_NODES or self._makes_room(now):
            self._others[name] = NodePresence(status, retained=retained, now=now)

    def _makes_room(self, now: float) -> bool:
        if now < self._is_full_until:
            return False
        gone = next((name for name, presence in self._others.items() if presence.at(now) is not Presence.ONLINE), None)
        if gone is None:
            self._is_full_until = now + _LOOK_FOR_ROOM_S
            return False
        del self._others[gone]
        return True

    def note_heard(self, node: str, now: float) -> None:
        """Note stats of a node that were not retained."""
        if node in self._others:
            self._others[node].note_heard(now)

    def forget(self, node: str) -> None:
        """Note that a node's status was cleared."""
        self._others.pop(node, None)

    def note_connected(self, now: float) -> None:
        """Note that the connection to the broker is a new one: what others claimed meanwhile is still to come."""
        self._since = now
        for presence in self._others.values():
            presence.note_deaf(now)

    def decide(self, order: Sequence[int], now: float) -> Claim | None:
        """Decide what the board claims, while it is connected, and return it.

        Args:
            order: the variants of the family, those that the board would rather have first.
            now: the time.
        """
        rivals = self._rivals(now)
        if self.claim is not None and not self._stands(self.claim, rivals, order):
            self.claim = None
        if self.claim is None:
            if now - self._since >= LISTEN_S:
                taken = {claim.variant for claim, _ in rivals}
                free = next((variant for variant in order if variant not in taken), None)
                if free is not None:
                    self.claim, self._since = Claim(free, is_held=False), now
        elif not self.claim.is_held and now - self._since >= SETTLE_S:
            self.claim = Claim(self.claim.variant, is_held=True)
        return self.claim

    def reconsider(self, ranked: Sequence[int], now: float) -> bool:
        """Give up a variant for a stronger one, now that the family is another one, and return whether that was done.

        All boards do so once for each family, and only for one of the strongest variants, of as many as there are
        boards, that nobody claims: each move is to a stronger variant, so that boards come to rest.

        Args:
            ranked: the variants of the family, those that are worth most first.
            now: the time.
        """
        if self.claim is None:
            return False
        online = sum(presence.at(now) is Presence.ONLINE for presence in self._others.values())
        best = ranked[: online + 1]
        taken = {claim.variant for claim, _ in self._rivals(now)}
        if self.claim.variant in best or taken.issuperset(best):
            return False
        self.claim = None
        return True

    def is_crowded_out(self, order: Sequence[int], now: float) -> bool:
        """Return whether others have all the variants of the family; False while the board still looks around."""
        taken = {claim.variant for claim, _ in self._rivals(now)}
        return now - self._since >= LISTEN_S and bool(order) and taken.issuperset(order)

    def _rivals(self, now: float) -> list[tuple[Claim, Rank]]:
        found = []
        for presence in self._others.values():
            claim = claim_of(presence.status)
            if claim is not None and presence.at(now) is Presence.ONLINE:
                found.append((claim, rank_of(presence.status)))
        return found

    def _stands(self, own: Claim, rivals: list[tuple[Claim, Rank]], order: Sequence[int]) -> bool:
        """Return whether a claim of ours may stay."""
        if own.variant not in order:
            return False
        same = [(claim.is_held, rank) for claim, rank in rivals if claim.variant == own.variant]
        if own.is_held:
            return not any(is_held and rank < self._rank for is_held, rank in same)
        return not any(is_held or rank < self._rank for is_held, rank in same)
