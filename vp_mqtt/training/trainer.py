"""The training loop: epochs, validation, checkpoints and progress."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from vp_mqtt.errors import UserError
from vp_mqtt.files import prepare_folder
from vp_mqtt.logs import LOGGER
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin
from vp_mqtt.training.engine import VariantThreads
from vp_mqtt.training.history import draw_curves, write_history
from vp_mqtt.training.learner import JointLearner
from vp_mqtt.training.parallel import cores
from vp_mqtt.training.progress import ProgressReporter
from vp_mqtt.training.validation import Validator
from vp_mqtt.training.view_batches import ViewBatches, telling_of_killed_workers

_CURVES_EVERY_S = 30.0


class Trainer:
    """Trains one family on one data set; `vp_mqtt.training.builder.build_trainer` makes it."""

    def __init__(
        self,
        origin: Origin,
        out: Path,
        *,
        learner: JointLearner,
        batches: ViewBatches,
        validator: Validator,
        threads: VariantThreads,
        progress: ProgressReporter,
    ) -> None:
        """Combine the parts.

        Args:
            origin: what is trained.
            out: folder for the checkpoint and the history.
            learner: updates the networks.
            batches: to train on.
            validator: measures the accuracy after each epoch.
            threads: to validate in.
            progress: receives every step.
        """
        self._origin = origin
        self._epochs = origin.recipe.epochs
        self._out = out
        self._learner = learner
        self._batches = batches
        self._validator = validator
        self._threads = threads
        self._progress = progress
        self._epoch = 0
        self._history: list[dict[str, float]] = []
        self._curves_drawn_at = -math.inf

    def resume(self) -> None:
        """Continue from the checkpoint in the output folder.

        Raises:
            UserError: there is none, or its family, data set or recipe differs.
        """
        saved = Checkpoint.load(self._out / CHECKPOINT_NAME)
        origin = saved.origin.at(self._origin)
        if origin != self._origin:
            different = ", ".join(self._origin.differences(origin))
            raise UserError(
                f"{self._out}: the training there has {different}: continue it without flags for these, or train into "
                "another folder"
            )
        self._learner.restore(saved, self._batches.steps)
        self._epoch, self._history = saved.epoch, saved.history

    @property
    def epoch(self) -> int:
        """Number of epochs done; the last one's checkpoint is saved."""
        return self._epoch

    @property
    def epochs(self) -> int:
        """Number of epochs of the whole training."""
        return self._epochs

    def run(self) -> Checkpoint:
        """Train to the end, with a checkpoint after every epoch, and return the last one.

        Raises:
            UserError: a picture cannot be read, a checkpoint cannot be written, or a worker process was killed.
        """
        prepare_folder(self._out, f"--out {self._out}")
        with telling_of_killed_workers():
            return self._run()

    def _run(self) -> Checkpoint:
        checkpoint = self.checkpoint()
        on_gpu = self._learner.device.type == "cuda"
        drawn = self._batches.ahead(cores() if on_gpu else 1, epoch=self._epoch, pinned=on_gpu)
        while self._epoch < self._epochs:
            started = time.monotonic()
            loss = self._train_epoch(islice(drawn, self._batches.steps))
            row = {"epoch": self._epoch + 1.0, "loss": loss}
            row |= self.validate()
            row["seconds"] = round(time.monotonic() - started, 1)
            checkpoint = self._learner.checkpoint(self._epoch + 1, [*self._history, row])
            checkpoint.save(self._out)
            # Only now: whoever stops the validation is not told of a checkpoint that there is not.
            self._epoch, self._history = checkpoint.epoch, checkpoint.history
            self._write_history()
            self._log(row)
        return checkpoint

    def checkpoint(self) -> Checkpoint:
        """Return the present state; its tensors are those in training, not copies."""
        return self._learner.checkpoint(self._epoch, self._history)

    def validate(self) -> dict[str, float]:
        """Return the accuracy on the validation pictures, 0..1, of the fused label ("fused") and of each variant.

        Raises:
            UserError: a picture cannot be read.
        """
        return self._validator.accuracies(self._learner.passes, self._threads)

    def _train_epoch(self, drawn: Iterable[tuple[list[Tensor], Tensor]]) -> float:
        """Train on the batches of an epoch, and return the mean loss."""
        steps = self._batches.steps
        self._learner.begin_epoch(self._epoch)
        total = torch.zeros((), device=self._learner.device)
        self._progress.begin(self._epoch, self._epochs, steps, self._origin.recipe.batch)
        for step, (views, labels) in enumerate(drawn):
            total += self._learner.learn(views, labels, epoch=self._epoch, step=step, steps=steps)
            self._progress.step(step + 1, total)
        self._progress.end()
        return float(total) / steps

    def _write_history(self) -> None:
        """Write table and plot; a failure is only logged, since the checkpoint has the history too."""
        try:
            write_history(self._history, self._out)
            now = time.monotonic()
            if self._epoch == self._epochs or now - self._curves_drawn_at > _CURVES_EVERY_S:
                self._curves_drawn_at = now
                draw_curves(self._history, self._out, f"{self._origin.family.name} on {self._origin.dataset}")
        except OSError as error:
            LOGGER.warning("%s: history not written (%s)", self._out, error.strerror)

    def _log(self, row: dict[str, float]) -> None:
        LOGGER.info(
            "epoch %d of %d: loss %.3f, validation accuracy fused %.4f, variants %s, %.0f s",
            self._epoch,
            self._epochs,
            row["loss"],
            row["fused"],
            " ".join(f"{row[f'variant {index}']:.4f}" for index in range(len(self._origin.family.variants))),
            row["seconds"],
        )
