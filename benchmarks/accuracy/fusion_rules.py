"""`vp bench fusion`: a bundle's votes, fused by other rules and with other weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.accuracy.residual_rules import RULES, Shares, accuracy
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.training.calibration import Probabilities, fit_fusion, soften
from vp_mqtt.training.datasets import Dataset, EvaluationSet
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes
from vp_mqtt.training.evaluation.evaluate import predict


@dataclass(frozen=True)
class RuleResult:
    """Accuracy of one rule with one kind of weights.

    Attributes:
        residual: what happens to the probability that votes leave out, see `benchmarks.accuracy.residual_rules.RULES`.
        weights: "bundle", "equal", "fitted", or "fitted, with temperatures".
        validation: accuracy on the validation part with all variants alive, 0..1: what to choose by.
        test: likewise, on the test part.
        half: accuracy on the test part with half of the variants alive: the mean over all choices.
    """

    residual: str
    weights: str
    validation: float
    test: float
    half: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as `vp bench fusion --json` prints it."""
        shares = {name: round(getattr(self, name), 4) for name in ("validation", "test", "half")}
        return {"residual": self.residual, "weights": self.weights} | shares


def evaluate_rules(bundle: Bundle, data: Dataset, k: int) -> list[RuleResult]:
    """Fuse the votes of a bundle by every rule, with every kind of weights; weights are fitted on the validation part.

    Args:
        bundle: the family.
        data: its training data, split in the same way.
        k: classes in a vote.

    Raises:
        UserError: the bundle does not know the data's classes, or a model or a picture cannot be read.
    """
    classes = bundle.manifest.classes
    parts = {
        part: EvaluationSet(data.name, data.classes, pictures).for_classes(classes)
        for part, pictures in (("validation", data.validation), ("test", data.test))
    }
    labels = {part: pictures.labels for part, pictures in parts.items()}
    raw = {part: predict(bundle, pictures) for part, pictures in parts.items()}
    own = [variant.weight for variant in bundle.manifest.variants]
    fitted = fit_fusion(raw["validation"], labels["validation"], k, sum(own))

    def softened(probabilities: Probabilities) -> Probabilities:
        return np.stack([soften(one, t) for one, t in zip(probabilities, fitted.temperatures, strict=True)])

    kinds: list[tuple[str, Mapping[str, Probabilities], Sequence[float]]] = [
        ("bundle", raw, own),
        ("equal", raw, [1.0] * len(own)),
        ("fitted", raw, fitted.weights),
        ("fitted, with temperatures", {part: softened(found) for part, found in raw.items()}, fitted.weights),
    ]
    results = []
    for name, probabilities, weights in kinds:
        votes = {part: BatchVotes.select(found, k) for part, found in probabilities.items()}
        for residual, rule in RULES.items():
            shares: dict[str, Shares] = {part: rule(cast) for part, cast in votes.items()}
            everyone = range(len(own))
            halves = list(combinations(everyone, max(1, len(own) // 2)))
            results.append(
                RuleResult(
                    residual,
                    name,
                    accuracy(shares["validation"], weights, labels["validation"], everyone),
                    accuracy(shares["test"], weights, labels["test"], everyone),
                    float(np.mean([accuracy(shares["test"], weights, labels["test"], half) for half in halves])),
                )
            )
    return results
