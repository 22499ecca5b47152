"""`vp bench faults`: the running system under one fault after the other, with figures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.emulation.network import BoardNetwork, NoNetworkError, private_network
from benchmarks.faults.catalogue import SCENARIOS, NotHereError, Run, Scenario, scratch
from benchmarks.testbed.recording import Figures, evaluate
from benchmarks.testbed.site import CAMERA, Rig
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError

_FULL_DISK = Path("/dev/full")
_PATIENCE_S = 60.0
_RECOVERY_S = 30.0


@dataclass(frozen=True)
class FaultSettings:
    """How the faults are measured.

    Attributes:
        frames: that the camera announces in each run, at least 9.
        fps: how many in a second, greater than 0.
        bundle: name or folder of the family.
        deadline_ms: of a window, in ms.
        hold_s: how long a fault lasts, in s; None: each as long as it needs.
        only: names of the faults to make; none: all.
    """

    frames: int = 300
    fps: float = 10.0
    bundle: str = "fashion-mnist"
    deadline_ms: float = 250.0
    hold_s: float | None = None
    only: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one fault: its figures, or why this machine cannot make it.

    Attributes:
        scenario: the fault.
        figures: None where it could not be made.
        counters: the fusion node's own, at the end.
        unlabelled: frames of which the camera says that no label came.
        reconnects: connections of the nodes beyond their first.
        skipped: why it could not be made.
    """

    scenario: Scenario
    figures: Figures | None = None
    counters: dict[str, int] = dataclasses.field(default_factory=dict)
    unlabelled: int = 0
    reconnects: int = 0
    skipped: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        told: dict[str, Any] = {"fault": self.scenario.name, "what": self.scenario.text}
        if self.figures is None:
            return told | {"skipped": self.skipped}
        return told | {
            **dataclasses.asdict(self.figures),
            "unlabelled_by_camera": self.unlabelled,
            "reconnects": self.reconnects,
            "fusion": self.counters,
        }


def measure(settings: FaultSettings) -> Iterator[Outcome]:
    """Make the faults, one after the other, each on a site of its own, and yield what became of each.

    Raises:
        UserError: there is no such fault or bundle, or Mosquitto is missing.
    """
    unknown = [name for name in settings.only if name not in SCENARIOS]
    if unknown:
        raise UserError(f"--only {unknown[0]}: there is no such fault; there are {', '.join(SCENARIOS)}")
    variants = len(open_bundle(settings.bundle).manifest.variants)
    needed = 1 + max(v for scenario in SCENARIOS.values() for v in (*scenario.concerned, *scenario.behind_link))
    if variants < needed:
        raise UserError(f"--bundle {settings.bundle}: it has {variants} variants; the faults need {needed}")
    for name in settings.only or SCENARIOS:
        yield _measure_one(SCENARIOS[name], settings, variants)


def _measure_one(scenario: Scenario, settings: FaultSettings, variants: int) -> Outcome:
    with ExitStack() as stack:
        try:
            network = None
            if scenario.behind_link:
                stack.enter_context(private_network())
                network = stack.enter_context(BoardNetwork())
            if scenario.disk_full and not _FULL_DISK.is_char_device():
                raise NotHereError(f"there is no {_FULL_DISK}")  # noqa: TRY301 (one place says what is missing)
            rig = stack.enter_context(Rig(bundle=settings.bundle, deadline_ms=settings.deadline_ms, network=network))
            return _run(Run(rig, network, stack, scratch(stack)), scenario, settings, range(variants))
        except (NoNetworkError, NotHereError) as error:
            return Outcome(scenario, skipped=str(error))


def _start(run: Run, scenario: Scenario, settings: FaultSettings, variants: Sequence[int]) -> list[str]:
    rig = run.rig
    log = _FULL_DISK if scenario.disk_full else None
    rig.start_fusion(environment=scenario.environment("fusion", run.folder), log=log)
    for variant in variants:
        environment = scenario.environment(f"v{variant}", run.folder)
        rig.start_variant(variant, behind_link=variant in scenario.behind_link, environment=environment, log=log)
    names = [f"v{variant}" for variant in variants]
    rig.await_online("fusion", *names)
    source = scenario.source(run) if scenario.source else "samples"
    rig.start_camera(
        source=source,
        fps=settings.fps,
        frames=settings.frames * scenario.stretch,
        environment=scenario.environment(CAMERA, run.folder),
        log=log,
    )
    return ["fusion", CAMERA, *names]


def _run(run: Run, scenario: Scenario, settings: FaultSettings, variants: Sequence[int]) -> Outcome:
    rig, observer = run.rig, run.rig.observer
    names = _start(run, scenario, settings, variants)
    seen = observer.seen(CAMERA)
    patience = _PATIENCE_S + settings.frames * scenario.stretch / settings.fps

    def wait_for(frames: int) -> None:
        if not observer.until(lambda: len(seen.announced) >= frames, patience):
            raise UserError(
                f"{scenario.name}: only {len(seen.announced)} frames; {rig.nodes.failed() or 'no error told'}"
            )

    wait_for(settings.frames // 3)
    fault_at = time.monotonic()
    scenario.begin(run)
    hold = scenario.hold_s if settings.hold_s is None else settings.hold_s
    observer.until(lambda: False, hold)
    mended_at = None
    if scenario.mend is not None:
        if not scenario.hides_labels and scenario.source is None:
            wait_for(2 * settings.frames // 3)
        mended_at = time.monotonic()
        scenario.mend(run)
    rig.nodes.wait(CAMERA, patience + hold + _RECOVERY_S)
    observer.settle(CAMERA, 5.0)
    figures = evaluate(
        seen,
        deadline=settings.deadline_ms / 1000,
        fault_at=fault_at,
        mended_at=mended_at,
        concerned=scenario.concerned,
    )
    connections = (observer.counts(name).get("connections", 1) for name in names)
    return Outcome(
        scenario,
        figures,
        observer.counts("fusion"),
        observer.counts(CAMERA).get("unlabelled", 0),
        sum(count - 1 for count in connections),
    )
