"""What a run under a fault came to, from what an observer saw on the broker. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from vp_mqtt.protocol.frames import FrameId

GRACE_S = 0.05
"""A label is late when it comes more than this after its deadline, in s."""


@dataclass(frozen=True, slots=True)
class SeenLabel:
    """A label as the observer saw it.

    Attributes:
        frame: the frame's id.
        at: when it arrived, in s, on the observer's monotonic clock.
        label: the class name, None without a vote.
        truth: the true class name, None where the camera does not know it.
    """

    frame: FrameId
    at: float
    label: str | None
    truth: str | None


@dataclass(eq=False, slots=True)
class Seen:
    """What an observer saw of one camera.

    Attributes:
        announced: when the announce of each frame first arrived, in s.
        labels: all labels, in the order of arrival.
        votes: when each vote arrived, in s, by variant.
    """

    announced: dict[FrameId, float] = field(default_factory=dict)
    labels: list[SeenLabel] = field(default_factory=list)
    votes: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run.

    Attributes:
        announced: frames that the observer saw announced.
        labelled: of those, frames with a label message that names a class.
        without_votes: of those, frames reported as not labelled: a label message without a class.
        lost: of those, frames without any label message.
        late: of those, frames whose label message came later than deadline + 50 ms after the announce.
        twice: label messages beyond the first of their frame.
        out_of_order: labels that came after that of a newer frame of the same run of the camera.
        latency_ms_p50: from announce to label, in ms.
        latency_ms_p99: the same.
        latency_ms_max: the same.
        recovery_s: from the mending of the fault (from the fault, where nothing is mended) to the first label with a
            class and the first vote of every variant concerned, in s; None if that never came.
        accuracy: share of right labels among the frames whose truth is known, a frame without a class being wrong.
        accuracy_meanwhile: the same, of frames announced between fault and mending.
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
    recovery_s: float | None
    accuracy: float | None
    accuracy_meanwhile: float | None


def evaluate(
    seen: Seen, *, deadline: float, fault_at: float, mended_at: float | None, concerned: Sequence[int] = ()
) -> Figures:
    """Return the figures of a run.

    Args:
        seen: by the observer.
        deadline: of a window, in s.
        fault_at: when the fault began, in s, on the observer's clock.
        mended_at: when it was mended, None if it stayed.
        concerned: variants whose votes are to come back.
    """
    first: dict[FrameId, SeenLabel] = {}
    for label in seen.labels:
        first.setdefault(label.frame, label)
    known = {frame: first[frame] for frame in seen.announced if frame in first}
    delays = [max(0.0, label.at - seen.announced[frame]) for frame, label in known.items()]
    order = [label.frame for label in seen.labels]
    quantiles = np.quantile(delays, [0.5, 0.99, 1.0]) * 1000 if delays else None
    until = float("inf") if mended_at is None else mended_at
    meanwhile = [label for frame, label in known.items() if fault_at <= seen.announced[frame] < until]
    return Figures(
        announced=len(seen.announced),
        labelled=sum(label.label is not None for label in known.values()),
        without_votes=sum(label.label is None for label in known.values()),
        lost=len(seen.announced) - len(known),
        late=sum(delay > deadline + GRACE_S for delay in delays),
        twice=len(seen.labels) - len(first),
        out_of_order=sum(a.run == b.run and b < a for a, b in pairwise(order)),
        latency_ms_p50=None if quantiles is None else round(float(quantiles[0]), 1),
        latency_ms_p99=None if quantiles is None else round(float(quantiles[1]), 1),
        latency_ms_max=None if quantiles is None else round(float(quantiles[2]), 1),
        recovery_s=_recovery(seen, fault_at if mended_at is None else mended_at, concerned),
        accuracy=_accuracy(list(known.values())),
        accuracy_meanwhile=_accuracy(meanwhile),
    )


def _recovery(seen: Seen, since: float, concerned: Sequence[int]) -> float | None:
    label = min((x.at for x in seen.labels if x.at >= since and x.label is not None), default=None)
    votes = [min((at for at in seen.votes.get(v, ()) if at >= since), default=None) for v in concerned]
    firsts = [at for at in (label, *votes) if at is not None]
    return round(max(firsts) - since, 3) if len(firsts) == 1 + len(votes) else None


def _accuracy(labels: Sequence[SeenLabel]) -> float | None:
    told = [label for label in labels if label.truth is not None]
    return round(sum(label.label == label.truth for label in told) / len(told), 4) if told else None
