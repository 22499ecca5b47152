"""From a window's result to the content of a label message. Pure."""

from __future__ import annotations

from vp_mqtt.fusion.confidence import Unknown, confidences
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.messages import ClassScore, LabelMessage

_TOP = 3
_HEARTBEATS = 2.5
"""A label stays valid for so many times the interval in which frames of a camera follow: one of them may be lost."""


def label_message(result: WindowResult, *, valid_for_s: float, unknown: Unknown = "auto") -> LabelMessage:
    """Return the label message for a window's result.

    Args:
        result: of the window.
        valid_for_s: how long the label is valid, in s; longer for a camera whose frames come seldom.
        unknown: when the frame is unknown.
    """
    manifest = result.family.manifest
    classes = manifest.classes
    found = confidences(manifest, result.votes, result.winner, unknown=unknown)
    sure = found.by_class
    winner = None if found.is_known is False else result.winner
    top = sorted((index for index in sure if index != manifest.none_index), key=lambda index: (-sure[index], index))
    return LabelMessage(
        camera=result.camera,
        frame=str(result.announce.frame),
        label=None if winner is None else classes[winner],
        known=found.is_known,
        class_index=winner,
        confidence=None if winner is None else _rounded(sure[winner]),
        score=None if winner is None else _rounded(float(result.scores[winner])),
        known_score=_rounded(found.known_score) if result.votes else None,
        top=tuple(ClassScore(label=classes[index], confidence=_rounded(sure[index])) for index in top[:_TOP]),
        voted=tuple(sorted(result.votes)),
        missing=tuple(v for v in range(len(result.family.weights)) if v not in result.votes),
        alive=result.alive,
        closed_by=result.closed_by,
        latency_ms=round((result.closed - result.opened) * 1000, 3),
        captured=result.announce.captured,
        valid_for_s=max(valid_for_s, _HEARTBEATS * (result.announce.next_within_s or 0.0)),
        bundle=manifest.name,
        digest=result.family.digest.hex(),
        truth=result.announce.truth,
    )


def _rounded(share: float) -> float:
    return round(min(max(share, 0.0), 1.0), 4)
