"""What a family that was taught can be expected to do, in lines for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.plain_text import counted
from vp_mqtt.training.frozen.outcome import Doubt, Outcome
from vp_mqtt.training.frozen.teach import Taught

_Z = 1.96
"""Standard deviations of a 95 % interval."""
_WEAK = 0.9
_MOST_WEAK = 3
_FEW_PER_CLASS = 20
_MOST_DOUBTS = 3


@dataclass(frozen=True)
class WeakClass:
    """A class that is often taken for another.

    Attributes:
        name: of the class.
        accuracy: of its pictures, 0..1.
        taken_for: the class that most of the others are taken for.
    """

    name: str
    accuracy: float
    taken_for: str


def interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, 0..1, by so many pictures (Wilson 1927)."""
    centre = share + _Z**2 / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def is_no_better_than_chance(accuracy: float, chance: float, count: int) -> bool:
    """Return whether an accuracy on so many pictures could be that of a constant label."""
    return accuracy <= chance + _Z * math.sqrt(chance * (1 - chance) / count)


def weak_classes(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> list[WeakClass]:
    """Return the classes that are recognised worst, by pictures by class (row) and label (column)."""
    counts = np.maximum(confusion.sum(1), 1)
    shares = np.diagonal(confusion) / counts
    others = confusion - np.diag(np.diagonal(confusion))
    worst = [int(index) for index in np.argsort(shares, kind="stable")[:_MOST_WEAK] if shares[index] < _WEAK]
    return [WeakClass(classes[i], float(shares[i]), classes[int(others[i].argmax())]) for i in worst]


def as_lines(taught: Taught) -> list[str]:
    """Return accuracy, what it was before, and what to improve."""
    classes = taught.manifest.classes
    validated, held_out = taught.validated, taught.held_out
    low, high = interval(held_out.fused, held_out.images)
    lines = [
        f"cross-validated accuracy {validated.fused:.1%} ({taught.pictures} pictures of {len(classes)} classes)",
    ]
    tested = (
        f"{counted(held_out.images, 'held-out picture')} {held_out.fused:.1%} (95 % interval {low:.0%} to {high:.0%})"
    )
    lines.append(f"accuracy on {tested}, best variant alone {max(held_out.accuracy.variants):.1%}")
    if taught.before is not None:
        lines.append(f"before, on the same held-out pictures: {taught.before.fused:.1%}")
    zoom = taught.manifest.preprocessing.zoom
    if zoom > 1:
        edge = (1 - 1 / zoom) / 2
        lines.append(f"boards see the centre of pictures, {zoom:g} times larger, without {edge:.0%} at each edge")
    lines += advice(taught)
    if taught.doubts:
        lines.append(f"perhaps wrongly labelled: {_named(taught.doubts)}")
    return lines


def advice(taught: Taught) -> list[str]:
    """Return what would help, a sentence each."""
    classes, validated = taught.manifest.classes, taught.validated
    lines = []
    if is_no_better_than_chance(validated.fused, taught.chance, taught.pictures):
        lines.append(
            f"that is no better than always naming the largest class ({taught.chance:.1%}): are the pictures in the "
            "right folders, and do they show what tells the classes apart?"
        )
    lines += [
        f"often taken for '{weak.taken_for}': '{weak.name}' ({weak.accuracy:.0%} right); more pictures of it help most"
        for weak in weak_classes(validated.confusion, classes)
    ]
    per_class = taught.pictures / len(classes)
    if per_class < _FEW_PER_CLASS:
        lines.append(
            f"{per_class:.0f} pictures per class to learn from are few: {_FEW_PER_CLASS} to 40 make a clear difference"
        )
    return lines


def _named(doubts: Sequence[Doubt]) -> str:
    shown = [f"{one.picture} (seems '{one.seems}')" for one in doubts[:_MOST_DOUBTS]]
    more = len(doubts) - len(shown)
    return ", ".join(shown) + (f" and {more} more, see --json" if more else "")


def compared(before: Outcome | None, after: Outcome) -> dict[str, Any]:
    """Return what two families say of the same held-out pictures, for `--json`."""
    intervals = (None if one is None else interval(one.fused, one.images) for one in (after, before))
    of_after, of_before = (None if one is None else [round(edge, 4) for edge in one] for one in intervals)
    return {
        "outcome": after.as_dict(),
        "outcome_before": None if before is None else before.as_dict(),
        "interval": of_after,
        "interval_before": of_before,
    }


def as_dict(taught: Taught) -> dict[str, Any]:
    """Return the result for `--json`."""
    return {
        "bundle": taught.manifest.name,
        "digest": taught.manifest.short_digest.hex(),
        "classes": list(taught.manifest.classes),
        "pictures": taught.pictures,
        "zoom": taught.manifest.preprocessing.zoom,
        "chance": round(taught.chance, 4),
        "cross_validated": taught.validated.accuracy.as_dict(),
        "held_out": {"images": taught.held_out.images, **taught.held_out.accuracy.as_dict()},
        "before": None if taught.before is None else round(taught.before.fused, 4),
        **compared(taught.before, taught.outcome),
        "doubtful": [doubt.as_dict() for doubt in taught.doubts],
        "advice": advice(taught),
        "weak": [
            {"class": weak.name, "accuracy": round(weak.accuracy, 4), "taken_for": weak.taken_for}
            for weak in weak_classes(taught.validated.confusion, taught.manifest.classes)
        ],
        "seconds": round(taught.seconds, 1),
    }
