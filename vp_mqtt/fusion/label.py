"""From a window's result to the content of a label message. Pure."""

from __future__ import annotations

from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.messages import ClassScore, LabelMessage

_TOP = 3


def label_message(result: WindowResult, *, valid_for_s: float) -> LabelMessage:
    """Return the label message for a window's result.

    Args:
        result: of the window.
        valid_for_s: how long the label is valid, in s.
    """
    manifest, winner = result.family.manifest, result.winner
    classes = manifest.classes
    confidences = _confidences(result)
    top = sorted(confidences, key=lambda index: (-confidences[index], index))[:_TOP]
    return LabelMessage(
        camera=result.camera,
        frame=str(result.announce.frame),
        label=None if winner is None else classes[winner],
        class_index=winner,
        confidence=None if winner is None else _rounded(confidences[winner]),
        score=None if winner is None else _rounded(float(result.scores[winner])),
        top=tuple(ClassScore(label=classes[index], confidence=_rounded(confidences[index])) for index in top),
        voted=tuple(sorted(result.votes)),
        missing=tuple(v for v in range(len(result.family.weights)) if v not in result.votes),
        alive=result.alive,
        closed_by=result.closed_by,
        latency_ms=round((result.closed - result.opened) * 1000, 3),
        captured=result.announce.captured,
        valid_for_s=valid_for_s,
        bundle=manifest.name,
        digest=result.family.digest.hex(),
        truth=result.announce.truth,
    )


def _confidences(result: WindowResult) -> dict[int, float]:
    """Return the weighted mean of the probabilities that the votes give each class, by the indices of those named."""
    weights = result.family.weights
    total = sum(weights[variant] for variant in sorted(result.votes))
    means: dict[int, float] = {}
    for variant, vote in result.votes.items():
        for index, probability in zip(vote.classes.tolist(), vote.probabilities.tolist(), strict=True):
            means[index] = means.get(index, 0.0) + weights[variant] * probability / total
    return means


def _rounded(share: float) -> float:
    return round(min(max(share, 0.0), 1.0), 4)
