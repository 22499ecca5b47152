"""`vp bench compare`, from flags to figures."""

from __future__ import annotations

import json as json_module
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.comparators.feature_maps import Precision
from benchmarks.comparison.boards import LINKS, Emulation, what_can_be_emulated
from benchmarks.comparison.measure import CompareSettings, Result, compare
from benchmarks.comparison.report import report_table, write_plots
from benchmarks.comparison.systems import Models
from vp_mqtt.errors import UserError
from vp_mqtt.site.machine import machine
from vp_mqtt.training import datasets
from vp_mqtt.training.datasets import Judged
from vp_mqtt.training.datasets.samples import write_samples
from vp_mqtt.training.evaluation.plots import need_matplotlib

_LOOPBACK = "loopback"
_SAMPLES_SIZE = "320x240"
_LARGEST_SHARE = 0.25
_OTHERS_CORES = 0.5  # for broker, fusion node, camera and links
_MOST_BOARDS = 19


@dataclass(frozen=True)
class Choice:
    """The flags, as they were given; see `vp bench compare --help`."""

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
    json: bool


def _several(flag: str, text: str, known: Sequence[str]) -> list[str]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if not chosen or not set(chosen) <= set(known):
        raise UserError(f"{flag} {text}: write one or more of {', '.join(known)}, with commas between")
    return list(dict.fromkeys(chosen))


def core_share(boards: int, cores: int) -> float:
    """Return the share of one core for each of so many boards at once, so that none takes another's time."""
    return min(_LARGEST_SHARE, max(0.5, cores - _OTHERS_CORES) / boards)


def run(choice: Choice) -> None:
    """Compare, and print.

    Raises:
        UserError: a flag, a training, a bundle or the pictures cannot be used.
    """
    links = _several("--links", choice.links, [*LINKS, _LOOPBACK])
    precisions = _several("--precision", choice.precisions, [one.name.lower() for one in Precision])
    try:
        boards = sorted({int(part) for part in choice.boards.split(",")})
    except ValueError:
        boards = []
    if not boards or boards[0] < 2 or boards[-1] > _MOST_BOARDS:  # noqa: PLR2004 (one board is the single network)
        raise UserError(f"--boards {choice.boards}: write numbers from 2 to {_MOST_BOARDS}, such as 2,4,6")
    if choice.plots is not None:
        need_matplotlib()
    share = choice.board_cpu or core_share(boards[-1], os.cpu_count() or 1)
    wants_links = any(link != _LOOPBACK for link in links)
    emulation, cannot = what_can_be_emulated(Emulation(next(iter(LINKS)) if wants_links else None, share))
    told = list(dict.fromkeys(None if link == _LOOPBACK or emulation.link is None else link for link in links))
    with tempfile.TemporaryDirectory(prefix="vp-compare-") as folder:
        models = Models(Path(folder), single=choice.single, shared=choice.cp, family=choice.vp)
        judged = datasets.load_judged(choice.data, choice.root, models.seed()) if choice.data is not None else None
        settings = CompareSettings(
            boards=boards,
            links=told,
            frames=choice.frames,
            fps=choice.fps,
            deadline_ms=choice.deadline_ms,
            core_share=emulation.core_share,
            precisions=precisions,
            source=_pictures(judged, Path(folder), choice.seed),
            size=None if judged else _SAMPLES_SIZE,
            seed=choice.seed,
        )
        results = list(compare(models, settings, judged, lambda text: typer.echo(text, err=True)))
    drawn = write_plots(results, choice.plots) if choice.plots is not None else []
    if choice.json:
        about = {
            "machine": machine(),
            "emulation": {
                "board_cpu": emulation.core_share,
                "links": {name: LINKS[name][0] for name in links if name in LINKS and emulation.link},
                "cannot": cannot,
            },
            "plots": [str(path) for path in drawn],
        }
        typer.echo(json_module.dumps(as_json(results) | about))
        return
    for line in cannot:
        typer.echo(line)
    Console(highlight=False).print(report_table(results))
    for path in drawn:
        typer.echo(f"drawn: {path}")


def _pictures(judged: Judged | None, folder: Path, seed: int) -> str:
    if judged is None:
        return "samples"
    write_samples(judged, folder / "pictures", per_class=2, seed=seed)
    return str(folder / "pictures")


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Return each contender at the most boards behind the first kind of link, and under "all" every result.

    Of model parallelism the precision that answers fastest stands for it.
    """
    first = results[0].link
    found: dict[str, Any] = {}
    for kind in ("single", "mp", "cp", "vp"):
        mine = [result for result in results if result.contender.kind == kind and result.link == first]
        most = max(result.contender.boards for result in mine)
        best = min(
            (result for result in mine if result.contender.boards == most),
            key=lambda result: result.p50_ms if result.p50_ms is not None else float("inf"),
        )
        found[kind] = best.as_dict()
    return found | {"all": [{"system": result.contender.name} | result.as_dict() for result in results]}
