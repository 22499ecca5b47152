"""What happened in the demo: announces, votes and labels, put together frame by frame. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.votes import Vote


class Accuracy(TypedDict):
    """Shares of correct answers, 0..1; None where there was no answer at all."""

    fused: float | None
    variants: list[float | None]


@dataclass(eq=False, slots=True)
class FrameRecord:
    """One frame.

    Attributes:
        announce: the camera's announce.
        is_after_kill: whether it was announced after variants had been killed.
        votes: the most probable class name by variant index.
        label: the fused result, None until it arrives.
        response_ms: from capture to the label's arrival, in ms.
        labels: how many labels arrived; more than one is a defect.
    """

    announce: Announce
    is_after_kill: bool
    votes: dict[int, str] = field(default_factory=dict)
    label: LabelMessage | None = None
    response_ms: float | None = None
    labels: int = 0


def _share(answers: Iterable[bool]) -> float | None:
    correct = list(answers)
    return round(sum(correct) / len(correct), 4) if correct else None


class Record:
    """The frames of a demo and what became of them.

    Attributes:
        classes: the family's class names, by index.
        variants: how many variants the family has.
        frames: by id, in the order of their announces.
        killed: the variants that have been killed so far.
        vote_bytes: the largest vote in bytes: "payload", and "packet" for the whole MQTT packet.
    """

    def __init__(self, classes: Sequence[str], variants: int) -> None:
        self.classes = classes
        self.variants = variants
        self.frames: OrderedDict[FrameId, FrameRecord] = OrderedDict()
        self.killed: tuple[int, ...] = ()
        self.vote_bytes = {"payload": 0, "packet": 0}
        self._early_votes: dict[FrameId, dict[int, str]] = {}

    def add_announce(self, announce: Announce) -> None:
        """Add a camera's announce."""
        record = FrameRecord(announce, is_after_kill=bool(self.killed))
        record.votes.update(self._early_votes.pop(announce.frame, {}))
        self.frames.setdefault(announce.frame, record)

    def add_vote(self, frame: FrameId, variant: int, vote: Vote, payload_bytes: int, packet_bytes: int) -> None:
        """Add a vote, with the sizes of its payload and of its whole MQTT packet, in bytes."""
        record = self.frames.get(frame)
        votes = record.votes if record is not None else self._early_votes.setdefault(frame, {})
        votes[variant] = self.classes[int(vote.classes[0])]
        self.vote_bytes["payload"] = max(self.vote_bytes["payload"], payload_bytes)
        self.vote_bytes["packet"] = max(self.vote_bytes["packet"], packet_bytes)

    def add_label(self, label: LabelMessage, arrival: float) -> None:
        """Add a label that arrived at `arrival`, in seconds on the clock of the frame's capture time."""
        record = self.frames.get(FrameId.parse(label.frame))
        if record is None:
            return
        record.labels += 1
        record.label = label
        record.response_ms = max(0.0, (arrival - label.captured) * 1000)

    def labelled(self) -> int:
        """Return how many frames have their label."""
        return sum(record.label is not None for record in self.frames.values())

    def latency_ms(self) -> dict[str, float | None]:
        """Return quantiles of the response time, from capture to label, in ms."""
        times = [record.response_ms for record in self.frames.values() if record.response_ms is not None]
        names = {"p50": 50, "p95": 95, "p99": 99}
        return {name: round(float(np.percentile(times, q)), 2) if times else None for name, q in names.items()}

    def accuracy(self, where: Callable[[FrameRecord], bool] = lambda _: True) -> Accuracy:
        """Return the shares of correct answers on frames whose truth is known.

        A frame without a label counts against the fused accuracy; a variant is evaluated on the votes that it cast.

        Args:
            where: selects the frames; by default all.
        """
        records = [r for r in self.frames.values() if r.announce.truth is not None and where(r)]
        return Accuracy(
            fused=_share(r.label is not None and r.label.label == r.announce.truth for r in records),
            variants=[
                _share(r.votes[v] == r.announce.truth for r in records if v in r.votes) for v in range(self.variants)
            ],
        )

    def summary(self) -> dict[str, Any]:
        """Return what `vp demo --json` prints, but for the broker."""
        labelled = self.labelled()
        return {
            "frames": len(self.frames),
            "labels": labelled,
            "lost": len(self.frames) - labelled,
            "accuracy": self.accuracy(),
            "accuracy_before": self.accuracy(lambda r: not r.is_after_kill),
            "accuracy_after": self.accuracy(lambda r: r.is_after_kill),
            "latency_ms": self.latency_ms(),
            "vote_bytes": self.vote_bytes,
            "variants": self.variants,
            "killed": list(self.killed),
        }
