"""`vp bench latency`: the models alone, then the running system."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.latency.end_to_end import EndToEndSettings
from benchmarks.latency.end_to_end import measure as measure_end_to_end
from vp_mqtt.site.machine import describe_machine
from vp_mqtt.site.selection import Precision


@dataclass(frozen=True)
class Selection:
    """Which models are measured, and how.

    Attributes:
        family: name or TOML file of the family.
        classes: number of classes of the networks, at least 2.
        runs: runs of each model, at least 1.
        runtimes: names of installed runtimes; the first one runs the nodes.
        threads: numbers of threads of a runtime, each at least 1.
        precisions: precisions of the models; a family with random weights runs end to end in the first one.
        measures_models: whether the models are measured alone.
    """

    family: str
    classes: int
    runs: int
    runtimes: Sequence[str]
    threads: Sequence[int]
    precisions: Sequence[Precision]
    measures_models: bool


@dataclass(frozen=True)
class Playback:
    """What runs end to end.

    Attributes:
        bundle: name or folder; None: the family with random weights.
        source: what the camera plays; None: synthetic pictures.
        frames: with one variant alive, and again with all of them, at least 3.
        fps: frames per second.
        size: width and height of the frames, in pixels.
        passes_through: whether the camera gets JPEGs and passes them through, or encodes every frame.
    """

    bundle: str | None
    source: str | None
    frames: int
    fps: float
    size: tuple[int, int]
    passes_through: bool


def measure(selection: Selection, playback: Playback | None, report: Callable[[str], None]) -> dict[str, Any]:
    """Measure, and return what `vp bench latency --json` prints.

    Args:
        selection: which models, and how.
        playback: what runs end to end; None: the models alone are measured.
        report: called with a line about each step.

    Raises:
        UserError: family, bundle, runtime or source are not usable, Mosquitto is missing, or a node did not start.
    """
    found: dict[str, Any] = {"family": selection.family, "classes": selection.classes, "models": [], "end_to_end": None}
    found["machine"] = describe_machine()
    with tempfile.TemporaryDirectory(prefix="vp-bench-") as temporary:
        bundle = playback.bundle if playback is not None else None
        if selection.measures_models or (playback is not None and bundle is None):
            # torch is not needed for a bundle end to end.
            from benchmarks.latency.models import compare_all, models_of, write_variants  # noqa: PLC0415
            from vp_mqtt.training.presets import load_family  # noqa: PLC0415

            precisions = selection.precisions if selection.measures_models else selection.precisions[:1]
            family = load_family(selection.family)
            models = models_of(family, selection.classes, precisions, report)
            if selection.measures_models:
                comparisons = compare_all(
                    models, names=selection.runtimes, threads=selection.threads, runs=selection.runs, report=report
                )
                found["models"] = [comparison.as_dict() for comparison in comparisons]
            if bundle is None:
                bundle = write_variants(Path(temporary), family, models[precisions[0]])
        if playback is not None:
            settings = EndToEndSettings(
                bundle=str(bundle),
                runtime=selection.runtimes[0],
                frames=playback.frames,
                fps=playback.fps,
                size=playback.size,
                source=playback.source,
                passes_through=playback.passes_through,
            )
            found["end_to_end"] = measure_end_to_end(settings, report)
    return found
