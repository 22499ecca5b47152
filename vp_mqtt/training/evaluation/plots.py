"""Plots of an evaluation: the confusion matrix, and accuracy by the number of dead boards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.files import why_unwritable
from vp_mqtt.plain_text import counted
from vp_mqtt.training.evaluation.results import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFUSION_NAME = "confusion.png"
DEAD_BOARDS_NAME = "dead-boards.png"

_DOTS_PER_INCH = 150
_MAX_NUMBERED_CLASSES = 25
"""With more classes, numbers in the cells would be too small to read."""


def need_matplotlib() -> None:
    """Check that plots can be drawn, before the work whose result they show.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 (of the extra `train`, and slow to load)
    except ImportError:
        raise UserError("--plots needs matplotlib: `pip install matplotlib`") from None


def confusion_figure(confusion: NDArray[np.int64], classes: Sequence[str], name: str) -> Figure:
    """Return a plot of the confusion matrix, in percent of each class's pictures.

    Args:
        confusion: pictures of each class (row) by label (column), shape (classes, classes).
        classes: their names.
        name: of the bundle.
    """
    from matplotlib.colors import Normalize, PowerNorm  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    present = np.flatnonzero(confusion.sum(axis=1) + confusion.sum(axis=0)).tolist()
    counts, names = confusion[np.ix_(present, present)], [classes[i] for i in present]
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(6.0, 0.17 * len(names) + 3)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.add_subplot()
    # Without numbers, a square root scale keeps a confusion of 2 % visible beside a diagonal of 95 %.
    norm = Normalize(0, 100) if len(names) <= _MAX_NUMBERED_CLASSES else PowerNorm(0.5, 0, 100)
    image = axes.imshow(percent, cmap="Blues", norm=norm, interpolation="nearest")
    small = 9 if len(names) <= _MAX_NUMBERED_CLASSES else 6
    ticks = list(range(len(names)))
    axes.set_xticks(ticks, names, rotation=90, fontsize=small)
    axes.set_yticks(ticks, names, fontsize=small)
    large = round(8 + size / 2)
    axes.set_xlabel("fused label", fontsize=large)
    axes.set_ylabel("true class", fontsize=large)
    correct = 100 * np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{name}: {correct:.1f} % of {counts.sum()} labels are correct (the diagonal)", fontsize=large)
    scale = figure.colorbar(image, ax=axes, shrink=0.6, fraction=0.03)
    scale.set_label("share of the class's pictures, in %", fontsize=large)
    scale.ax.tick_params(labelsize=large)
    if len(names) <= _MAX_NUMBERED_CLASSES:
        for row, column in np.argwhere(np.rint(percent) >= 1):
            share = percent[row, column]
            colour = "white" if share > 50 else "black"  # noqa: PLR2004 (half of the colour scale)
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def dead_boards_figure(evaluation: Evaluation, name: str) -> Figure:
    """Return a plot of the fused label's accuracy against the number of dead boards.

    Args:
        evaluation: of the bundle.
        name: of the bundle.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    variants = len(evaluation.by_alive)
    dead = [variants - alive for alive in sorted(evaluation.by_alive, reverse=True)]
    by_dead = [evaluation.by_alive[variants - number] for number in dead]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(
        dead,
        [100 * one.worst[0] for one in by_dead],
        [100 * one.best[0] for one in by_dead],
        alpha=0.2,
        label="from the worst to the best choice of dead boards",
    )
    axes.plot(dead, [100 * one.mean for one in by_dead], marker="o", label="mean over all choices")
    for number, one in zip(dead, by_dead, strict=True):
        text, place = f"{100 * one.mean:.1f}", (number, 100 * one.mean)
        axes.annotate(text, place, xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(dead)
    axes.set_xlabel(f"dead boards, of {variants}")
    axes.set_ylabel("accuracy of the fused label, in %")
    axes.margins(y=0.15)
    axes.set_title(f"{name}: accuracy with dead boards ({counted(evaluation.images, 'picture')}, k = {evaluation.k})")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower left")
    return figure


def write_plots(evaluation: Evaluation, classes: Sequence[str], name: str, folder: Path) -> list[Path]:
    """Draw both plots into a folder, and return their paths.

    Raises:
        UserError: the folder cannot be written, or matplotlib is not installed.
    """
    need_matplotlib()
    figures = {
        CONFUSION_NAME: confusion_figure(evaluation.confusion, classes, name),
        DEAD_BOARDS_NAME: dead_boards_figure(evaluation, name),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, figure in figures.items():
            figure.savefig(folder / file, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise UserError(f"--plots {folder}: {why_unwritable(folder, error)}") from None
    return [folder / file for file in figures]
