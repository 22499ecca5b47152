"""What happened in the demo: announces, votes and labels, put together frame by frame. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vp_mqtt.bundle.manifest import NONE_CLASS
from vp_mqtt.demo.shares import Share, Shares, gap, paired_gap
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.votes import Vote

_MAX_EARLY = 1000
UNKNOWN = "unknown"
"""What is shown in place of a label for a picture of none of the classes."""


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

    def is_right(self) -> bool:
        """Return whether the fused label is the truth; of a picture of none of the classes, whether there is none."""
        label = self.label
        if label is None or self.announce.truth is None:
            return False
        if self.announce.truth == NONE_CLASS:
            return label.label is None and bool(label.voted)
        return label.label == self.announce.truth

    def is_right_of(self, variant: int) -> bool:
        """Return whether a variant's vote is the truth."""
        return self.votes[variant] == self.announce.truth


def _count(answers: Iterable[bool]) -> Share:
    found = list(answers)
    return Share(sum(found), len(found))


class Record:
    """The frames of a demo and what became of them.

    Attributes:
        classes: the family's class names, by index.
        variants: how many variants the family has.
        strongest: the variant that the fused label is compared with, chosen before any frame was seen.
        frames: by id, in the order of their announces.
        killed: the variants that have been killed so far.
        vote_bytes: the largest vote in bytes: "payload", and "packet" for the whole MQTT packet.
    """

    def __init__(self, classes: Sequence[str], variants: int, strongest: int = 0, *, keep: int | None = None) -> None:
        """Start without any.

        Args:
            classes: the family's class names, by index.
            variants: how many variants the family has.
            strongest: the variant to compare the fused label with.
            keep: so many frames are remembered, the newest; None for all.
        """
        self._keep = keep
        self.classes = classes
        self.variants = variants
        self.strongest = strongest
        self.frames: OrderedDict[FrameId, FrameRecord] = OrderedDict()
        self.killed: tuple[int, ...] = ()
        self.vote_bytes = {"payload": 0, "packet": 0}
        self._early_votes: OrderedDict[FrameId, dict[int, str]] = OrderedDict()

    def add_announce(self, announce: Announce) -> None:
        """Add a camera's announce."""
        record = FrameRecord(announce, is_after_kill=bool(self.killed))
        record.votes.update(self._early_votes.pop(announce.frame, {}))
        self.frames.setdefault(announce.frame, record)
        if self._keep is not None and len(self.frames) > self._keep:
            self.frames.popitem(last=False)

    def add_vote(self, frame: FrameId, variant: int, vote: Vote, payload_bytes: int, packet_bytes: int) -> None:
        """Add a vote, with the sizes of its payload and of its whole MQTT packet, in bytes."""
        record = self.frames.get(frame)
        votes = record.votes if record is not None else self._early_votes.setdefault(frame, {})
        if len(self._early_votes) > _MAX_EARLY:
            self._early_votes.popitem(last=False)
        votes[variant] = self.classes[vote.classes[0]]
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

    def shares(self, where: Callable[[FrameRecord], bool] = lambda _: True) -> Shares:
        """Return the shares of right answers on frames whose truth is one of the classes.

        A frame without a label counts against the fused label; a variant is evaluated on the votes that it cast.

        Args:
            where: selects the frames; by default all.
        """
        records = [r for r in self._of_known_truth() if where(r)]
        return Shares(
            fused=_count(r.is_right() for r in records),
            variants=[_count(r.is_right_of(v) for r in records if v in r.votes) for v in range(self.variants)],
        )

    def _of_known_truth(self) -> Iterable[FrameRecord]:
        return (record for record in self.frames.values() if record.announce.truth in self.classes)

    def _against_strongest(self) -> dict[str, Any] | None:
        """Return by how much the fused label is better than the strongest variant, on the frames that both answered."""
        strongest = self.strongest
        both = [r for r in self._of_known_truth() if strongest in r.votes]
        fused_only = sum(r.is_right() and not r.is_right_of(strongest) for r in both)
        variant_only = sum(r.is_right_of(strongest) and not r.is_right() for r in both)
        found = paired_gap(fused_only, variant_only, len(both))
        return None if found is None else {"variant": strongest} | found

    def summary(self) -> dict[str, Any]:
        """Return what `vp demo --json` prints, but for the broker."""
        labelled = self.labelled()
        shares = self.shares()
        before, after = self.shares(lambda r: not r.is_after_kill), self.shares(lambda r: r.is_after_kill)
        truths = Counter(r.announce.truth for r in self.frames.values() if r.announce.truth is not None)
        answers = Counter(r.label.label for r in self.frames.values() if r.label is not None and r.label.voted)
        return {
            "frames": len(self.frames),
            "labels": labelled,
            "lost": len(self.frames) - labelled,
            "accuracy": shares.values(),
            "accuracy_before": before.values(),
            "accuracy_after": after.values(),
            "interval_95": shares.intervals(),
            "interval_95_before": before.intervals(),
            "interval_95_after": after.intervals(),
            "fused_minus_variant": self._against_strongest(),
            "after_minus_before": gap(after.fused, before.fused),
            "not_classes": {truth: truths[truth] for truth in sorted(truths) if truth not in self.classes},
            "answers": {answer or UNKNOWN: count for answer, count in answers.most_common()},
            "latency_ms": self.latency_ms(),
            "vote_bytes": self.vote_bytes,
            "variants": self.variants,
            "killed": list(self.killed),
        }
