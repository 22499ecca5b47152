"""What the demo saw: announces, votes and labels, put together frame by frame. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.votes import Vote


class Accuracy(TypedDict):
    """Shares of right answers, 0..1; None where there was no answer at all."""

    fused: float | None
    variants: list[float | None]


@dataclass(eq=False, slots=True)
class FrameRecord:
    """One frame.

    Attributes:
        announce: the camera's announce of it.
        after_kill: whether it was announced after variants were killed.
        votes: the most probable class name by variant index.
        label: the fused result, None until it arrives.
        response_ms: from capture to the label's arrival, in ms.
        labels: how many labels arrived; more than one is a defect.
    """

    announce: Announce
    after_kill: bool
    votes: dict[int, str] = field(default_factory=dict)
    label: LabelMessage | None = None
    response_ms: float | None = None
    labels: int = 0


def _share(right: Iterable[bool]) -> float | None:
    answers = list(right)
    return round(sum(answers) / len(answers), 4) if answers else None


class Record:
    """Everything that the demo saw."""

    def __init__(self, classes: Sequence[str], variants: int) -> None:
        """Start with nothing.

        Args:
            classes: the family's class names, by index.
            variants: how many variants the family has.
        """
        self._classes = classes
        self._variants = variants
        self.frames: OrderedDict[FrameId, FrameRecord] = OrderedDict()
        self._early_votes: dict[FrameId, dict[int, str]] = {}
        self.vote_bytes = {"payload": 0, "packet": 0}
        self.is_after_kill = False

    def announced(self, announce: Announce) -> None:
        """Note a camera's announce."""
        record = FrameRecord(announce, self.is_after_kill)
        record.votes.update(self._early_votes.pop(announce.frame, {}))
        self.frames.setdefault(announce.frame, record)

    def voted(self, frame: FrameId, variant: int, vote: Vote, payload_bytes: int, packet_bytes: int) -> None:
        """Note a vote, with the sizes of its payload and of its whole MQTT packet, in bytes."""
        record = self.frames.get(frame)
        votes = record.votes if record is not None else self._early_votes.setdefault(frame, {})
        votes[variant] = self._classes[int(vote.classes[0])]
        self.vote_bytes["payload"] = max(self.vote_bytes["payload"], payload_bytes)
        self.vote_bytes["packet"] = max(self.vote_bytes["packet"], packet_bytes)

    def labelled(self, label: LabelMessage, now: float) -> None:
        """Note a label that arrived at `now`, on the wall clock that the frame's capture was announced with, in s."""
        record = self.frames.get(FrameId.parse(label.frame))
        if record is None:
            return
        record.labels += 1
        record.label = label
        record.response_ms = max(0.0, (now - label.captured) * 1000)

    def labels(self) -> int:
        """Return how many frames have their label."""
        return sum(record.label is not None for record in self.frames.values())

    def latency_ms(self) -> dict[str, float | None]:
        """Return quantiles of the response time, from capture to label, in ms."""
        times = [record.response_ms for record in self.frames.values() if record.response_ms is not None]
        names = {"p50": 50, "p95": 95, "p99": 99}
        return {name: round(float(np.percentile(times, q)), 2) if times else None for name, q in names.items()}

    def accuracy(self, where: Callable[[FrameRecord], bool] = lambda _: True) -> Accuracy:
        """Return the shares of right answers on frames whose truth is known: of all, or of those chosen.

        A frame without a label counts against the fused accuracy; a variant is judged on the votes that it cast.
        """
        records = [r for r in self.frames.values() if r.announce.truth is not None and where(r)]
        return Accuracy(
            fused=_share(r.label is not None and r.label.label == r.announce.truth for r in records),
            variants=[
                _share(r.votes[v] == r.announce.truth for r in records if v in r.votes) for v in range(self._variants)
            ],
        )
