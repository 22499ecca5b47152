"""Labels and states of a camera, as messages."""

from __future__ import annotations

from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import LabelMessage, StateMessage, StateReason


def label(name: str | None, truth: str | None = None, camera: str = "cam0", captured: float = 0.0) -> LabelMessage:
    """Return a label on which three of four variants voted; none did where it is None."""
    return LabelMessage(
        camera=camera,
        frame="0000002a-123456",
        label=name,
        class_index=None if name is None else 3,
        confidence=None if name is None else 0.987,
        score=None if name is None else 0.5,
        voted=() if name is None else (0, 1, 3),
        missing=(2,) if name is not None else (0, 1, 2, 3),
        alive=(0, 1, 3),
        closed_by=ClosedBy.COMPLETE,
        latency_ms=12.34,
        captured=captured,
        valid_for_s=5.0,
        bundle="things",
        truth=truth,
    )


def state_message(label: str = "Coat") -> StateMessage:
    """Return the state of `cam0`, which has shown this label since 1000 s after 1970."""
    return StateMessage(
        camera="cam0",
        label=label,
        since=1000.0,
        previous=None,
        confidence=0.9,
        agreeing=(),
        reason=StateReason.LABELS,
        published=1000.0,
        valid_for_s=90.0,
        bundle="things",
    )
