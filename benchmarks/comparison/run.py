"""`vp bench compare`: from the command line's values to results."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparators.feature_maps import Precision
from benchmarks.comparison.boards import LINKS, Emulation, check_emulation
from benchmarks.comparison.measure import CompareSettings, Result, compare
from benchmarks.comparison.report import write_plots
from benchmarks.comparison.systems import Models
from vp_mqtt.config.number_lists import whole_numbers
from vp_mqtt.errors import UserError
from vp_mqtt.site.machine import describe_machine
from vp_mqtt.training import datasets
from vp_mqtt.training.datasets import EvaluationSet
from vp_mqtt.training.datasets.samples import write_samples
from vp_mqtt.training.evaluation.plots import need_matplotlib

_LOOPBACK = "loopback"
_SAMPLES_SIZE = "320x240"
_LARGEST_SHARE = 0.25
_RESERVED_CORES = 0.5
"""For broker, fusion node, camera and links."""
_MOST_BOARDS = 19


@dataclass(frozen=True)
class CompareRequest:
    """The values of the flags, as given; see `vp bench compare --help`."""

    single: Path | None
    cp: tuple[Path, ...]
    vp: str | None
    data: str | None
    root: Path | None
    boards: str
    links: str
    precisions: str
    board_cpu: float | None
    frames: int
    fps: float
    deadline_ms: float
    seed: int
    plots: Path | None


@dataclass(frozen=True)
class CompareReport:
    """What a comparison found.

    Attributes:
        results: every result.
        emulation: what was emulated.
        links: names of the requested links.
        cannot: what this machine cannot emulate, for people.
        plots: files of the plots.
    """

    results: Sequence[Result]
    emulation: Emulation
    links: Sequence[str]
    cannot: Sequence[str]
    plots: Sequence[Path]

    def as_dict(self) -> dict[str, Any]:
        """Return what `vp bench compare --json` prints."""
        links = {name: LINKS[name][0] for name in self.links if name in LINKS and self.emulation.link}
        return summarise(self.results) | {
            "machine": describe_machine(),
            "emulation": {"board_cpu": self.emulation.core_share, "links": links, "cannot": list(self.cannot)},
            "plots": [str(path) for path in self.plots],
        }


def core_share(boards: int, cores: int) -> float:
    """Return the share of one core that each of so many boards gets when all work at once and none waits for a core."""
    return min(_LARGEST_SHARE, max(0.5, cores - _RESERVED_CORES) / boards)


def run(request: CompareRequest, report: Callable[[str], None]) -> CompareReport:
    """Compare all systems.

    Args:
        request: the values of the flags.
        report: called with a line about each step.

    Raises:
        UserError: a flag, a training, a bundle or the pictures cannot be used.
    """
    links = _parse_names("--links", request.links, [*LINKS, _LOOPBACK])
    precisions = _parse_names("--precision", request.precisions, [one.name.lower() for one in Precision])
    boards = _parse_boards(request.boards)
    if request.plots is not None:
        need_matplotlib()
    wants_links = any(link != _LOOPBACK for link in links)
    share = request.board_cpu or core_share(boards[-1], os.cpu_count() or 1)
    emulation, cannot = check_emulation(Emulation(next(iter(LINKS)) if wants_links else None, share))
    with tempfile.TemporaryDirectory(prefix="vp-compare-") as folder:
        models = Models(Path(folder), single=request.single, class_parallel=request.cp, family=request.vp)
        evaluation = (
            datasets.load_evaluation_set(request.data, request.root, models.seed())
            if request.data is not None
            else None
        )
        settings = CompareSettings(
            boards=boards,
            links=list(dict.fromkeys(None if link == _LOOPBACK or emulation.link is None else link for link in links)),
            frames=request.frames,
            fps=request.fps,
            deadline_ms=request.deadline_ms,
            core_share=emulation.core_share,
            precisions=precisions,
            source=_source(evaluation, Path(folder), request.seed),
            size=None if evaluation else _SAMPLES_SIZE,
            seed=request.seed,
        )
        results = list(compare(models, settings, evaluation, report))
    plots = write_plots(results, request.plots) if request.plots is not None else []
    return CompareReport(results, emulation, links, cannot, plots)


def _parse_names(flag: str, text: str, known: Sequence[str]) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names or not set(names) <= set(known):
        raise UserError(f"{flag} {text}: write one or more of {', '.join(known)}, with commas between")
    return list(dict.fromkeys(names))


def _parse_boards(text: str) -> list[int]:
    boards = sorted(set(whole_numbers(text)))
    if not boards or boards[0] < 2 or boards[-1] > _MOST_BOARDS:  # noqa: PLR2004 (one board is the single network)
        raise UserError(f"--boards {text}: write numbers from 2 to {_MOST_BOARDS}, such as 2,4,6")
    return boards


def _source(evaluation: EvaluationSet | None, folder: Path, seed: int) -> str:
    if evaluation is None:
        return "samples"
    write_samples(evaluation, folder / "pictures", per_class=2, seed=seed)
    return str(folder / "pictures")


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """Return each system with the most boards behind the first kind of link, and under "all" every result.

    Model parallelism is represented by the precision with the fastest response.
    """
    first = results[0].link
    found: dict[str, Any] = {}
    for kind in ("single", "mp", "cp", "vp"):
        mine = [result for result in results if result.system.kind == kind and result.link == first]
        most = max(result.system.boards for result in mine)
        best = min(
            (result for result in mine if result.system.boards == most),
            key=lambda result: result.p50_ms if result.p50_ms is not None else float("inf"),
        )
        found[kind] = best.as_dict()
    return found | {"all": [{"system": result.system.name} | result.as_dict() for result in results]}
