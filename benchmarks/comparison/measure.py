"""`vp bench compare`: single network, model, class and variant parallelism on the same emulated boards."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.comparison.accuracy import Probabilities, accuracy_by_dead
from benchmarks.comparison.boards import Boards, Emulation
from benchmarks.comparison.systems import Models, System
from benchmarks.testbed.recording import Recording
from vp_mqtt.training.datasets import EvaluationSet

_PROBE_FRAMES = 4
_PROBE_FPS, _SLOW_PROBE_FPS = 2.0, 0.5
_SLOW_DEADLINE_MS = 5_000.0
"""Deadline for model parallelism, whose feature maps may take seconds to arrive."""
_BUSY = 0.6
"""Share of the time between two frames that a response may take, so that no frame waits for the previous one."""
_LONGEST_PLAY_S = 120.0
_LEAST_FRAMES = 8
_MOST_DEAD_FRAMES = 40
"""Frames of a run with dead boards, at most: it shows a share, not a quantile."""


@dataclass(frozen=True)
class CompareSettings:
    """How systems are compared.

    Attributes:
        boards: numbers of boards.
        links: names of links, see `benchmarks.comparison.boards.LINKS`; None: loopback.
        frames: frames in each measurement, at least 8.
        fps: frames per second; fewer for slower systems.
        deadline_ms: deadline of a window, in ms; longer for model parallelism.
        core_share: share of one core for each board; None: as much as it can get.
        precisions: precisions of the feature maps of model parallelism.
        source: what the camera plays.
        size: size of its frames; None: the size of the pictures.
        seed: random seed of the order in which boards die.
    """

    boards: Sequence[int]
    links: Sequence[str | None]
    frames: int
    fps: float
    deadline_ms: float
    core_share: float | None
    precisions: Sequence[str]
    source: str
    size: str | None
    seed: int = 0


@dataclass(frozen=True)
class Answers:
    """Answered frames of one measurement.

    Attributes:
        frames: frames announced.
        answered: of those, frames with a label that names a class.
        response_ms: their times from announce to label, in ms.
    """

    frames: int
    answered: int
    response_ms: tuple[float, ...]

    @classmethod
    def of(cls, recording: Recording) -> Answers:
        """Count the answers in a recording."""
        times: dict[Any, float] = {}
        for label in recording.labels:
            if label.label is not None and label.frame in recording.announced:
                times.setdefault(label.frame, max(0.0, label.at - recording.announced[label.frame]) * 1000)
        return cls(len(recording.announced), len(times), tuple(times.values()))

    @property
    def share(self) -> float:
        """Share of the frames that were answered, 0..1."""
        return self.answered / self.frames if self.frames else 0.0


@dataclass
class Result:
    """Result of a system on boards behind one kind of link.

    Attributes:
        system: the system.
        link: name of the link; None: loopback.
        fps: frames per second played.
        alive: answers with all boards alive.
        bytes_per_frame: bytes sent by all boards, headers included; None where they cannot be counted.
        dead: answers by number of dead boards.
        death: answers of the run in which a board died.
        accuracy: share of right labels by number of dead boards; empty with random weights or without pictures.
    """

    system: System
    link: str | None
    fps: float
    alive: Answers
    bytes_per_frame: float | None = None
    dead: dict[int, Answers] = field(default_factory=dict)
    death: Answers | None = None
    accuracy: dict[int, float] = field(default_factory=dict)

    @property
    def p50_ms(self) -> float | None:
        """Median response time, in ms."""
        return statistics.median(self.alive.response_ms) if self.alive.response_ms else None

    @property
    def p95_ms(self) -> float | None:
        """95 % of the response times are no longer, in ms."""
        return float(np.quantile(self.alive.response_ms, 0.95)) if self.alive.response_ms else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as `vp bench compare --json` prints it."""
        found: dict[str, Any] = {
            "boards": self.system.boards,
            "link": self.link or "loopback",
            "accuracy": _rounded(self.accuracy.get(0), 4),
            "response_ms": {"p50": _rounded(self.p50_ms, 2), "p95": _rounded(self.p95_ms, 2)},
            "bytes_per_frame": _rounded(self.bytes_per_frame, 0),
            "dead": {
                str(count): {
                    "answered": round(answers.share, 4),
                    # A frame without an answer is a wrong one.
                    "accuracy": _rounded(self.accuracy[count] * answers.share if count in self.accuracy else None, 4),
                }
                for count, answers in sorted(self.dead.items())
            },
            "fps": round(self.fps, 3),
            "frames": self.alive.frames,
            "trained": self.system.is_trained,
        }
        if self.system.precision is not None:
            found["precision"] = self.system.precision
        if self.death is not None:
            longest = max(self.death.response_ms, default=None)
            found["one_dies"] = {
                "frames": self.death.frames,
                "unanswered": self.death.frames - self.death.answered,
                "longest_response_ms": _rounded(longest, 1),
            }
        return found


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def compare(
    models: Models, settings: CompareSettings, evaluation: EvaluationSet | None, report: Callable[[str], None]
) -> Iterator[Result]:
    """Measure every system with every number of boards behind every kind of link, and yield the results.

    Args:
        models: source of the weights.
        settings: how to compare.
        evaluation: pictures for the accuracy; None: response times only.
        report: called with a line about each step.

    Raises:
        UserError: weights cannot be used, or a node did not start.
    """
    known: Probabilities = {}
    singles: set[str | None] = set()
    for boards in settings.boards:
        report(f"preparing models for {boards} boards")
        for system in models.systems(boards, settings.precisions):
            accuracy = accuracy_by_dead(system, evaluation, known) if evaluation and system.is_trained else {}
            for link in settings.links:
                if system.kind == "single" and link in singles:
                    continue
                if system.kind == "single":
                    singles.add(link)
                report(f"{system.name} on {system.boards} board(s), {link or 'loopback'}")
                # The effect of dead boards does not depend on the link: it is measured behind the first one.
                result = measure(system, settings, link, most_dead=boards - 1 if link == settings.links[0] else 1)
                result.accuracy = accuracy
                yield result


def measure(system: System, settings: CompareSettings, link: str | None, most_dead: int) -> Result:
    """Run one system: all boards alive, then one board dies in mid-run, then one more before each further run.

    Args:
        system: the system.
        settings: how to measure.
        link: name of the link; None: loopback.
        most_dead: boards to kill, one after the other; of several boards one always stays alive.

    Raises:
        UserError: a node did not start.
        NoNetworkError: no links can be made here.
        NoQuotaError: processes cannot be limited here.
    """
    order = list(range(system.boards))
    random.Random(settings.seed).shuffle(order)  # noqa: S311 (not for secrets)
    deadline_ms = max(settings.deadline_ms, _SLOW_DEADLINE_MS) if system.kind == "mp" else settings.deadline_ms
    emulation = Emulation(link, settings.core_share)
    with Boards(system, emulation, deadline_ms) as boards:

        def play(fps: float, frames: int, kill_half_way: int | None = None) -> Answers:
            return Answers.of(boards.play(settings.source, settings.size, fps, frames, kill_half_way))

        probe = play(_SLOW_PROBE_FPS if system.kind == "mp" else _PROBE_FPS, _PROBE_FRAMES)
        slowest = max(probe.response_ms, default=deadline_ms)
        fps = min(settings.fps, _BUSY * 1000 / slowest)
        frames = max(_LEAST_FRAMES, min(settings.frames, int(_LONGEST_PLAY_S * fps)))
        before = boards.sent_bytes()
        result = Result(system, link, fps, play(fps, frames))
        after = boards.sent_bytes()
        if before is not None and after is not None:
            result.bytes_per_frame = (after - before) / result.alive.frames
        result.dead[0] = result.alive
        frames = min(frames, _MOST_DEAD_FRAMES)
        result.death = play(fps, frames, order[0])
        for count in range(1, min(most_dead + 1, system.boards)):
            if count > 1:
                boards.cut_power(order[count - 1])
                # Lets the fusion node notice its death, which `one_dies` measures.
                play(fps, _PROBE_FRAMES)
            # Without one of its boards every frame runs into the deadline: a few frames show it.
            result.dead[count] = play(fps, _LEAST_FRAMES if system.kind == "mp" else frames)
    return result
