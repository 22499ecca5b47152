"""Reads the messages of a site into what the page shows of it. Everything received is untrusted."""

from __future__ import annotations

from dataclasses import dataclass

from vp_mqtt.inference.jpeg import read_head
from vp_mqtt.mqtt.message import AnySubscription, Received, Subscription
from vp_mqtt.overview.reading import read_into
from vp_mqtt.overview.site_overview import SeenLabel
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, MessageError, StateMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics

_MAX_CLASSES = 65_536
_MAX_PIXELS = 25_000_000
_NEVER_RETAINED = frozenset({Kind.FRAME, Kind.ANNOUNCE, Kind.VOTE, Kind.LABEL, Kind.SNAPSHOT})


def subscriptions(site: str) -> list[AnySubscription]:
    """Return what the page subscribes to."""
    its = Topics(site)
    return [
        (its.state(ANY), 1),
        (its.status(ANY), 1),
        (its.stats(ANY), 0),
        (its.link(), 1),
        (its.bundle(), 1),
        (its.fusion_settings(), 1),
        (its.camera_settings(ANY), 1),
        Subscription(its.snapshot(ANY), 0, retained=False),
        Subscription(its.announce(ANY), 0, retained=False),
        Subscription(its.vote(ANY, ANY), 0, retained=False),
        Subscription(its.label(ANY), 0, retained=False),
        Subscription(its.frame(ANY), 0, retained=False),
    ]


@dataclass(frozen=True, slots=True)
class Changed:
    """A camera's state that has changed.

    Attributes:
        state: the new one.
        retained: whether the broker had kept it: it may have changed long ago.
        at: when it arrived, on the monotonic clock, in seconds.
    """

    state: StateMessage
    retained: bool
    at: float


def read(view: SiteView, message: Received, *, wall_time: float, max_frame_bytes: int) -> Changed | None:
    """Note a message in the view.

    Args:
        view: of the site.
        message: as it arrived.
        wall_time: when it arrived, in seconds since 1970.
        max_frame_bytes: larger frames are refused.

    Returns:
        A state that has changed; None for everything else.

    Raises:
        ValueError: the message is invalid; the text says why.
    """
    topic = topics.parse(message.topic)
    if message.retained and topic.kind in _NEVER_RETAINED:
        raise MessageError("retained")
    match topic.kind:
        case Kind.FRAME:
            check_picture(message.payload, max_frame_bytes)
            text = str(FrameId.decode(message.correlation))
            view.note_picture(topic.source, text, message.payload, message.at)
        case Kind.SNAPSHOT:
            check_picture(message.payload, max_frame_bytes)
            view.snapshots.note(topic.source, message.payload, message.at)
        case Kind.ANNOUNCE:
            view.note_announce(topic.source, AnnounceMessage.decode(message.payload).frame, message.at)
        case Kind.VOTE if topic.variant is not None:
            vote = votes.decode(message.payload, _MAX_CLASSES)
            frame = FrameId.decode(message.correlation)
            view.note_vote(topic.source, str(frame), topic.variant, vote, message.at)
        case _:
            found = read_into(
                view.overview,
                topic,
                message.payload,
                retained=message.retained,
                now=message.at,
                wall_time=wall_time,
            )
            if isinstance(found, SeenLabel):
                view.note_label(found)
            if isinstance(found, StateMessage):
                return Changed(found, message.retained, message.at)
    return None


def check_picture(picture: bytes, max_bytes: int) -> None:
    """Check that a frame is a JPEG that every browser shows, and of a size that it can.

    Raises:
        MessageError: it is not.
    """
    if len(picture) > max_bytes:
        raise MessageError("too large")
    head = read_head(picture)
    if head is None or not head.is_common:
        raise MessageError("not a JPEG")
    width, height = head.size
    if not 0 < width * height <= _MAX_PIXELS:
        raise MessageError("too many pixels")
