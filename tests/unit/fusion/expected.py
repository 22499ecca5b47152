"""What the windows must make of any sequence of events, kept as simply as possible."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.fusing import fuse
from vp_mqtt.fusion.liveness import Liveness
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

Key = tuple[str, FrameId]


def sums(cast: dict[int, Vote], weights: list[float], classes: int) -> NDArray[np.float64]:
    total = np.zeros(classes)
    for variant, vote in cast.items():
        total[list(vote.classes)] += weights[variant] * np.array(vote.probabilities)
    return total


class Expected:
    """The frames, votes and nodes of a site, and what follows from them."""

    def __init__(self, liveness: Liveness, weights: list[float], classes: int, deadline: float) -> None:
        self.liveness = liveness
        self.weights = weights
        self.classes = classes
        self.deadline = deadline
        self.announced: dict[Key, Announce] = {}
        self.opened: dict[Key, float] = {}
        self.cast: dict[Key, dict[int, tuple[float, Vote]]] = defaultdict(dict)
        self.voters: dict[Key, set[int]] = defaultdict(set)
        self.labels: dict[Key, WindowResult] = {}
        self.nodes: dict[str, int] = {}
        self.gone: dict[int, float] = {}
        self.alive_by_vote: set[int] = set()

    def announce(self, key: Key, announce: Announce, now: float) -> None:
        if key in self.announced:
            return
        self.announced[key] = announce
        self.opened[key] = now
        for variant, (at, _) in self.cast[key].items():
            self._hear(variant, at)

    def vote(self, key: Key, variant: int, vote: Vote, now: float, fate: str) -> None:
        if key not in self.labels:
            self.cast[key].setdefault(variant, (now, vote))
        self.voters[key].add(variant)
        # Also one that was late only because nothing waited for it.
        if fate == "votes" or (fate == "late" and now - self.opened[key] <= self.deadline):
            self._hear(variant, now)

    def _hear(self, variant: int, at: float) -> None:
        if variant not in self.nodes.values() and at > self.gone.get(variant, -1.0):
            self.alive_by_vote.add(variant)

    def status(self, node: str, variant: int | None, now: float) -> None:
        before = self.nodes.pop(node, None)
        if variant is not None:
            self.nodes[node] = variant
        if before is not None and before not in self.nodes.values():
            self.gone[before] = now
            self.alive_by_vote.discard(before)

    def alive(self) -> set[int]:
        return set(self.nodes.values()) | self.alive_by_vote

    def drop_early_votes(self, now: float) -> None:
        for key in self.cast.keys() - self.announced.keys():
            for variant, (at, _) in list(self.cast[key].items()):
                if at + self.deadline <= now:
                    del self.cast[key][variant]
                    self.voters[key].discard(variant)

    def early_votes(self) -> int:
        return sum(len(cast) for key, cast in self.cast.items() if key not in self.announced)

    def passed(self, key: Key) -> set[int]:
        order = list(self.announced)
        last = Counter({v: place for place, k in enumerate(order) if self._same_run(k, key) for v in self.voters[k]})
        return {v for v, place in last.items() if place > order.index(key) and order[place][1] > key[1]}

    def waited_for(self, key: Key, cast: dict[int, Vote]) -> set[int]:
        return self.liveness.awaited(key[0], self.opened[key]) - cast.keys() - self.passed(key)

    @staticmethod
    def _same_run(one: Key, other: Key) -> bool:
        return one[0] == other[0] and one[1].run == other[1].run

    def check(self, key: Key, result: WindowResult, now: float) -> None:
        assert key in self.announced
        assert key not in self.labels, "a second result"
        self.labels[key] = result
        assert result.announce is self.announced[key]
        assert result.closed <= now
        assert result.winner == (int(sums(result.votes, self.weights, self.classes).argmax()) if result.votes else None)
        scores = fuse(result.votes, self.weights, self.classes)
        assert result.score == (pytest.approx(scores[result.winner]) if result.winner is not None else None)
        assert result.opened == self.opened[key]
        assert result.votes == {v: vote for v, (at, vote) in self.cast[key].items() if at <= result.closed}
        if result.closed == now:
            assert result.alive == tuple(sorted(self.liveness.alive()))
            self._check_reason(key, result, now)

    def _check_reason(self, key: Key, result: WindowResult, now: float) -> None:
        waited_for = self.waited_for(key, result.votes)
        match result.closed_by:
            case ClosedBy.COMPLETE:
                assert result.votes
                assert not waited_for
            case ClosedBy.SKIPPED:
                assert not result.votes
                assert self.passed(key)
                assert not waited_for
            case ClosedBy.DECIDED:
                assert waited_for
                for other in range(self.classes):
                    worst = sums(result.votes, self.weights, self.classes)
                    worst[other] += sum(self.weights[variant] for variant in waited_for)
                    assert worst.argmax() == result.winner
            case ClosedBy.DEADLINE:
                # An older frame closes with a newer one whose deadline has fallen, so that labels keep their order.
                newer = [k for k in self.announced if self._same_run(k, key) and k[1] >= key[1]]
                assert min(self.opened[k] for k in newer) + self.deadline <= now
