"""How well a bundle tells pictures of its classes from others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.confidence import known_score
from vp_mqtt.training.evaluation import metrics
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes
from vp_mqtt.training.evaluation.results import MetricValues, Subset, Thresholds, UnknownEvaluation

KEPT = 0.95


def evaluate_unknown(
    manifest: Manifest,
    known: NDArray[np.float32],
    labels: NDArray[np.int64],
    foreign: NDArray[np.float32],
    *,
    k: int,
) -> UnknownEvaluation:
    """Evaluate the known score of all variants together, and of each alone.

    Args:
        manifest: the bundle's.
        known: probabilities of pictures of the classes, shape (variants, N, classes).
        labels: their true classes, shape (N,); pictures of the class `none` count for nothing.
        foreign: probabilities of other pictures, shape (variants, M, classes), M at least 1.
        k: classes in a vote.
    """
    weights = [variant.weight for variant in manifest.variants]
    everyone = tuple(range(len(weights)))
    if manifest.none_index is not None:
        known, labels = known[:, labels != manifest.none_index], labels[labels != manifest.none_index]
    of_known, of_foreign = (_Seen.of(manifest, probabilities, weights, k) for probabilities in (known, foreign))
    is_right = {subset: of_known.winners[subset] == labels for subset in of_known.scores}
    least = {subset: float(np.quantile(scores, 1 - KEPT)) for subset, scores in of_known.scores.items()}

    def metric(value: dict[Subset, float]) -> MetricValues:
        return MetricValues(value[everyone], tuple(value[(variant,)] for variant in everyone))

    by_bundle = None
    if manifest.calibration is not None:
        threshold = manifest.calibration.thresholds[-1]
        is_kept = of_known.is_shown(everyone, threshold, manifest.none_index)
        is_accepted = of_foreign.is_shown(everyone, threshold, manifest.none_index)
        accuracy = float(is_right[everyone][is_kept].mean()) if is_kept.any() else None
        by_bundle = Thresholds(threshold, float(is_kept.mean()), float(is_accepted.mean()), accuracy)
    scores = of_known.scores
    return UnknownEvaluation(
        images=foreign.shape[1],
        auroc=metric({subset: metrics.auroc(scores[subset], of_foreign.scores[subset]) for subset in scores}),
        accepted=metric({subset: float((of_foreign.scores[subset] >= least[subset]).mean()) for subset in scores}),
        accuracy=metric({subset: float(is_right[subset][scores[subset] >= least[subset]].mean()) for subset in scores}),
        by_bundle=by_bundle,
    )


def share_of_unknown(manifest: Manifest, probabilities: NDArray[np.float32], *, k: int) -> float | None:
    """Return the share of pictures that all variants together call unknown, 0..1; None where there is no threshold.

    Args:
        manifest: the bundle's.
        probabilities: of the pictures, shape (variants, N, classes), N at least 1.
        k: classes in a vote.
    """
    if manifest.calibration is None:
        return None
    weights = [variant.weight for variant in manifest.variants]
    everyone = tuple(range(len(weights)))
    seen = _Seen.of(manifest, probabilities, weights, k)
    return 1 - float(seen.is_shown(everyone, manifest.calibration.thresholds[-1], manifest.none_index).mean())


@dataclass(frozen=True)
class _Seen:
    """Known scores and fused labels of pictures, shape (N,), by the variants alive."""

    scores: dict[Subset, NDArray[np.float64]]
    winners: dict[Subset, NDArray[np.intp]]

    @classmethod
    def of(cls, manifest: Manifest, probabilities: NDArray[np.float32], weights: list[float], k: int) -> _Seen:
        votes = BatchVotes.select(probabilities, k)
        subsets: list[Subset] = [*((variant,) for variant in range(len(weights))), tuple(range(len(weights)))]
        means = {subset: mean_votes(votes, weights, subset)[0] for subset in subsets}
        scores = {subset: known_score(mean) for subset, mean in means.items()}
        if manifest.none_index is not None:
            # A picture on which none wins is unknown, however sure that is.
            scores = {s: np.where(means[s].argmax(1) == manifest.none_index, 0.0, scores[s]) for s in scores}
        return cls(scores, {subset: mean.argmax(1) for subset, mean in means.items()})

    def is_shown(self, subset: Subset, threshold: float, none_index: int | None) -> NDArray[np.bool_]:
        return np.asarray((self.scores[subset] >= threshold) & (self.winners[subset] != none_index))
