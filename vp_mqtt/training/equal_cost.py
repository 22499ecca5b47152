"""Families whose variants all cost the same, in place of families whose variants all have the same width.

At equal width the variant with the largest resolution is several times as expensive as the one with the smallest, and
the response waits for it. At equal cost all of them answer at the same time: narrow networks process large pictures,
wide networks small ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.cost import Cost, cost

DEFAULT_WIDTHS = tuple(round(0.05 * number, 2) for number in range(3, 29))
"""Width multipliers to choose from by default: 0.15 to 1.4."""

_RESOLUTION_STEP = 8
_LEAST_RESOLUTION, _LARGEST_RESOLUTION = 32, 512
_TOLERANCE = 0.3
"""How far a proposed variant's cost may be from the target, as a difference of natural logarithms."""
_MOST_COUNTED = 16
"""Candidates whose exact cost is counted, for each variant."""


@dataclass(frozen=True)
class EqualCost:
    """A family and its proposed replacement.

    Attributes:
        target: MACs that every proposed variant should have.
        before: the variants of the family, by index, each with its cost.
        after: the proposed variants, likewise.
    """

    target: float
    before: tuple[tuple[VariantSpec, Cost], ...]
    after: tuple[tuple[VariantSpec, Cost], ...]

    def family(self, name: str) -> FamilySpec:
        """Return the proposed family, with this name."""
        return FamilySpec(name=name, variants=tuple(spec for spec, _ in self.after))

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        before, after = _summary(self.before), _summary(self.after)
        return {
            "target_macs": round(self.target),
            "before": before,
            "after": after,
            "dearest_ratio": round(before["dearest_macs"] / after["dearest_macs"], 3),
            "total_ratio": round(before["total_macs"] / after["total_macs"], 3),
        }


def _summary(variants: Sequence[tuple[VariantSpec, Cost]]) -> dict[str, Any]:
    macs = [own.macs for _, own in variants]
    return {
        "variants": [
            {"index": index, "resolution": spec.resolution, "alpha": spec.alpha, "head": spec.head}
            | {"macs": own.macs, "params": own.params}
            for index, (spec, own) in enumerate(variants)
        ],
        "dearest_macs": max(macs),
        "total_macs": sum(macs),
        "dearest_to_cheapest": round(max(macs) / min(macs), 2),
        "params": sum(own.params for _, own in variants),
    }


def equal_cost(
    family: FamilySpec,
    classes: int,
    *,
    target: float | None = None,
    widths: Sequence[float] = DEFAULT_WIDTHS,
    count: Callable[[VariantSpec, int], Cost] = cost,
) -> EqualCost:
    """Propose variants that all cost the same, each with a resolution as close to the original as possible.

    Args:
        family: the family; its resolutions and heads are kept where possible.
        classes: number of classes, at least 2.
        target: MACs of every variant; None: the mean of the family's, so that the total stays the same.
        widths: width multipliers to choose from, such as those with ImageNet weights.
        count: returns the cost of a variant.

    Raises:
        UserError: with these widths no variant comes close to that cost.
    """
    counted: dict[VariantSpec, Cost] = {}

    def cost_of(spec: VariantSpec) -> Cost:
        if spec not in counted:
            counted[spec] = count(spec, classes)
        return counted[spec]

    before = tuple((spec, cost_of(spec)) for spec in family.variants)
    wanted = target or sum(own.macs for _, own in before) / len(before)
    largest = max(family.variants, key=lambda spec: spec.resolution)
    # The cost grows almost with the square of the resolution: this estimate selects the candidates to count exactly.
    per_pixel = {
        width: cost_of(largest.model_copy(update={"alpha": width})).macs / largest.resolution**2 for width in widths
    }
    after: list[tuple[VariantSpec, Cost]] = []
    for spec in family.variants:
        taken = {(one.alpha, one.resolution) for one, _ in after}
        likely = sorted(
            (_distance(per_pixel[width] * side**2, wanted, side, spec.resolution), width, side)
            for width in widths
            for side in {spec.resolution, *range(_LEAST_RESOLUTION, _LARGEST_RESOLUTION + 1, _RESOLUTION_STEP)}
            if (width, side) not in taken
        )[:_MOST_COUNTED]
        some = [spec.model_copy(update={"alpha": width, "resolution": side}) for _, width, side in likely]
        near = [one for one in some if abs(math.log(cost_of(one).macs / wanted)) <= _TOLERANCE]
        if not near:
            raise UserError(
                f"no variant like that of {spec.resolution} pixels costs {wanted / 1e6:.1f} M MACs at these widths; "
                "allow more of them, or another cost"
            )
        best = min(near, key=lambda one: _distance(cost_of(one).macs, wanted, one.resolution, spec.resolution))
        after.append((best, cost_of(best)))
    after.sort(key=lambda one: one[0].resolution)
    return EqualCost(wanted, before, tuple(after))


def _distance(macs: float, target: float, resolution: int, former: int) -> float:
    """Return the distance of a variant from the target cost, plus half its distance from the former resolution."""
    return abs(math.log(macs / target)) + abs(math.log(resolution / former)) / 2
