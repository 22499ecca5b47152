"""Cost of a family's variants and of the base model: parameters and multiply-accumulates (MACs).

Both are counted on the networks themselves, the MACs by torch's `FlopCounterMode` during a forward pass.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.presets import load_family

BASE_FAMILY = "base"

_FLOPS_PER_MAC = 2


@dataclass(frozen=True)
class Cost:
    """Cost of a network.

    Attributes:
        params: number of parameters, without batch norm statistics.
        macs: multiply-accumulates for one picture.
    """

    params: int
    macs: int


@dataclass(frozen=True)
class VariantCost:
    """Cost of a variant; the ratios say how many times less than the base model."""

    index: int
    resolution: int
    alpha: float
    head: int
    stages: int
    params: int
    macs: int
    params_ratio: float
    macs_ratio: float


@dataclass(frozen=True)
class ModelsReport:
    """Cost of the base model and of a family's variants."""

    family: str
    classes: int
    baseline: Cost
    variants: tuple[VariantCost, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what `vp bench models --json` prints."""
        return asdict(self)


def cost(spec: VariantSpec, classes: int) -> Cost:
    """Count a network's parameters, and the MACs of its convolutions for one picture.

    Args:
        spec: resolution, width and head of the network.
        classes: number of classes, at least 2.
    """
    # The "meta" device computes shapes only: counting takes no time and no memory.
    with torch.device("meta"), torch.inference_mode():
        network = VariantNetwork(spec, classes).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, spec.resolution, spec.resolution))
    params = sum(parameter.numel() for parameter in network.parameters())
    return Cost(params, counter.get_total_flops() // _FLOPS_PER_MAC)


def compare(family: FamilySpec, classes: int) -> ModelsReport:
    """Compare the cost of a family's variants with the base model, MobileNetV2 1.0 at 224 x 224 pixels.

    Args:
        family: the family.
        classes: number of classes of all networks, at least 2.
    """
    base = cost(load_family(BASE_FAMILY).variants[0], classes)
    variants = []
    for index, spec in enumerate(family.variants):
        own = cost(spec, classes)
        variants.append(
            VariantCost(
                index=index,
                resolution=spec.resolution,
                alpha=spec.alpha,
                head=spec.head,
                stages=spec.stages,
                params=own.params,
                macs=own.macs,
                params_ratio=round(base.params / own.params, 2),
                macs_ratio=round(base.macs / own.macs, 2),
            )
        )
    return ModelsReport(family.name, classes, base, tuple(variants))
