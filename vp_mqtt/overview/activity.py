"""What each node and camera of a site has done in the last seconds, and why votes are missing. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import LabelMessage, StatsMessage

_COUNTED = {"camera": "frames", "variant": "votes", "fusion": "labels"}
"""What a node of each role does, by the name of its counter."""


class Outcome(Enum):
    """What became of a variant's vote on a frame."""

    VOTED = auto()
    NOT_NEEDED = auto()
    """The label was certain without it, or it had moved on to a newer frame."""
    LATE = auto()
    """It was waited for until the deadline."""
    AWAY = auto()
    """Nobody waited for it: its board is not alive, or is suspected not to be."""


def outcome(label: LabelMessage, variant: int) -> Outcome:
    """Return what became of a variant's vote on a label's frame."""
    if variant in label.voted:
        return Outcome.VOTED
    if variant not in label.alive:
        return Outcome.AWAY
    return Outcome.LATE if label.closed_by is ClosedBy.DEADLINE else Outcome.NOT_NEEDED


@dataclass(slots=True)
class NodeActivity:
    """A node's newest stats, and the rate of what it does.

    Attributes:
        stats: the newest ones.
        per_s: frames, votes or labels per second between the last two; None before there are two.
    """

    stats: StatsMessage
    per_s: float | None = None

    def note(self, stats: StatsMessage, role: str) -> None:
        """Note further stats of the node."""
        before, self.stats = self.stats, stats
        passed = stats.uptime_s - before.uptime_s
        name = _COUNTED.get(role, "")
        done = stats.counts.get(name, 0) - before.counts.get(name, 0)
        # A node that has started again counts from the beginning.
        self.per_s = done / passed if passed > 0 and done >= 0 else None

    @property
    def takes_ms(self) -> float | None:
        """The median of its latency, in ms, see `StatsMessage`; None without any."""
        return None if self.stats.latency_ms is None else self.stats.latency_ms.p50


@dataclass(slots=True)
class Recently:
    """The labels of the last seconds, summed up.

    Attributes:
        labels: how many.
        outcomes: what became of the votes, by variant.
        responses: times from capture to label, in ms, by camera, as far as clocks agree.
        by_camera: labels by camera.
    """

    labels: int = 0
    outcomes: dict[int, Counter[Outcome]] = field(default_factory=dict)
    responses: dict[str, list[float]] = field(default_factory=dict)
    by_camera: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, labels: Iterable[tuple[LabelMessage, float | None]]) -> Recently:
        """Sum up labels, each with its response time in ms, or None."""
        found = cls()
        for label, response in labels:
            found.labels += 1
            found.by_camera[label.camera] += 1
            if response is not None:
                found.responses.setdefault(label.camera, []).append(response)
            for variant in (*label.voted, *label.missing):
                found.outcomes.setdefault(variant, Counter())[outcome(label, variant)] += 1
        return found

    def response_ms(self, camera: str) -> float | None:
        """Return the median response time of a camera, in ms."""
        return statistics.median(self.responses[camera]) if camera in self.responses else None

    def votes(self, variant: int) -> str:
        """Return for people what became of a variant's votes; empty without labels."""
        return describe(self.outcomes.get(variant, Counter()))


def describe(outcomes: Mapping[Outcome, int]) -> str:
    """Return for people what became of votes: "voted 98%, late 2%"."""
    total = sum(outcomes.values())
    if not total:
        return ""
    words = {
        Outcome.VOTED: "voted",
        Outcome.LATE: "late",
        Outcome.NOT_NEEDED: "not needed",
        Outcome.AWAY: "not waited for",
    }
    return ", ".join(f"{word} {outcomes[kind] / total:.0%}" for kind, word in words.items() if outcomes.get(kind))
