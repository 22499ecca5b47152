"""`vp bench faults`: the running system under one fault after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.emulation.network import BoardNetwork, NoNetworkError, private_network
from benchmarks.faults.catalogue import FAULTS, Fault, FaultRun, UnavailableFaultError, temporary_folder
from benchmarks.testbed.recording import RunSummary, summarise
from benchmarks.testbed.site import CAMERA, MeasuredSite
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError

_FULL_DISK = Path("/dev/full")
_PATIENCE_S = 60.0
_RECOVERY_S = 30.0


@dataclass(frozen=True)
class FaultSettings:
    """How the faults are measured.

    Attributes:
        frames: frames announced in each run, at least 9.
        fps: frames per second, greater than 0.
        bundle: name or folder of the family.
        deadline_ms: deadline of a window, in ms.
        hold_s: how long a fault lasts, in s; None: as long as each needs.
        only: names of the faults to cause; none: all.
    """

    frames: int = 300
    fps: float = 10.0
    bundle: str = "fashion-mnist"
    deadline_ms: float = 250.0
    hold_s: float | None = None
    only: Sequence[str] = ()


@dataclass(frozen=True)
class FaultOutcome:
    """The outcome of one fault: its summary, or why this machine cannot cause it.

    Attributes:
        fault: the fault.
        summary: summary of the run; None where the fault could not be caused.
        counters: the fusion node's counters at the end.
        unlabelled: frames for which the camera reports that no label came.
        reconnects: connections of the nodes beyond their first.
        skipped: why the fault could not be caused.
    """

    fault: Fault
    summary: RunSummary | None = None
    counters: dict[str, int] = dataclasses.field(default_factory=dict)
    unlabelled: int = 0
    reconnects: int = 0
    skipped: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        found: dict[str, Any] = {"fault": self.fault.name, "what": self.fault.text}
        if self.summary is None:
            return found | {"skipped": self.skipped}
        return found | {
            **dataclasses.asdict(self.summary),
            "unlabelled_by_camera": self.unlabelled,
            "reconnects": self.reconnects,
            "fusion": self.counters,
        }


def measure(settings: FaultSettings) -> Iterator[FaultOutcome]:
    """Cause the faults, one after the other, each on a site of its own, and yield the outcomes.

    Raises:
        UserError: there is no such fault or bundle, or Mosquitto is missing.
    """
    unknown = [name for name in settings.only if name not in FAULTS]
    if unknown:
        raise UserError(f"--only {unknown[0]}: there is no such fault; there are {', '.join(FAULTS)}")
    variants = len(open_bundle(settings.bundle).manifest.variants)
    needed = 1 + max(v for fault in FAULTS.values() for v in (*fault.affected, *fault.behind_link))
    if variants < needed:
        raise UserError(f"--bundle {settings.bundle}: it has {variants} variants; the faults need {needed}")
    for name in settings.only or FAULTS:
        yield _measure_one(FAULTS[name], settings, variants)


def _measure_one(fault: Fault, settings: FaultSettings, variants: int) -> FaultOutcome:
    with ExitStack() as stack:
        try:
            network = None
            if fault.behind_link:
                stack.enter_context(private_network())
                network = stack.enter_context(BoardNetwork())
            if fault.is_disk_full and not _FULL_DISK.is_char_device():
                raise UnavailableFaultError(f"there is no {_FULL_DISK}")  # noqa: TRY301 (one place says what is missing)
            site = stack.enter_context(
                MeasuredSite(bundle=settings.bundle, deadline_ms=settings.deadline_ms, network=network, records=CAMERA)
            )
            return _run(FaultRun(site, network, stack, temporary_folder(stack)), fault, settings, range(variants))
        except (NoNetworkError, UnavailableFaultError) as error:
            return FaultOutcome(fault, skipped=str(error))


def _start(run: FaultRun, fault: Fault, settings: FaultSettings, variants: Sequence[int]) -> list[str]:
    site = run.site
    log = _FULL_DISK if fault.is_disk_full else None
    site.start_fusion(environment=fault.environment("fusion", run.folder), log=log)
    for variant in variants:
        environment = fault.environment(f"v{variant}", run.folder)
        site.start_variant(variant, behind_link=variant in fault.behind_link, environment=environment, log=log)
    names = [f"v{variant}" for variant in variants]
    site.await_online("fusion", *names)
    source = fault.source(run) if fault.source else "samples"
    site.start_camera(
        source=source,
        fps=settings.fps,
        frames=settings.frames * fault.frames_factor,
        environment=fault.environment(CAMERA, run.folder),
        log=log,
    )
    return ["fusion", CAMERA, *names]


def _run(run: FaultRun, fault: Fault, settings: FaultSettings, variants: Sequence[int]) -> FaultOutcome:
    site, recorder = run.site, run.site.recorder
    names = _start(run, fault, settings, variants)
    recording = recorder.recording(CAMERA)
    patience = _PATIENCE_S + settings.frames * fault.frames_factor / settings.fps

    def wait_for(frames: int) -> None:
        if not recorder.until(lambda: len(recording.announced) >= frames, patience):
            raise UserError(
                f"{fault.name}: only {len(recording.announced)} frames; {site.nodes.failed() or 'no error reported'}"
            )

    wait_for(settings.frames // 3)
    fault_began_at = time.monotonic()
    fault.begin(run)
    hold = fault.hold_s if settings.hold_s is None else settings.hold_s
    recorder.until(lambda: False, hold)
    fault_ended_at = None
    if fault.end is not None:
        if not fault.hides_labels and fault.source is None:
            wait_for(2 * settings.frames // 3)
        fault_ended_at = time.monotonic()
        fault.end(run)
    site.nodes.wait(CAMERA, patience + hold + _RECOVERY_S)
    recorder.settle(CAMERA, 5.0)
    summary = summarise(
        recording,
        deadline=settings.deadline_ms / 1000,
        fault_began_at=fault_began_at,
        fault_ended_at=fault_ended_at,
        affected=fault.affected,
    )
    connections = (recorder.counts(name).get("connections", 1) for name in names)
    return FaultOutcome(
        fault,
        summary,
        recorder.counts("fusion"),
        recorder.counts(CAMERA).get("unlabelled", 0),
        sum(count - 1 for count in connections),
    )
