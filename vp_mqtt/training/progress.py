"""Progress of a training: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol, SupportsFloat

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vp_mqtt.logs import LOGGER
from vp_mqtt.terminal import can_redraw

_LINE_EVERY_S = 30.0
_LOSS_EVERY = 10


class ProgressReporter(Protocol):
    """Receives the progress of a training."""

    def begin(self, epoch: int, epochs: int, steps: int, batch: int) -> None:
        """Begin an epoch.

        Args:
            epoch: from 0.
            epochs: of the training.
            steps: in this epoch.
            batch: pictures per step.
        """

    def step(self, done: int, total: SupportsFloat) -> None:
        """Report steps done.

        Args:
            done: steps done in this epoch.
            total: sum of their losses. Converting it to a float waits for the GPU, so do it rarely.
        """

    def end(self) -> None:
        """End the epoch."""


class SilentProgress:
    """No-op progress reporter."""

    def begin(self, epoch: int, epochs: int, steps: int, batch: int) -> None:
        """Do nothing."""

    def step(self, done: int, total: SupportsFloat) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class ProgressLines:
    """Says how many steps of all are done, for programs."""

    def __init__(self, say: Callable[[str, int, int], None]) -> None:
        """Say it with this function: stage, steps done, and steps of the whole training."""
        self._say = say
        self._before = self._all = 0

    def begin(self, epoch: int, epochs: int, steps: int, batch: int) -> None:  # noqa: ARG002 (see `ProgressReporter`)
        """Begin an epoch."""
        self._before, self._all = epoch * steps, epochs * steps

    def step(self, done: int, total: SupportsFloat) -> None:  # noqa: ARG002
        """Report steps done."""
        self._say("fine-tuning", self._before + done, self._all)

    def end(self) -> None:
        """Do nothing."""


class ProgressLog:
    """Logs pictures/s and the time left every 30 seconds."""

    def __init__(self) -> None:
        """Start without an epoch."""
        self._epoch = self._epochs = self._steps = self._batch = 0
        self._started = self._logged_at = 0.0

    def begin(self, epoch: int, epochs: int, steps: int, batch: int) -> None:
        """Begin an epoch."""
        self._epoch, self._epochs, self._steps, self._batch = epoch, epochs, steps, batch
        self._started = self._logged_at = time.monotonic()

    def step(self, done: int, total: SupportsFloat) -> None:
        """Log a line if the last one is 30 seconds old."""
        now = time.monotonic()
        if now - self._logged_at < _LINE_EVERY_S:
            return
        self._logged_at = now
        rate = done / (now - self._started)
        left = (self._epochs - self._epoch) * self._steps - done
        LOGGER.info(
            "epoch %d step %d of %d: loss %.3f, %.0f pictures/s, about %.0f min left",
            self._epoch + 1,
            done,
            self._steps,
            float(total) / done,
            rate * self._batch,
            left / rate / 60,
        )

    def end(self) -> None:
        """Do nothing: the trainer logs the epoch's result."""


class ProgressBar:
    """Draws a bar for each epoch, with pictures/s and the time left for the whole training."""

    def __init__(self, console: Console) -> None:
        """Draw on this console."""
        self._console = console
        self._bar: Progress | None = None
        self._batch = self._steps = self._epochs_left = 0
        self._started = 0.0
        self._loss = ""

    def begin(self, epoch: int, epochs: int, steps: int, batch: int) -> None:
        """Start a new bar."""
        self._batch, self._steps, self._epochs_left = batch, steps, epochs - epoch
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("epoch done in"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
        )
        self._bar.add_task("", total=steps, epoch=f"{epoch + 1}/{epochs}", rate="", left="")
        self._started = time.monotonic()
        self._bar.start()

    def step(self, done: int, total: SupportsFloat) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        rate = done / (time.monotonic() - self._started)
        minutes = (self._epochs_left * self._steps - done) / rate / 60
        if done % _LOSS_EVERY == 0:
            self._loss = f", loss {float(total) / done:.3f}"
        self._bar.update(
            self._bar.tasks[0].id,
            completed=done,
            rate=f"{rate * self._batch:.0f} pictures/s{self._loss}",
            left=f"all in {minutes:.0f} min",
        )

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()


def progress_for(console: Console) -> ProgressReporter:
    """Return a bar if the console can redraw it, else log lines."""
    return ProgressBar(console) if can_redraw(sys.stderr if console.stderr else sys.stdout) else ProgressLog()
