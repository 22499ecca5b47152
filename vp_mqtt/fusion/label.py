"""From a window's result to the content of a label message. Pure."""

from __future__ import annotations

from typing import NamedTuple

from pydantic_core import to_json

from vp_mqtt.fusion.confidence import Unknown, confidences
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import ClosedBy

_TOP = 3
_HEARTBEATS = 2.5
"""A label stays valid for so many times the interval in which frames of a camera follow: one of them may be lost."""
_LEFT_OUT_IF_NONE = ("known", "known_score", "owner", "truth")


class Label(NamedTuple):
    """A label: the fields of `LabelMessage`, which says what they are, in its order.

    It is made of checked messages only, and nothing in it is checked again: the fusion node makes thousands a second.
    """

    camera: str
    frame: str
    label: str | None
    known: bool | None
    class_index: int | None
    confidence: float | None
    score: float | None
    known_score: float | None
    top: tuple[dict[str, object], ...]
    voted: tuple[int, ...]
    missing: tuple[int, ...]
    alive: tuple[int, ...]
    closed_by: ClosedBy
    latency_ms: float
    captured: float
    valid_for_s: float
    bundle: str
    digest: str
    owner: str | None
    truth: str | None

    def encode(self) -> bytes:
        """Return the bytes that `LabelMessage.encode` gives for it."""
        fields = self._asdict()
        for name in _LEFT_OUT_IF_NONE:
            if fields[name] is None:
                del fields[name]
        return to_json(fields)


def make_label(
    result: WindowResult, *, valid_for_s: float, unknown: Unknown = "auto", owner: str | None = None
) -> Label:
    """Return the label for a window's result.

    Args:
        result: of the window.
        valid_for_s: how long the label is valid, in s; longer for a camera whose frames come seldom.
        unknown: when the frame is unknown.
        owner: the fusion node, where several share the site's cameras.
    """
    manifest, announce, votes = result.family.manifest, result.announce, result.votes
    classes, none_index = manifest.classes, manifest.none_index
    found = confidences(manifest, votes, result.winner, unknown=unknown)
    sure = found.by_class
    winner = None if found.is_known is False else result.winner
    top = sorted((-confidence, index) for index, confidence in sure.items() if index != none_index)
    return Label(
        camera=result.camera,
        frame=str(announce.frame),
        label=None if winner is None else classes[winner],
        known=found.is_known,
        class_index=winner,
        # Of votes without any probability none need name the winner.
        confidence=None if winner is None else _rounded(sure.get(winner, 0.0)),
        score=None if winner is None or result.score is None else _rounded(result.score),
        known_score=_rounded(found.known_score) if votes else None,
        top=tuple([{"label": classes[index], "confidence": _rounded(-minus)} for minus, index in top[:_TOP]]),
        voted=tuple(sorted(votes)),
        missing=tuple([v for v in range(len(result.family.weights)) if v not in votes]),
        alive=result.alive,
        closed_by=result.closed_by,
        latency_ms=round((result.closed - result.opened) * 1000, 3),
        captured=announce.captured,
        valid_for_s=max(valid_for_s, _HEARTBEATS * (announce.next_within_s or 0.0)),
        bundle=manifest.name,
        digest=result.family.digest.hex(),
        owner=owner,
        truth=announce.truth,
    )


def _rounded(share: float) -> float:
    return round(min(max(share, 0.0), 1.0), 4)
