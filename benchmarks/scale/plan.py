"""The steps of `vp bench scale`: cost curves, the largest load, and what a bare client does with the same messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.measure import ScaleSite, Step

Log = Callable[[str], None]
_FIRST_SHARE = 0.6
_STEP = 1.25
_MAX_STEPS = 12
_SLOW_FPS = 10.0
_ONE_CORE = 1e6
_PAHO_FACTOR = 3


@dataclass(frozen=True)
class ScaleSettings:
    """What is measured.

    Attributes:
        cameras: of the largest load.
        variants: of the curve over cameras, and of the largest load.
        curve_cameras: points of the curve over cameras.
        curve_variants: points of the curve over variants.
        curve_votes: votes per second at each point.
        seconds: of a step.
        deadline_ms: of a window.
    """

    cameras: int
    variants: int
    curve_cameras: tuple[int, ...]
    curve_variants: tuple[int, ...]
    curve_votes: float
    seconds: float
    deadline_ms: float
    curve_of_variants_cameras: int = 8


def measure(settings: ScaleSettings, log: Log) -> dict[str, Any]:
    """Measure all steps.

    Raises:
        UserError: Mosquitto is missing, or a process failed.
    """
    with ScaleSite(deadline_ms=settings.deadline_ms) as site:
        run = _Run(site, settings, log)
        by_variants = run.curve([(settings.curve_of_variants_cameras, v) for v in settings.curve_variants])
        by_cameras = run.curve([(c, settings.variants) for c in settings.curve_cameras])
        one_camera = run.step(1, settings.variants, _SLOW_FPS)
        in_step = run.step(settings.cameras, settings.variants, _SLOW_FPS, in_step=True)
        ramp = run.ramp(by_cameras[-1].us_per_vote)
        largest = max((s.traffic.votes_per_second for s in ramp if s.keeps_up(settings.deadline_ms)), default=0.0)
        half = run.at_votes(settings.cameras, settings.variants, (largest or ramp[0].traffic.votes_per_second) / 2)
        paho = run.paho()
    return {
        "by_cameras": [one.as_dict() for one in by_cameras],
        "by_variants": [one.as_dict() for one in by_variants],
        "one_camera": one_camera.as_dict(),
        "in_step": in_step.as_dict(),
        "ramp": [one.as_dict() for one in ramp],
        "largest_votes_per_second": round(largest),
        "half_load": half.as_dict(),
        "paho": paho,
        "deadline_ms": settings.deadline_ms,
    }


class _Run:
    def __init__(self, site: ScaleSite, settings: ScaleSettings, log: Log) -> None:
        self._site = site
        self._settings = settings
        self._log = log

    def step(self, cameras: int, variants: int, fps: float, *, in_step: bool = False) -> Step:
        self._site.use(variants)
        found = self._site.measure(self._site.traffic(cameras, variants, fps, self._settings.seconds, in_step=in_step))
        self._log(describe(found.as_dict()))
        return found

    def at_votes(self, cameras: int, variants: int, votes_per_second: float) -> Step:
        return self.step(cameras, variants, votes_per_second / (cameras * variants))

    def curve(self, points: list[tuple[int, int]]) -> list[Step]:
        return [self.at_votes(cameras, variants, self._settings.curve_votes) for cameras, variants in points]

    def ramp(self, us_per_vote: float) -> list[Step]:
        """Raise the rate, from a share of what the cost of a vote promises, until the node does not keep up.

        The last step but one, which it kept up with, and the last are followed by one in between.
        """
        votes = _FIRST_SHARE * _ONE_CORE / us_per_vote
        steps: list[Step] = []
        while len(steps) < _MAX_STEPS:
            steps.append(self._at_largest(votes))
            if not steps[-1].keeps_up(self._settings.deadline_ms):
                steps.append(self._at_largest(votes / _STEP**0.5))
                break
            votes *= _STEP
        return steps

    def _at_largest(self, votes_per_second: float) -> Step:
        return self.at_votes(self._settings.cameras, self._settings.variants, votes_per_second)

    def paho(self) -> dict[str, Any]:
        """Count with a bare client, at the rate of the curves, and at more than it can count."""
        cameras, variants = self._settings.cameras, self._settings.variants
        found = []
        votes = self._settings.curve_votes
        for _ in range(2):
            fps = votes / (cameras * variants)
            found.append(self._site.count_with_paho(self._site.traffic(cameras, variants, fps, self._settings.seconds)))
            votes = _PAHO_FACTOR * _ONE_CORE / found[-1]["us_per_message"]
        self._log(f"a bare paho client: {found[1]['messages_per_second']} messages/s")
        return {"at_rest": found[0], "saturated": found[1]}


def describe(step: dict[str, Any]) -> str:
    """Return a step in one line."""
    window, response = step["window_ms"] or {}, step["response_ms"] or {}
    return (
        f"{step['cameras']} cameras x {step['variants']} variants x {step['fps']:g} frames/s"
        f"{' in step' if step['in_step'] else ''}: {step['votes_per_second']} votes/s, {step['us_per_vote']:.0f} us a "
        f"vote, {step['labels_lost']} of {step['frames']} labels lost, window {window.get('p50', 0):.1f} / "
        f"{window.get('p99', 0):.1f} ms, response {response.get('p50', 0):.1f} / {response.get('p99', 0):.1f} ms "
        f"(p50 / p99), cores {', '.join(f'{name} {share:.0%}' for name, share in step['shares'].items())}"
    )
