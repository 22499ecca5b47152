"""Helpers for tests of fusion: families without a bundle on disk, votes, and the method written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import Manifest, VariantEntry
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.protocol.votes import Vote


def manifest(weights: Sequence[float], classes: int, name: str = "tiny") -> Manifest:
    """Return the manifest of a family with these weights and so many classes."""
    variants = tuple(
        VariantEntry(resolution=16, head=8, index=index, weight=weight, file="model.onnx", sha256="0" * 64, params=1)
        for index, weight in enumerate(weights)
    )
    return Manifest(name=name, classes=tuple(f"class {n}" for n in range(classes)), variants=variants, k=1)


def windows_of(
    *manifests: Manifest, deadline: float, suspect_after: int = 3, **options: Any
) -> tuple[Windows, Handover]:
    """Return windows for these families, and the families' handover."""
    handover = Handover(suspect_after=suspect_after)
    windows = Windows(handover, deadline=deadline, **options)
    for one in manifests:
        windows.add_family(one, 0.0)
    return windows, handover


def fuse(votes: Mapping[int, Vote], weights: Sequence[float], classes: int) -> NDArray[np.float64]:
    """Return the fused scores of the votes, by variant index; shape (classes,), float64, adding up to 1."""
    tally = Tally(weights, classes)
    for variant in sorted(votes):
        tally.add(variant, votes[variant])
    return np.array([tally.score(index) for index in range(classes)])
