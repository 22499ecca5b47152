"""Recordings of a camera's frames and labels, and their summary. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from vp_mqtt.protocol.frames import FrameId

GRACE_S = 0.05
"""A label is late when it comes more than this after its deadline, in s."""


@dataclass(frozen=True, slots=True)
class RecordedLabel:
    """A recorded label.

    Attributes:
        frame: the frame's id.
        at: time of its arrival, in s, on the recorder's monotonic clock.
        label: the class name, None without a vote.
        truth: the true class name; None where the camera does not know it.
    """

    frame: FrameId
    at: float
    label: str | None
    truth: str | None


@dataclass(eq=False, slots=True)
class Recording:
    """Everything recorded of one camera.

    Attributes:
        announced: time at which the announce of each frame first arrived, in s.
        labels: all labels, in the order of arrival.
        votes: times at which votes arrived, in s, by variant.
    """

    announced: dict[FrameId, float] = field(default_factory=dict)
    labels: list[RecordedLabel] = field(default_factory=list)
    votes: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Summary of one run.

    Attributes:
        announced: frames that were announced.
        labelled: of those, frames with a label message that names a class.
        without_votes: of those, frames reported as not labelled: a label message without a class.
        lost: of those, frames without any label message.
        late: of those, frames whose label message came later than deadline + 50 ms after the announce.
        twice: label messages beyond the first of their frame.
        out_of_order: labels that came after the label of a newer frame of the same run of the camera.
        latency_ms_p50: median from announce to label, in ms.
        latency_ms_p99: 99th percentile, likewise.
        latency_ms_max: maximum, likewise.
        latency_ms_p99_before: 99th percentile of the frames announced before the fault, likewise.
        latency_ms_p99_meanwhile: 99th percentile of the frames announced during the fault, likewise.
        recovery_s: from the end of the fault (from its beginning, if it does not end) to the first label with a class
            and the first vote of every affected variant, in s; None if that never came.
        accuracy: share of right labels among the frames with known truth; a frame without a class counts as wrong.
        accuracy_meanwhile: likewise, of frames announced during the fault.
    """

    announced: int
    labelled: int
    without_votes: int
    lost: int
    late: int
    twice: int
    out_of_order: int
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    latency_ms_max: float | None
    latency_ms_p99_before: float | None
    latency_ms_p99_meanwhile: float | None
    recovery_s: float | None
    accuracy: float | None
    accuracy_meanwhile: float | None


def summarise(
    recording: Recording,
    *,
    deadline: float,
    fault_began_at: float,
    fault_ended_at: float | None,
    affected: Sequence[int] = (),
) -> RunSummary:
    """Summarise a run.

    Args:
        recording: the recording.
        deadline: deadline of a window, in s.
        fault_began_at: when the fault began, in s, on the recorder's clock.
        fault_ended_at: when it ended; None if it did not end.
        affected: variants whose votes are to return.
    """
    first: dict[FrameId, RecordedLabel] = {}
    for label in recording.labels:
        first.setdefault(label.frame, label)
    known = {frame: first[frame] for frame in recording.announced if frame in first}
    delays = [max(0.0, label.at - recording.announced[frame]) for frame, label in known.items()]
    order = [label.frame for label in recording.labels]
    quantiles = np.quantile(delays, [0.5, 0.99, 1.0]) * 1000 if delays else None
    until = float("inf") if fault_ended_at is None else fault_ended_at
    meanwhile = [label for frame, label in known.items() if fault_began_at <= recording.announced[frame] < until]
    return RunSummary(
        announced=len(recording.announced),
        labelled=sum(label.label is not None for label in known.values()),
        without_votes=sum(label.label is None for label in known.values()),
        lost=len(recording.announced) - len(known),
        late=sum(delay > deadline + GRACE_S for delay in delays),
        twice=len(recording.labels) - len(first),
        out_of_order=sum(a.run == b.run and b < a for a, b in pairwise(order)),
        latency_ms_p50=None if quantiles is None else round(float(quantiles[0]), 1),
        latency_ms_p99=None if quantiles is None else round(float(quantiles[1]), 1),
        latency_ms_max=None if quantiles is None else round(float(quantiles[2]), 1),
        latency_ms_p99_before=_p99(recording, first, 0.0, fault_began_at),
        latency_ms_p99_meanwhile=_p99(recording, first, fault_began_at, until),
        recovery_s=_recovery(recording, fault_began_at if fault_ended_at is None else fault_ended_at, affected),
        accuracy=_accuracy(list(known.values())),
        accuracy_meanwhile=_accuracy(meanwhile),
    )


def _p99(recording: Recording, first: dict[FrameId, RecordedLabel], since: float, until: float) -> float | None:
    delays = [
        max(0.0, first[frame].at - announced)
        for frame, announced in recording.announced.items()
        if since <= announced < until and frame in first
    ]
    return round(float(np.quantile(delays, 0.99)) * 1000, 1) if delays else None


def _recovery(recording: Recording, since: float, affected: Sequence[int]) -> float | None:
    label = min((x.at for x in recording.labels if x.at >= since and x.label is not None), default=None)
    votes = [min((at for at in recording.votes.get(v, ()) if at >= since), default=None) for v in affected]
    firsts = [at for at in (label, *votes) if at is not None]
    return round(max(firsts) - since, 3) if len(firsts) == 1 + len(votes) else None


def _accuracy(labels: Sequence[RecordedLabel]) -> float | None:
    known = [label for label in labels if label.truth is not None]
    return round(sum(label.label == label.truth for label in known) / len(known), 4) if known else None
