"""Joint training of a family: one loss per variant and one on the fused output (arXiv 2210.08376)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture, resize_square
from vp_mqtt.logs import LOGGER
from vp_mqtt.training.averaging import WeightAverages
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin
from vp_mqtt.training.datasets import Dataset, Pictures
from vp_mqtt.training.engine import GraphedPasses, Passes, ThreadedPasses
from vp_mqtt.training.history import draw_curves, write_history
from vp_mqtt.training.losses import JointLoss, Target, fused_sums
from vp_mqtt.training.networks import VariantNetwork, measure_statistics, needs_statistics
from vp_mqtt.training.parallel import cores
from vp_mqtt.training.pretrained.starting_weights import Start, in_order, load_fitting
from vp_mqtt.training.progress import Progress, QuietProgress
from vp_mqtt.training.view_batches import DrawnBatches, to_input

_VALIDATION_BATCH = 125
_CURVES_EVERY_S = 30.0
_MEASURED_PICTURES = 128
_WARM_UP = 0.12
# Streams of chance, beside those of the batches.
_MIXUP, _DROPOUT, _MISSING = 3, 4, 5

T = TypeVar("T")


class JointTraining:
    """The training of one family on one data set, on a GPU where torch finds one, else on the CPU."""

    def __init__(
        self,
        origin: Origin,
        dataset: Dataset,
        out: Path,
        *,
        weights: Sequence[Start] = (),
        teacher: Checkpoint | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Build the networks.

        Args:
            origin: what is to be made.
            dataset: to learn from.
            out: folder for the checkpoint and the history.
            weights: to start from; each variant takes the first that fits, see `in_order`.
            teacher: a trained family of the same classes to learn from beside the labels.
            progress: told of every step.

        Raises:
            UserError: the weights or the teacher do not fit, or there is less than one batch of pictures.
        """
        cv2.setNumThreads(1)
        recipe = origin.recipe
        torch.manual_seed(recipe.seed)
        self._origin = origin
        self._recipe = recipe
        self._dataset = dataset
        self._out = out
        self._progress = progress or QuietProgress()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._cores = cores()
        self._readers = ThreadPoolExecutor(self._cores, "reader")
        self._steps = len(dataset.train) // recipe.batch
        if not self._steps:
            raise UserError(
                f"{len(dataset.train)} pictures to learn from are less than a batch of {recipe.batch};"
                f" write --batch {max(1, len(dataset.train) // 4)}"
            )
        self._networks = [VariantNetwork(spec, len(origin.classes)) for spec in origin.family.variants]
        for spec, network in zip(origin.family.variants, self._networks, strict=True):
            if weights:
                match = load_fitting(network, in_order(weights, spec, origin.classes, with_filters=recipe.head_filters))
                LOGGER.debug("loaded %s; from chance %s; unused %s", match.loaded, match.kept, match.unused)
                if needs_statistics(network):
                    measure_statistics(network, self._some_inputs(spec.resolution).cpu())
            network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._averages = WeightAverages(self._networks, recipe.average)
        self._resolutions = [spec.resolution for spec in origin.family.variants]
        self._teachers: list[VariantNetwork] = []
        self._teacher_resolutions: list[int] = []
        if teacher is not None:
            self._take_teacher(teacher)
        self._vote_weights = origin.family.weights()
        self._loss = JointLoss(
            self._vote_weights,
            recipe.k,
            label_smoothing=recipe.label_smoothing,
            distilled=recipe.distilled,
            mutual=recipe.mutual,
            temperature=recipe.temperature,
        )
        named = [item for network in self._networks for item in network.named_parameters()]
        # What never learns keeps its statistics, too, and costs no backward pass.
        frozen = [network.features[: recipe.frozen_blocks] for network in self._networks]
        never = {id(p) for blocks in frozen for p in blocks.parameters()}
        for blocks in frozen:
            blocks.requires_grad_(requires_grad=False)
        self._backbones = [p for name, p in named if name.startswith("features.") and id(p) not in never]
        heads = [p for name, p in named if not name.startswith("features.")]
        self._optimizer = torch.optim.AdamW(
            [{"params": self._backbones}, {"params": heads}],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=[recipe.learning_rate, recipe.head_rate * recipe.learning_rate],
            total_steps=recipe.epochs * self._steps,
            pct_start=_WARM_UP,
            div_factor=20,
            final_div_factor=200,
        )
        # On a CPU, variants side by side, each in one thread, beat threads within their small convolutions.
        workers = min(self._cores, len(self._networks)) if self._device.type == "cpu" else 1
        torch.set_num_threads(max(1, self._cores // workers))
        self._threads = ThreadPoolExecutor(workers, "variant")
        self._dearest_first = sorted(range(len(self._networks)), key=lambda index: -self._resolutions[index])
        self._passes = self._side_by_side()
        self._epoch = 0
        self._history: list[dict[str, float]] = []
        self._drawn_at = -math.inf

    def _side_by_side(self) -> Passes:
        frozen_blocks = self._recipe.frozen_blocks
        if self._device.type == "cuda":
            return GraphedPasses(
                self._networks,
                self._averages.networks,
                self._teachers,
                frozen_blocks=frozen_blocks,
                batch=self._recipe.batch,
            )
        return ThreadedPasses(
            self._networks,
            self._averages.networks,
            self._teachers,
            frozen_blocks=frozen_blocks,
            threads=self._threads,
            order=self._dearest_first,
        )

    def _some_inputs(self, resolution: int) -> Tensor:
        pictures = self._dataset.train
        chosen = np.random.default_rng(self._recipe.seed).permutation(len(pictures))[:_MEASURED_PICTURES]
        return self._as_seen(pictures, [int(index) for index in chosen], resolution)

    def _as_seen(self, pictures: Pictures, indices: Sequence[int], resolution: int) -> Tensor:
        """Return pictures as a device would see them, shape (N, 3, resolution, resolution)."""

        def seen(index: int) -> Picture:
            return resize_square(pictures.picture(index), resolution)

        # On a CPU each variant is in a thread already.
        views = self._readers.map(seen, indices) if self._device.type == "cuda" else map(seen, indices)
        return to_input(torch.from_numpy(np.stack(list(views))).to(self._device))

    def _take_teacher(self, teacher: Checkpoint) -> None:
        if teacher.origin.classes != self._origin.classes:
            raise UserError("--teacher: it was trained on other classes than those to be learned")
        self._teachers = teacher.trained_networks()
        for network in self._teachers:
            network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._teacher_resolutions = [spec.resolution for spec in teacher.origin.family.variants]

    def resume(self) -> None:
        """Go on from the checkpoint in the folder.

        Raises:
            UserError: there is none, or it is of another family, data set or recipe.
        """
        saved = Checkpoint.load(self._out / CHECKPOINT_NAME)
        if saved.origin != self._origin:
            ours, theirs = self._origin.model_dump(), saved.origin.model_dump()
            other = ", ".join(key for key in ours if ours[key] != theirs[key])
            raise UserError(f"{self._out}: the checkpoint there has another {other}; train into another folder")
        for network, state in zip(self._networks, saved.networks, strict=True):
            network.load_state_dict(state)
        self._averages.restore(saved.averages, saved.epoch * self._steps)
        self._optimizer.load_state_dict(saved.optimizer)
        self._schedule.load_state_dict(saved.schedule)
        self._epoch, self._history = saved.epoch, saved.history

    def run(self) -> Checkpoint:
        """Train to the end, a checkpoint after every epoch, and return the last.

        Raises:
            UserError: a picture cannot be read, or a checkpoint not be written.
        """
        checkpoint = self._checkpoint()
        batches = DrawnBatches(
            self._dataset.train,
            [*self._resolutions, *self._teacher_resolutions],
            self._recipe.views,
            batch=self._recipe.batch,
            seed=self._recipe.seed,
            epochs=self._recipe.epochs,
        )
        on_gpu = self._device.type == "cuda"
        drawn = batches.ahead(self._cores if on_gpu else 1, epoch=self._epoch, pinned=on_gpu)
        while self._epoch < self._recipe.epochs:
            started = time.monotonic()
            loss = self._train_epoch(islice(drawn, self._steps))
            self._epoch += 1
            row = {"epoch": float(self._epoch), "loss": loss, **self.validate(self._dataset.validation)}
            row["seconds"] = round(time.monotonic() - started, 1)
            self._history.append(row)
            checkpoint = self._checkpoint()
            checkpoint.save(self._out)
            self._tell_history()
            LOGGER.info(
                "epoch %d of %d: loss %.3f, validation accuracy fused %.4f, variants %s, %.0f s",
                self._epoch,
                self._recipe.epochs,
                loss,
                row["fused"],
                " ".join(f"{row[f'variant {i}']:.4f}" for i in range(len(self._networks))),
                row["seconds"],
            )
        return checkpoint

    def validate(self, pictures: Pictures) -> dict[str, float]:
        """Return the accuracy of the averaged networks, each and fused, 0..1, on pictures prepared as on a device."""
        labels = torch.from_numpy(pictures.labels)

        size = self._recipe.batch if self._device.type == "cuda" else _VALIDATION_BATCH

        def logits_of(variant: int) -> Tensor:
            parts = []
            for start in range(0, len(pictures), size):
                indices = range(start, min(start + size, len(pictures)))
                inputs = self._as_seen(pictures, indices, self._resolutions[variant])
                parts.append(self._passes.average(variant, inputs).cpu())
            return torch.cat(parts)

        logits = self._for_each_variant(logits_of)
        result = {"fused": _accuracy(fused_sums(logits, self._vote_weights, self._recipe.k), labels)}
        return result | {f"variant {i}": _accuracy(one, labels) for i, one in enumerate(logits)}

    def _for_each_variant(self, work: Callable[[int], T]) -> list[T]:
        """Return what `work` gives for every variant, by index, done side by side, the dearest begun first."""
        done = dict(zip(self._dearest_first, self._threads.map(work, self._dearest_first), strict=True))
        return [done[variant] for variant in range(len(self._networks))]

    def _chance(self, stream: int, *place: int) -> np.random.Generator:
        return np.random.default_rng([stream, self._recipe.seed, self._epoch, *place])

    def _train_epoch(self, drawn: Iterable[tuple[list[Tensor], Tensor]]) -> float:
        recipe, epoch = self._recipe, self._epoch
        for index, network in enumerate(self._networks):
            network.train()
            network.dropout.seed(int(self._chance(_DROPOUT, index).integers(2**62)))
        self._passes.begin()
        progress = (epoch / max(1, recipe.epochs - 1)) if recipe.epochs > 1 else 1.0
        mixes = recipe.mixup > 0 and progress < recipe.mixup_until
        fused_share = recipe.early_fused if progress < 0.5 else recipe.late_fused  # noqa: PLR2004 (half-way)
        total = torch.zeros((), device=self._device)
        self._progress.begin(epoch, recipe.epochs, self._steps, recipe.batch)
        for step, (views, labels) in enumerate(drawn):
            done = epoch * self._steps + step
            for parameter in self._backbones:
                parameter.requires_grad_(done >= recipe.frozen_steps)
            share = float(self._chance(_MIXUP, step).beta(recipe.mixup, recipe.mixup)) if mixes else 1.0
            self._optimizer.zero_grad(set_to_none=True)
            total += self._learn(views, labels, step=step, share=share, fused_share=fused_share)
            self._optimizer.step()
            self._schedule.step()
            self._averages.update_after(done + 1)
            self._progress.step(step + 1, total)
        self._progress.end()
        return float(total) / self._steps

    def _learn(self, views: list[Tensor], labels: Tensor, *, step: int, share: float, fused_share: float) -> Tensor:
        """Add the gradients of one batch to the parameters, and return the loss.

        Args:
            views: of each variant and of the teacher, shape (N, resolution, resolution, 3), uint8.
            labels: shape (N,).
            step: of the epoch, for chance.
            share: of each picture in its mixture, 0..1; 1 for no mixup.
            fused_share: weight of the loss of the fusion, 0..1.
        """
        partner = torch.from_numpy(self._chance(_MIXUP, step, 1).permutation(len(labels)))

        def mixed(index: int) -> Tensor:
            inputs = to_input(views[index].to(self._device, non_blocking=True))
            return inputs if share == 1.0 else share * inputs + (1 - share) * inputs[partner.to(self._device)]

        outputs, lessons = self._passes.forward(mixed)
        target = Target(
            labels.to(self._device),
            labels[partner].to(self._device),
            share,
            torch.stack(lessons).mean(0) if lessons else None,
        )
        leaves = [output.detach().requires_grad_() for output in outputs]
        loss = self._loss(leaves, target, fused_share, self._draw_missing(step))
        loss.backward()  # type: ignore[no-untyped-call]
        # Variants meet only in the loss: back, too, each runs by itself.
        self._passes.backward([leaf.grad for leaf in leaves if leaf.grad is not None])
        return loss.detach()

    def _draw_missing(self, step: int) -> list[int]:
        """Draw variants that the fusion has to do without in a step; never all of them."""
        if not self._recipe.missing:
            return []
        rng = self._chance(_MISSING, step)
        missing = np.flatnonzero(rng.random(len(self._networks)) < self._recipe.missing).tolist()
        if len(missing) == len(self._networks):
            missing.remove(int(rng.integers(len(self._networks))))
        return missing

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            origin=self._origin,
            epoch=self._epoch,
            networks=[network.state_dict() for network in self._networks],
            averages=[average.state_dict() for average in self._averages.networks],
            optimizer=self._optimizer.state_dict(),
            schedule=self._schedule.state_dict(),
            history=self._history,
        )

    def _tell_history(self) -> None:
        """Write table and picture; the checkpoint, which has it all, is safe already."""
        try:
            write_history(self._history, self._out)
            now = time.monotonic()
            if self._epoch == self._recipe.epochs or now - self._drawn_at > _CURVES_EVERY_S:
                self._drawn_at = now
                draw_curves(self._history, self._out, f"{self._origin.family.name} on {self._origin.dataset}")
        except OSError as error:
            LOGGER.warning("%s: history not written (%s)", self._out, error.strerror)


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    return round(float((scores.argmax(1) == labels).float().mean()), 4)
