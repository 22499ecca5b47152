"""How well classes that a family was not trained on are told from those it was.

Leaves classes out of a data set, trains nothing but a linear classifier on the pooled features of every variant as `vp
train` would start it, fits familiarity and calibration as `vp export` does, and evaluates on the test part, whose
pictures of the classes left out are the foreign ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.accuracy.linear_classifier import K, classify, features_of
from vp_mqtt.bundle.manifest import FamilySpec, Manifest, VariantEntry
from vp_mqtt.errors import UserError
from vp_mqtt.training.confidence_fit import fit_calibration
from vp_mqtt.training.datasets import Dataset, load
from vp_mqtt.training.evaluation.evaluate import evaluate_probabilities
from vp_mqtt.training.evaluation.unknown import evaluate_unknown
from vp_mqtt.training.familiarity import fit_familiarity
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.pretrained.starting_weights import candidates_for, load_first_fitting, read_starting_weights

_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class FeatureSet:
    """Features of each variant, shape (N, filters), and labels, shape (N,), by part of the data set."""

    features: list[dict[str, Tensor]]
    labels: dict[str, NDArray[np.int64]]


def leave_out(
    data: str,
    root: Path | None,
    pretrained: Sequence[str],
    family: str,
    *,
    classes: int,
    draws: int,
    alike: Sequence[Collection[str]] = (),
) -> dict[str, Any]:
    """Return the results with some classes left out, chosen at random, for several choices.

    Args:
        data: a folder of class folders, or a named data set.
        root: folder with the files of a named data set.
        pretrained: weights, as for `vp train`.
        family: name or TOML file.
        classes: how many to leave out.
        draws: how many choices of them.
        alike: groups of classes that show the same things: each is left out or kept as a whole.

    Raises:
        UserError: data, weights or family cannot be used, or a class in `alike` is not there.
    """
    torch.set_num_threads(1)
    dataset = load(data, root)
    units = _units(dataset.classes, alike)
    spec = load_family(family)
    found = _features(dataset, spec, pretrained)
    results = []
    for seed in range(draws):
        left_out = choose_left_out(units, classes, seed)
        results.append(evaluate_without(dataset.classes, spec, found, left_out, seed))
    kept_together = [sorted(group) for group in alike]
    return {"data": dataset.name, "family": spec.name, "classes": classes, "alike": kept_together, "draws": results}


def _units(classes: Sequence[str], alike: Sequence[Collection[str]]) -> list[list[int]]:
    """Return the indices of the classes, those that are alike in one list."""
    if missing := {name for group in alike for name in group} - set(classes):
        raise UserError(f"--alike: there is no class {', '.join(sorted(missing))} in the data")
    groups = [sorted(classes.index(name) for name in group) for group in alike]
    grouped = {index for group in groups for index in group}
    return sorted(groups + [[index] for index in range(len(classes)) if index not in grouped])


def choose_left_out(units: Sequence[Sequence[int]], count: int, seed: int) -> NDArray[np.intp]:
    """Return the indices of about `count` classes, chosen at random, sorted; never a part of a unit.

    Args:
        units: indices of classes, each in one unit.
        count: how many; a unit that would exceed it is passed over.
        seed: of the choice.
    """
    chosen: list[int] = []
    for index in np.random.default_rng(seed).permutation(len(units)):
        if len(chosen) + len(units[index]) <= count:
            chosen.extend(units[index])
    return np.sort(np.array(chosen, dtype=np.intp))


def _features(dataset: Dataset, spec: FamilySpec, pretrained: Sequence[str]) -> FeatureSet:
    starts = read_starting_weights(pretrained, None, spec)
    parts = {part: getattr(dataset, part) for part in _PARTS}
    features = []
    for variant in spec.variants:
        network = VariantNetwork(variant, len(dataset.classes))
        load_first_fitting(network, candidates_for(starts, variant, dataset.classes))
        features.append({name: features_of(network, part, variant.resolution) for name, part in parts.items()})
    return FeatureSet(features, {name: part.labels for name, part in parts.items()})


def evaluate_without(
    classes: tuple[str, ...], spec: FamilySpec, found: FeatureSet, left_out: NDArray[np.intp], seed: int
) -> dict[str, Any]:
    """Return the result with these classes left out.

    Args:
        classes: all class names.
        spec: of the family.
        found: features of all pictures.
        left_out: indices of the classes to leave out.
        seed: of the classifiers.
    """
    kept = np.setdiff1d(np.arange(len(classes)), left_out)
    is_known = {part: ~np.isin(found.labels[part], left_out) for part in _PARTS}
    labels = {part: np.searchsorted(kept, found.labels[part][is_known[part]]) for part in _PARTS}
    manifest = _manifest(spec, tuple(classes[index] for index in kept))
    by_part: dict[str, list[NDArray[np.float32]]] = {"train": [], "validation": [], "test": [], "foreign": []}
    for of_variant in found.features:
        known = {part: of_variant[part][torch.from_numpy(is_known[part])] for part in _PARTS}
        foreign = of_variant["test"][torch.from_numpy(~is_known["test"])]
        seen = torch.cat([*known.values(), foreign])
        torch.manual_seed(seed)
        logits = classify(known["train"], torch.from_numpy(labels["train"]), seen, len(kept))
        probabilities, features = logits.softmax(1).numpy(), seen.numpy()
        counts = np.cumsum([len(known[part]) for part in _PARTS])
        fitted_on = slice(0, counts[1])
        familiarity = fit_familiarity(
            features[fitted_on],
            probabilities[fitted_on],
            np.concatenate([labels["train"], labels["validation"]]),
            is_trained_on=np.arange(counts[1]) < counts[0],
        )
        for part, own in zip(by_part, np.split(familiarity.apply(features, probabilities), counts), strict=True):
            by_part[part].append(own)
    stacked = {part: np.stack(own) for part, own in by_part.items()}
    calibration = fit_calibration(manifest, stacked["validation"], labels["validation"], stacked["train"])
    manifest = manifest.model_copy(update={"calibration": calibration})
    evaluation = evaluate_probabilities(manifest, stacked["test"], labels["test"], k=K, by_k=[])
    unknown = evaluate_unknown(manifest, stacked["test"], labels["test"], stacked["foreign"], k=K)
    return {
        "images": evaluation.images,
        "accuracy": evaluation.accuracy.as_dict(),
        "ece": evaluation.ece.as_dict(),
        "unknown": unknown.as_dict(),
    }


def _manifest(spec: FamilySpec, classes: tuple[str, ...]) -> Manifest:
    entries = [
        VariantEntry(**variant.model_dump(), index=index, weight=weight, file="none", sha256="0" * 64, params=1)
        for index, (variant, weight) in enumerate(zip(spec.variants, spec.vote_weights(), strict=True))
    ]
    return Manifest(name="left-out", classes=classes, variants=tuple(entries), k=K)
