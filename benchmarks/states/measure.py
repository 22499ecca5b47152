"""Changes that a state shows against those that were there, and how late. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vp_mqtt.fusion.state import SeenLabel, StateMachine, StateRules


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that was published.

    Attributes:
        at: when, in s.
        label: what the fusion node made of it.
        truth: the class that was before the camera; None for none of the family's.
    """

    at: float
    label: SeenLabel
    truth: str | None


@dataclass(frozen=True, slots=True)
class _Segment:
    """Something that was before the camera: from when to when, and which frames show it first and last."""

    truth: str | None
    first: int
    last: int
    start: float
    end: float


def thin_out(frames: Sequence[Frame], is_moving: Sequence[bool], heartbeat_s: float) -> list[Frame]:
    """Return what a motion gate lets pass: frames in which something moves, and one every `heartbeat_s` else."""
    passed: list[Frame] = []
    for frame, moves in zip(frames, is_moving, strict=True):
        if moves or not passed or frame.at - passed[-1].at >= heartbeat_s - 1e-6:
            passed.append(frame)
    return passed


def evaluate(frames: Sequence[Frame], rules: StateRules, segments_of: Sequence[Frame]) -> dict[str, Any]:
    """Return what one setting makes of a sequence.

    Args:
        frames: those that were published.
        rules: the setting.
        segments_of: all frames, those that a gate kept back included: when what really changed.

    Returns:
        "published": changes; "needless": those that were not the first right one after a true change; "missed": share
        of the true changes that the state never followed, the median and the 95th percentile of the "delay_s" and
        "delay_frames" (published ones) of the others, and the share of the time in which the state was "right".
    """
    changes = list(_changes(frames, rules, segments_of[-1].at))
    segments = list(_segments(segments_of))
    delays, frame_delays, first_right = [], [], 0
    times = [frame.at for frame in frames]
    right = 0.0
    for segment in segments:
        is_early = _state_before(changes, segment.start) == segment.truth
        found = segment.start if is_early else _first_right(changes, segment)
        if found is not None:
            delays.append(found - segment.start)
            begin, end = np.searchsorted(times, [segment.start - 1e-6, found + 1e-6])
            frame_delays.append(int(end - begin))
            # A state that was there before its time has not changed for it.
            first_right += not is_early
        right += _right_time(changes, segment)
    return {
        "published": len(changes),
        "needless": len(changes) - first_right,
        "missed": round(1 - len(delays) / len(segments), 4),
        "delay_s": _quantiles(delays),
        "delay_frames": _quantiles(frame_delays),
        "right": round(right / (segments[-1].end - segments[0].start), 4),
    }


def true_changes(frames: Sequence[Frame]) -> int:
    """Return how often what is before the camera changes, the beginning included."""
    return sum(1 for _ in _segments(frames))


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95]) if values else (float("nan"), float("nan"))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def _changes(frames: Sequence[Frame], rules: StateRules, end: float) -> Iterator[tuple[float, str | None]]:
    """Yield the changes of the state, as the fusion node would publish them."""
    machine = StateMachine(rules, frames[0].at)

    def tick(until: float) -> Iterator[tuple[float, str | None]]:
        while (due := machine.next_due()) <= until:
            changed = machine.tick(due, due)
            if changed is not None:
                yield due, changed.label

    for frame in frames:
        yield from tick(frame.at)
        changed = machine.note(frame.label, frame.at, frame.at)
        if changed is not None:
            yield frame.at, changed.label
    yield from tick(end)


def _segments(frames: Sequence[Frame]) -> Iterator[_Segment]:
    first = 0
    for number in range(1, len(frames) + 1):
        if number == len(frames) or frames[number].truth != frames[first].truth:
            end = frames[min(number, len(frames) - 1)].at
            yield _Segment(frames[first].truth, first, number - 1, frames[first].at, end)
            first = number


def _state_before(changes: Sequence[tuple[float, str | None]], at: float) -> str | None:
    """Return the state just before a time; a text that is no class where there was none."""
    return next((label for when, label in reversed(changes) if when < at), "")


def _first_right(changes: Sequence[tuple[float, str | None]], segment: _Segment) -> float | None:
    return next((at for at, label in changes if segment.start <= at < segment.end and label == segment.truth), None)


def _right_time(changes: Sequence[tuple[float, str | None]], segment: _Segment) -> float:
    total = 0.0
    for (at, label), (until, _) in zip(changes, [*changes[1:], (float("inf"), None)], strict=True):
        if label == segment.truth:
            total += max(0.0, min(until, segment.end) - max(at, segment.start))
    return total
