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
"""Feature maps may take seconds: model parallelism is given the time, so that there is something to compare."""
_BUSY = 0.6  # of the time between frames that a response may take, so that no frame waits for the one before
_LONGEST_PLAY_S = 40.0
_LEAST_FRAMES = 8


@dataclass(frozen=True)
class CompareSettings:
    """How systems are compared.

    Attributes:
        boards: numbers of boards.
        links: names of links, see `benchmarks.comparison.boards.LINKS`; None: loopback.
        frames: in each measurement, at least 8.
        fps: frames per second, less where a system is slower.
        deadline_ms: of a window, in ms; longer for model parallelism.
        core_share: of one core that each board has, None: all it can get.
        precisions: of the feature maps of model parallelism.
        source: what the camera plays.
        size: of its frames; None: as the pictures are.
        seed: of which boards die.
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
    """What became of the frames of one measurement.

    Attributes:
        frames: announced.
        answered: of those, with a label that names a class.
        response_ms: of those, from announce to label, in ms.
    """

    frames: int
    answered: int
    response_ms: tuple[float, ...]

    @classmethod
    def of(cls, recording: Recording) -> Answers:
        """Count what an recorder saw of one camera."""
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
    """What a system came to on boards behind one kind of link.

    Attributes:
        system: which.
        link: name, None: loopback.
        fps: frames per second that were played.
        alive: with all boards alive; None if no frame was answered in the probe.
        bytes_per_frame: that all boards sent, whole packets; None where it cannot be told.
        dead: by how many boards were dead.
        death: while one board died.
        accuracy: share of right labels by how many boards are dead; empty with random weights or without pictures.
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

    def as_dict(self) -> dict[str, Any]:
        """Return it as `vp bench compare --json` prints it."""
        times = self.alive.response_ms
        p50, p95 = np.quantile(times, [0.5, 0.95]).tolist() if times else (None, None)
        told: dict[str, Any] = {
            "boards": self.system.boards,
            "link": self.link or "loopback",
            "accuracy": _rounded(self.accuracy.get(0), 4),
            "response_ms": {"p50": _rounded(p50, 2), "p95": _rounded(p95, 2)},
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
            told["precision"] = self.system.precision
        if self.death is not None:
            longest = max(self.death.response_ms, default=None)
            told["one_dies"] = {
                "frames": self.death.frames,
                "unanswered": self.death.frames - self.death.answered,
                "longest_response_ms": _rounded(longest, 1),
            }
        return told


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def compare(
    models: Models, settings: CompareSettings, judged: EvaluationSet | None, tell: Callable[[str], None]
) -> Iterator[Result]:
    """Measure every system with every number of boards behind every kind of link, and yield what each came to.

    Args:
        models: where the weights come from.
        settings: how to compare.
        judged: pictures for the accuracy; None: response times only.
        tell: told what is being measured.

    Raises:
        UserError: weights cannot be used, or a node did not start.
    """
    known: Probabilities = {}
    singles: set[str | None] = set()
    for boards in settings.boards:
        tell(f"preparing models for {boards} boards")
        for system in models.systems(boards, settings.precisions):
            accuracy = accuracy_by_dead(system, judged, known) if judged and system.is_trained else {}
            for link in settings.links:
                if system.kind == "single" and link in singles:
                    continue
                if system.kind == "single":
                    singles.add(link)
                tell(f"{system.name} on {system.boards} board(s), {link or 'loopback'}")
                # What dead boards cost does not hang on the link: it is measured behind the first.
                result = measure(system, settings, link, most_dead=boards - 1 if link == settings.links[0] else 1)
                result.accuracy = accuracy
                yield result


def measure(system: System, settings: CompareSettings, link: str | None, most_dead: int) -> Result:
    """Run one system: all boards alive, then one board dies in mid-run, then one more before each further run.

    Args:
        system: to be measured.
        settings: how.
        link: name, None: loopback.
        most_dead: boards to kill, one after the other; one always stays alive, where there are several.

    Raises:
        UserError: a node did not start.
        NoNetworkError: no links can be made here.
        NoQuotaError: processes cannot be limited here.
    """
    order = list(range(system.boards))
    random.Random(settings.seed).shuffle(order)  # noqa: S311 (rng, no secrets)
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
        result.death = play(fps, frames, order[0])
        for count in range(1, min(most_dead + 1, system.boards)):
            if count > 1:
                boards.cut_power(order[count - 1])
                # The frames in which its death is noticed are those of `one_dies`.
                play(fps, _PROBE_FRAMES)
            # Without a board of all, every frame takes the whole deadline: a few show it.
            result.dead[count] = play(fps, _LEAST_FRAMES if system.kind == "mp" else frames)
    return result
