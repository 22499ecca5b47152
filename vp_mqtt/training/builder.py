"""Builds a trainer from what a family is trained from: networks, optimiser, passes, batches and validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.plain_text import counted
from vp_mqtt.training.averaging import WeightAverages
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.cuda_graphs import GraphedPasses
from vp_mqtt.training.datasets import Dataset, Pictures
from vp_mqtt.training.defaults import batch_for
from vp_mqtt.training.device_inputs import DeviceInputs
from vp_mqtt.training.engine import NetworkSet, Passes, ThreadedPasses, VariantThreads
from vp_mqtt.training.learner import JointLearner
from vp_mqtt.training.networks import VariantNetwork, measure_statistics, needs_statistics
from vp_mqtt.training.optimization import Optimization
from vp_mqtt.training.parallel import cores
from vp_mqtt.training.pretrained.starting_weights import (
    StartingWeights,
    candidates_for,
    load_first_fitting,
    own_starts,
)
from vp_mqtt.training.progress import ProgressReporter, SilentProgress
from vp_mqtt.training.trainer import Trainer
from vp_mqtt.training.validation import Validator
from vp_mqtt.training.view_batches import ViewBatches

_VALIDATION_BATCH_ON_CPU = 125
_PICTURES_FOR_STATISTICS = 128


def build_trainer(
    origin: Origin,
    dataset: Dataset,
    out: Path,
    *,
    weights: Sequence[StartingWeights] = (),
    teachers: Sequence[Checkpoint] = (),
    progress: ProgressReporter | None = None,
) -> Trainer:
    """Return the trainer of a family, on a GPU if torch finds one, else on the CPU.

    Args:
        origin: what is trained.
        dataset: to train and validate on.
        out: folder for the checkpoint and the history.
        weights: starting weights; each variant loads the first that fit, see `candidates_for`.
        teachers: trained families of the same classes, for distillation from the mean of all their networks.
        progress: receives every step.

    Raises:
        UserError: the weights or a teacher do not fit, a picture cannot be read, or there are too few for a batch.
    """
    recipe = origin.recipe
    if len(dataset.train) < recipe.batch:
        raise UserError(
            f"the training set has {counted(len(dataset.train), 'picture')}, fewer than one batch of {recipe.batch};"
            f" write --batch {batch_for(len(dataset.train))}, or leave it out"
        )
    cv2.setNumThreads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs = DeviceInputs(device, recipe.preprocessing)
    variants = _build_variants(origin, dataset.train, weights, inputs, device)
    averages = WeightAverages(variants, recipe.average)
    networks = NetworkSet(variants, averages.networks, _load_teachers(teachers, origin, device), recipe.frozen_blocks)
    batches = _build_batches(origin, dataset.train, teachers)
    optimization = Optimization(variants, recipe, batches.steps)
    threads = _start_threads(origin, device)
    passes = _build_passes(networks, recipe.batch, threads, device)
    return Trainer(
        origin,
        out,
        learner=JointLearner(origin, networks, passes, averages=averages, optimization=optimization, device=device),
        batches=batches,
        validator=_build_validator(origin, dataset.validation, inputs, device),
        threads=threads,
        progress=progress or SilentProgress(),
    )


def _build_variants(
    origin: Origin,
    pictures: Pictures,
    weights: Sequence[StartingWeights],
    inputs: DeviceInputs,
    device: torch.device,
) -> list[VariantNetwork]:
    recipe, variants = origin.recipe, origin.family.variants
    torch.manual_seed(recipe.seed)
    networks = [VariantNetwork(spec, len(origin.classes)) for spec in variants]
    for spec, network, own in zip(variants, networks, own_starts(weights, variants), strict=True):
        if own:
            match = load_first_fitting(
                network, candidates_for(own, spec, origin.classes, with_filters=recipe.head_filters)
            )
            LOGGER.debug("loaded %s; random %s; unused %s", match.loaded, match.kept, match.unused)
            if needs_statistics(network):
                measure_statistics(network, _statistics_inputs(pictures, recipe.seed, inputs, spec.resolution))
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


def _statistics_inputs(pictures: Pictures, seed: int, inputs: DeviceInputs, resolution: int) -> Tensor:
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:_PICTURES_FOR_STATISTICS]
    return inputs.read(pictures, chosen.tolist(), resolution).cpu()


def _load_teachers(teachers: Sequence[Checkpoint], origin: Origin, device: torch.device) -> list[VariantNetwork]:
    for teacher in teachers:
        if teacher.origin.classes != origin.classes:
            raise UserError(f"--teacher: the one '{teacher.summary()}' knows other classes than '{origin.dataset}'")
    networks = [network for teacher in teachers for network in teacher.trained_networks()]
    for network in networks:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


def _build_batches(origin: Origin, pictures: Pictures, teachers: Sequence[Checkpoint]) -> ViewBatches:
    recipe = origin.recipe
    families = [origin.family, *(teacher.origin.family for teacher in teachers)]
    resolutions = [spec.resolution for family in families for spec in family.variants]
    return ViewBatches(
        pictures,
        resolutions,
        recipe.views,
        batch=recipe.batch,
        seed=recipe.seed,
        epochs=recipe.epochs,
        version=recipe.preprocessing,
    )


def _start_threads(origin: Origin, device: torch.device) -> VariantThreads:
    resolutions = [spec.resolution for spec in origin.family.variants]
    # On a CPU, variants side by side, each in one thread, are faster than threads within their small convolutions.
    workers = min(cores(), len(resolutions)) if device.type == "cpu" else 1
    torch.set_num_threads(max(1, cores() // workers))
    return VariantThreads(resolutions, workers)


def _build_passes(networks: NetworkSet, batch: int, threads: VariantThreads, device: torch.device) -> Passes:
    if device.type == "cuda":
        return GraphedPasses(networks, batch)
    return ThreadedPasses(networks, threads)


def _build_validator(origin: Origin, pictures: Pictures, inputs: DeviceInputs, device: torch.device) -> Validator:
    return Validator(
        pictures,
        inputs,
        resolutions=[spec.resolution for spec in origin.family.variants],
        vote_weights=origin.family.vote_weights(),
        k=origin.recipe.k,
        batch=origin.recipe.batch if device.type == "cuda" else _VALIDATION_BATCH_ON_CPU,
    )
