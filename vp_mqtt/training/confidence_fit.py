"""Fits a bundle's calibration: temperatures of the confidence, and thresholds of what is known. Pure.

Few pictures are the usual case: a family of four classes of forty pictures each validates on twelve. So the temperature
is the most probable one under a prior, and the thresholds of few pictures are bounds for a further one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vp_mqtt.bundle.manifest import Calibration, Manifest
from vp_mqtt.fusion.confidence import known_score, sharpen
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes, subsets_of

KEPT = 0.95
"""Share of the known pictures that thresholds keep."""

# From six families of four classes of forty pictures each, whose best temperatures on 200 to 1,600 further pictures
# were 0.23 to 0.54: the lower, the surer the family is of what it was trained on.
_USUAL_LOG_TEMPERATURE, _AT_CONFIDENCE, _PER_CONFIDENCE = math.log(0.5), 0.64, -2.0
_DEVIATION = 0.2
_TEMPERATURES = np.geomspace(0.1, 4, 120)
_MIN_PROBABILITY = 1e-4
_FEW_PICTURES, _ENOUGH_PICTURES = 25, 100
_ADDED_PICTURES = 12
_MAX_SUBSETS = 10
_LEAST_REST = 1e-3
_DIGITS = 4


@dataclass(frozen=True, eq=False)
class _Shown:
    """Pictures with a label: the mean votes on them, and whether the label is right."""

    means: NDArray[np.float64]
    limits: NDArray[np.float64]
    is_right: NDArray[np.bool_]

    @classmethod
    def of(
        cls, mean: tuple[NDArray[np.float64], NDArray[np.float64]], labels: NDArray[np.int64], none_index: int | None
    ) -> Self:
        means, limits = mean
        winners = means.argmax(1)
        is_shown = np.ones(len(labels), dtype=bool) if none_index is None else winners != none_index
        # Classes that no vote names change nothing.
        named = int(np.count_nonzero(means, axis=1).max(initial=1))
        return cls(np.sort(means, axis=1)[is_shown, -named:], limits[is_shown], (winners == labels)[is_shown])


def fit_calibration(
    manifest: Manifest,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    trained_on: NDArray[np.float32] | None = None,
    *,
    kept: float = KEPT,
) -> Calibration:
    """Fit temperatures and thresholds for every number of votes.

    Args:
        manifest: of the family, for weights, classes and k.
        probabilities: of pictures that the family was not trained on, shape (variants, N, classes), N at least 1.
        labels: their true classes, shape (N,).
        trained_on: probabilities of pictures of the classes that the family was trained on, shape (variants, M,
            classes): they support the thresholds where N is small.
        kept: share of the known pictures that the thresholds are to keep, 0..1.
    """
    weights = [variant.weight for variant in manifest.variants]
    is_known = np.ones(len(labels), dtype=bool) if manifest.none_index is None else labels != manifest.none_index
    votes = BatchVotes.select(probabilities, manifest.k)
    others = None if trained_on is None else BatchVotes.select(trained_on, manifest.k)
    sure = mean_votes(others or votes, weights, range(len(weights)))[0].max(1).mean()
    usual = _USUAL_LOG_TEMPERATURE + _PER_CONFIDENCE * (float(sure) - _AT_CONFIDENCE)
    temperatures, thresholds = [], []
    for size in range(1, len(weights) + 1):
        subsets = subsets_of(len(weights), size, _MAX_SUBSETS)
        shown = [_Shown.of(mean_votes(votes, weights, subset), labels, manifest.none_index) for subset in subsets]
        temperatures.append(_fit_temperature(shown, votes.classes, usual))
        # The mean over the boards that may be left, so that it is not the best or the worst of them.
        found = []
        for subset in subsets:
            scores = known_score(mean_votes(votes, weights, subset)[0])[is_known]
            more = None if others is None else known_score(mean_votes(others, weights, subset)[0])
            found.append(fit_threshold(scores, more, kept))
        thresholds.append(math.floor(float(np.mean(found)) * 10**_DIGITS) / 10**_DIGITS)
    return Calibration(
        temperatures=tuple(temperatures), thresholds=tuple(thresholds), kept=kept, pictures=int(is_known.sum()) or 1
    )


def _fit_temperature(shown: Sequence[_Shown], classes: int, usual: float) -> float:
    """Return the temperature with the highest posterior probability; `usual` is the logarithm of the prior's middle."""
    # The prior is that of small families.
    weight = min(1.0, _FEW_PICTURES / max(1, *(len(one.is_right) for one in shown)))
    losses = weight * ((np.log(_TEMPERATURES) - usual) / _DEVIATION) ** 2 / 2
    for one in shown:
        for place, temperature in enumerate(_TEMPERATURES):
            sure = sharpen(one.means, one.limits, float(temperature), classes).max(1)
            sure = np.clip(sure, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
            # Each picture counts once, however many subsets there are.
            losses[place] -= np.log(np.where(one.is_right, sure, 1 - sure)).sum() / len(shown)
    return round(float(_TEMPERATURES[losses.argmin()]), _DIGITS)


def fit_threshold(scores: NDArray[np.float64], trained_on: NDArray[np.float64] | None, kept: float) -> float:
    """Return a threshold that a further known picture reaches with this probability.

    Args:
        scores: of known pictures that were not trained on, shape (N,), 0..1.
        trained_on: of pictures that were, shape (M,): they support the others where N is small.
        kept: 0..1.
    """
    if len(scores) >= _ENOUGH_PICTURES:
        return quantile_bound(scores, kept)
    return lognormal_bound(scores, scores[:0] if trained_on is None else trained_on, kept)


def quantile_bound(scores: NDArray[np.float64], kept: float) -> float:
    """Return a score that a further picture reaches with this probability (Vovk et al. 2005: split conformal).

    Args:
        scores: of known pictures, shape (N,).
        kept: 0..1.
    """
    rank = math.floor((len(scores) + 1) * (1 - kept) + 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank >= 1 else 0.0


def lognormal_bound(scores: NDArray[np.float64], trained_on: NDArray[np.float64], kept: float) -> float:
    """Return a score that a further picture reaches with this probability, if what scores lack of 1 is log-normal.

    The bound of a prediction interval by Student's t. Pictures that were trained on support it as if they were a dozen,
    and as if they were fewer, the less likely it is that both kinds have the same mean: fine-tuned networks are far
    surer of what they were trained on. 0 for fewer than three pictures.

    Args:
        scores: of known pictures that were not trained on, shape (N,), 0..1, N at least 1.
        trained_on: of pictures that were, shape (M,), 0..1.
        kept: 0..1.
    """
    own, others = (np.log(1 - np.clip(one, 0, 1) + _LEAST_REST) for one in (scores, trained_on))
    variances = tuple(float(one.var(ddof=1)) if len(one) > 1 else 0.0 for one in (own, others))
    difference = float(own.mean() - others.mean()) if len(others) else 0.0
    deviations = difference**2 * len(own) / max(variances[0] if len(own) > 1 else variances[1], _LEAST_REST**2)
    added = min(len(others), _ADDED_PICTURES) / (1 + deviations)
    freedoms = max(len(own) - 1, 0), max(added - 1, 0)
    freedom = sum(freedoms)
    if freedom < 2:  # noqa: PLR2004 (Student's t with one degree of freedom bounds nothing)
        return 0.0
    variance = sum(part * one for part, one in zip(freedoms, variances, strict=True)) / freedom
    mean = float(own.mean()) - difference * added / (len(own) + added)
    reach = float(stats.t.ppf(kept, freedom)) * math.sqrt((1 + 1 / len(own)) * variance)
    return min(max(1 + _LEAST_REST - math.exp(min(mean + reach, 1.0)), 0.0), 1.0)
