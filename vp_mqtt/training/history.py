"""History of a training, as a table and as a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from vp_mqtt.files import open_atomically

HISTORY_NAME = "history.csv"
CURVES_NAME = "curves.png"

Rows = Sequence[Mapping[str, float]]
"""One row per epoch: "epoch", "loss", "fused", "variant 0", "variant 1", .., and "seconds"."""


def write_history(history: Rows, out: Path) -> None:
    """Write the rows as CSV, replacing an earlier file.

    Args:
        history: at least one row.
        out: folder of the training.

    Raises:
        OSError: the file cannot be written.
    """
    with open_atomically(out / HISTORY_NAME) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
        text.detach()


def draw_curves(history: Rows, out: Path, title: str) -> None:
    """Plot loss and validation accuracy by epoch, replacing an earlier plot.

    Args:
        history: at least one row.
        out: folder of the training.
        title: of the plot.

    Raises:
        OSError: the file cannot be written.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    loss.plot(epochs, [row["loss"] for row in history], color="black")
    loss.set(xlabel="epoch", ylabel="training loss")
    variants = sorted(
        (name for name in history[0] if name.startswith("variant")), key=lambda name: int(name.split()[1])
    )
    for name in variants:
        accuracy.plot(epochs, [100 * row[name] for row in history], linewidth=1, label=name)
    accuracy.plot(epochs, [100 * row["fused"] for row in history], color="black", linewidth=2, label="fused")
    accuracy.set(xlabel="epoch", ylabel="validation accuracy, %")
    accuracy.legend()
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    with open_atomically(out / CURVES_NAME) as file:
        figure.savefig(file, format="png", dpi=120)
