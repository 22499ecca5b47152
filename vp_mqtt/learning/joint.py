"""Joint training of a family: one loss per variant and one on the fused output (arXiv 2210.08376)."""

from __future__ import annotations

import copy
import csv
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from vp_mqtt.errors import UserError
from vp_mqtt.family import Preprocessing
from vp_mqtt.inference.pictures import prepare
from vp_mqtt.learning.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin
from vp_mqtt.learning.datasets import Dataset, Pictures
from vp_mqtt.learning.networks import VariantNetwork
from vp_mqtt.learning.pretrained import load_backbone
from vp_mqtt.learning.views import draw_views
from vp_mqtt.logs import LOGGER

HISTORY_NAME = "history.csv"

_AVERAGED_EVERY = 8
_REPORTED_EVERY = 50
_BATCHES_AHEAD = 6
_VALIDATION_BATCH = 250
_WARM_UP = 0.12
# Streams of chance: each draws anew for every epoch or step, so that a training resumed is the training continued.
_ORDER, _VIEWS, _MIXUP, _DROPOUT = 1, 2, 3, 4


def fused_sums(logits: Sequence[Tensor], weights: Sequence[float], k: int) -> Tensor:
    """Return the weighted sums of the variants' top-k probabilities, shape (N, classes); their softmax is the fusion.

    Args:
        logits: of each variant, shape (N, classes).
        weights: of each variant's vote.
        k: classes in a vote; the others count as zero.
    """
    total = torch.zeros_like(logits[0])
    for one, weight in zip(logits, weights, strict=True):
        probabilities = one.softmax(1)
        largest, indices = probabilities.topk(k, 1)
        total = total + weight * torch.zeros_like(probabilities).scatter(1, indices, largest)
    return total


def to_input(views: NDArray[np.uint8]) -> Tensor:
    """Return networks' input, (N, 3, H, W), float32, RGB, -1..1, from views, (N, H, W, 3), uint8, blue, green, red."""
    pictures = torch.from_numpy(np.ascontiguousarray(views[..., ::-1])).permute(0, 3, 1, 2)
    return pictures.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


class JointTraining:
    """The training of one family on one data set."""

    def __init__(
        self, origin: Origin, dataset: Dataset, out: Path, weights: Mapping[str, NDArray[np.float32]] | None = None
    ) -> None:
        """Build the networks.

        Args:
            origin: what is to be made.
            dataset: to learn from.
            out: folder for the checkpoint and the history.
            weights: arrays for the backbones to start from.

        Raises:
            UserError: the weights do not fit, or there is less than one batch of pictures.
        """
        cv2.setNumThreads(1)
        recipe = origin.recipe
        torch.manual_seed(recipe.seed)
        self._origin = origin
        self._recipe = recipe
        self._dataset = dataset
        self._out = out
        self._steps = len(dataset.train) // recipe.batch
        if not self._steps:
            raise UserError(f"{len(dataset.train)} pictures to learn from are less than a batch of {recipe.batch}")
        self._networks = [VariantNetwork(spec, len(origin.classes)) for spec in origin.family.variants]
        for network in self._networks:
            if weights is not None:
                load_backbone(network, weights)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._averages = [copy.deepcopy(network) for network in self._networks]
        self._vote_weights = origin.family.weights()
        named = [item for network in self._networks for item in network.named_parameters()]
        self._backbones = [p for name, p in named if name.startswith("features.")]
        heads = [p for name, p in named if not name.startswith("features.")]
        self._optimizer = torch.optim.AdamW(
            [{"params": self._backbones}, {"params": heads}],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=[recipe.learning_rate, 2 * recipe.learning_rate],
            total_steps=recipe.epochs * self._steps,
            pct_start=_WARM_UP,
            div_factor=20,
            final_div_factor=200,
        )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = min(cores, len(self._networks))
        torch.set_num_threads(max(1, cores // workers))
        self._threads = ThreadPoolExecutor(workers, "variant")
        resolutions = [spec.resolution for spec in origin.family.variants]
        self._dearest_first = sorted(range(len(resolutions)), key=lambda index: -resolutions[index])
        self._epoch = 0
        self._history: list[dict[str, float]] = []

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
        for network, average, state, averaged in zip(
            self._networks, self._averages, saved.networks, saved.averages, strict=True
        ):
            network.load_state_dict(state)
            average.load_state_dict(averaged)
        self._optimizer.load_state_dict(saved.optimizer)
        self._schedule.load_state_dict(saved.schedule)
        self._epoch, self._history = saved.epoch, saved.history

    def run(self) -> Checkpoint:
        """Train to the end, a checkpoint after every epoch, and return the last.

        Raises:
            UserError: a picture cannot be read, or a checkpoint not be written.
        """
        checkpoint = self._checkpoint()
        while self._epoch < self._recipe.epochs:
            started = time.monotonic()
            loss = self._train_epoch()
            self._epoch += 1
            row = {"epoch": float(self._epoch), "loss": loss, **self.validate(self._dataset.validation)}
            row["seconds"] = round(time.monotonic() - started, 1)
            self._history.append(row)
            checkpoint = self._checkpoint()
            checkpoint.save(self._out)
            self._write_history()
            LOGGER.info(
                "epoch %d of %d: loss %.3f, validation accuracy fused %.4f, variants %s",
                self._epoch,
                self._recipe.epochs,
                loss,
                row["fused"],
                " ".join(f"{row[f'variant {i}']:.4f}" for i in range(len(self._networks))),
            )
        return checkpoint

    def validate(self, pictures: Pictures) -> dict[str, float]:
        """Return the accuracy of the averaged networks, each and fused, 0..1, on pictures prepared as on a device."""
        labels = torch.from_numpy(pictures.labels)
        logits = []
        with torch.inference_mode():
            for network, spec in zip(self._averages, self._origin.family.variants, strict=True):
                network.eval()
                parts = []
                for start in range(0, len(pictures), _VALIDATION_BATCH):
                    indices = range(start, min(start + _VALIDATION_BATCH, len(pictures)))
                    batch = [prepare(pictures.picture(i), spec.resolution, Preprocessing()) for i in indices]
                    inputs = torch.from_numpy(np.concatenate(batch))
                    parts.append(network(inputs.contiguous(memory_format=torch.channels_last)))
                logits.append(torch.cat(parts))
        sums = fused_sums(logits, self._vote_weights, self._recipe.k)
        result = {"fused": _accuracy(sums, labels)}
        return result | {f"variant {i}": _accuracy(one, labels) for i, one in enumerate(logits)}

    def _train_epoch(self) -> float:
        recipe, epoch = self._recipe, self._epoch
        for index, network in enumerate(self._networks):
            network.train()
            network.dropout.seed(
                int(np.random.SeedSequence([_DROPOUT, recipe.seed, epoch, index]).generate_state(1)[0])
            )
        averaged = _floating(self._averages)
        current = _floating(self._networks)
        progress = (epoch / max(1, recipe.epochs - 1)) if recipe.epochs > 1 else 1.0
        fused_share = recipe.early_fused if progress < 0.5 else recipe.late_fused  # noqa: PLR2004 (half-way)
        mixes = recipe.mixup > 0 and progress < recipe.mixup_until
        started = time.monotonic()
        total = 0.0
        for step, (views, labels) in enumerate(self._batches()):
            done = epoch * self._steps + step
            for parameter in self._backbones:
                parameter.requires_grad_(done >= recipe.frozen_steps)
            rng = np.random.default_rng([_MIXUP, recipe.seed, epoch, step])
            share = float(rng.beta(recipe.mixup, recipe.mixup)) if mixes else 1.0
            partner = torch.from_numpy(rng.permutation(len(labels)))
            self._optimizer.zero_grad(set_to_none=True)
            total += self._learn(views, labels, partner, share, fused_share)
            self._optimizer.step()
            self._schedule.step()
            if (done + 1) % _AVERAGED_EVERY == 0:
                rounds = (done + 1) / _AVERAGED_EVERY
                decay = min(recipe.average**_AVERAGED_EVERY, (1 + rounds) / (10 + rounds))
                with torch.no_grad():
                    torch._foreach_lerp_(averaged, current, 1 - decay)
            if (step + 1) % _REPORTED_EVERY == 0:
                self._report(step + 1, total / (step + 1), time.monotonic() - started)
        return total / self._steps

    def _learn(self, views: list[Tensor], labels: Tensor, partner: Tensor, share: float, fused_share: float) -> float:
        """Add the gradients of one batch to the parameters, and return the loss.

        The loss is (1 - fused share) * mean loss of the variants + fused share * loss of the fusion. Variants meet only
        there: forth and back, each runs in a thread of its own, which beats threads within small convolutions.

        Args:
            views: of each variant, shape (N, 3, resolution, resolution).
            labels: shape (N,).
            partner: a permutation of the batch, for mixup, shape (N,).
            share: of each picture in its mixture, 0..1; 1 for no mixup.
            fused_share: weight of the loss of the fusion, 0..1.
        """

        def forward(variant: int) -> Tensor:
            inputs = views[variant]
            mixed = inputs if share == 1.0 else share * inputs + (1 - share) * inputs[partner]
            logits: Tensor = self._networks[variant](mixed)
            return logits

        def cross_entropy(scores: Tensor) -> Tensor:
            smoothing = self._recipe.label_smoothing
            loss = functional.cross_entropy(scores, labels, label_smoothing=smoothing)
            if share == 1.0:
                return loss
            other = functional.cross_entropy(scores, labels[partner], label_smoothing=smoothing)
            return share * loss + (1 - share) * other

        outputs = dict(zip(self._dearest_first, self._threads.map(forward, self._dearest_first), strict=True))
        leaves = [outputs[variant].detach().requires_grad_() for variant in range(len(self._networks))]
        single = torch.stack([cross_entropy(leaf) for leaf in leaves]).mean()
        fused = cross_entropy(fused_sums(leaves, self._vote_weights, self._recipe.k))
        loss = (1 - fused_share) * single + fused_share * fused
        loss.backward()  # type: ignore[no-untyped-call]

        def backward(variant: int) -> None:
            outputs[variant].backward(leaves[variant].grad)  # type: ignore[no-untyped-call]

        list(self._threads.map(backward, self._dearest_first))
        return float(loss.detach())

    def _batches(self) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Yield (views of each variant, labels), drawn in a process of their own, ahead of the training."""
        drawn = _DrawnBatches(self._dataset.train, self._origin, self._epoch, self._steps)
        return iter(DataLoader(drawn, batch_size=None, num_workers=1, prefetch_factor=_BATCHES_AHEAD))

    def _report(self, step: int, loss: float, seconds: float) -> None:
        rate = step * self._recipe.batch / seconds
        left = (self._recipe.epochs - self._epoch) * self._steps - step
        LOGGER.info(
            "epoch %d step %d of %d: loss %.3f, %.0f pictures/s, about %.0f min left",
            self._epoch + 1,
            step,
            self._steps,
            loss,
            rate,
            left * self._recipe.batch / rate / 60,
        )

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            origin=self._origin,
            epoch=self._epoch,
            networks=[network.state_dict() for network in self._networks],
            averages=[average.state_dict() for average in self._averages],
            optimizer=self._optimizer.state_dict(),
            schedule=self._schedule.state_dict(),
            history=self._history,
        )

    def _write_history(self) -> None:
        path = self._out / HISTORY_NAME
        aside = path.with_suffix(".aside")
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._history[0]))
            writer.writeheader()
            writer.writerows(self._history)
        aside.replace(path)


class _DrawnBatches(TorchDataset[tuple[list[Tensor], Tensor]]):
    """The batches of one epoch, by step: (views of each variant, labels)."""

    def __init__(self, pictures: Pictures, origin: Origin, epoch: int, steps: int) -> None:
        self._pictures = pictures
        self._recipe = origin.recipe
        self._resolutions = [spec.resolution for spec in origin.family.variants]
        self._epoch = epoch
        self._steps = steps
        self._order = np.random.default_rng([_ORDER, origin.recipe.seed, epoch]).permutation(len(pictures))

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[list[Tensor], Tensor]:
        batch = self._recipe.batch
        chosen = self._order[step * batch : (step + 1) * batch]
        rng = np.random.default_rng([_VIEWS, self._recipe.seed, self._epoch, step])
        views = [draw_views(self._pictures.picture(int(i)), self._resolutions, self._recipe.views, rng) for i in chosen]
        inputs = [to_input(np.stack(of_variant)) for of_variant in zip(*views, strict=True)]
        return inputs, torch.from_numpy(self._pictures.labels[chosen])


def _floating(networks: Sequence[nn.Module]) -> list[Tensor]:
    return [tensor for network in networks for tensor in network.state_dict().values() if tensor.is_floating_point()]


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    return round(float((scores.argmax(1) == labels).float().mean()), 4)
