"""Reads the messages of a site into an overview. Pure: the clocks are passed in."""

from __future__ import annotations

from vp_mqtt.overview.site_overview import Overview, SeenLabel
from vp_mqtt.protocol.messages import (
    LabelMessage,
    MessageError,
    StateMessage,
    StatsMessage,
    StatusMessage,
    decode_of_node,
)
from vp_mqtt.protocol.topics import Kind, Topic

LINK_UP = b"1"
"""What Mosquitto's bridge publishes while it is connected; else "0"."""


def read_into(
    overview: Overview, topic: Topic, payload: bytes, *, retained: bool, now: float, wall_time: float
) -> SeenLabel | StateMessage | None:
    """Note a label, a state, a status, stats or a link; messages of other kinds are ignored.

    Args:
        overview: of the site.
        topic: of the message.
        payload: the message's.
        retained: whether the broker had kept it.
        now: when it arrived, on the monotonic clock, in seconds.
        wall_time: when it arrived, in seconds since 1970.

    Returns:
        The label, or a state that has changed; None for everything else.

    Raises:
        MessageError: the message is invalid, or not of the camera or node whose topic this is.
    """
    match topic.kind:
        case Kind.LABEL:
            label = LabelMessage.decode(payload)
            _check_camera(label.camera, topic)
            return overview.note_label(label, now, wall_time)
        case Kind.STATE:
            state = StateMessage.decode(payload) if payload else None
            if state is not None:
                _check_camera(state.camera, topic)
            return state if overview.note_state(topic.source, state, now) else None
        case Kind.STATS:
            overview.note_stats(decode_of_node(StatsMessage, topic.source, payload), retained=retained, now=now)
        case Kind.STATUS if payload:
            overview.note_status(decode_of_node(StatusMessage, topic.source, payload), retained=retained, now=now)
        case Kind.STATUS:
            overview.forget(topic.source)
        case Kind.LINK:
            overview.note_link(now, is_up=payload == LINK_UP)
    return None


def _check_camera(camera: str, topic: Topic) -> None:
    # Access rules say who may publish under a camera's topic, not what is in the message.
    if camera != topic.source:
        raise MessageError("of another camera")
