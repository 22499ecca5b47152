"""Listens to the demo's site and writes into a record what happens there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.demo.record import Record
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import connected
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, State, StatusMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics

SITE = "demo"
CAMERA = "demo"
_MAX_WAITING = 10_000


class Listener:
    """An MQTT client that passes announces, votes and labels to a record.

    Attributes:
        online: the names of the nodes that are online.
        record: what announces, votes and labels are written to.
    """

    def __init__(self, record: Record, digest: bytes) -> None:
        """Start without messages.

        Args:
            record: what announces, votes and labels are written to.
            digest: short digest of the record's bundle, 4 bytes: votes of others are about other classes.
        """
        self.online: set[str] = set()
        self.record = record
        self._digest = digest
        self._inbox: Inbox[Received] = Inbox(per_source=_MAX_WAITING)

    @contextmanager
    def connected(self, url: str) -> Iterator[None]:
        """Be connected to the broker for as long as the context lasts.

        Raises:
            UserError: the broker refuses us.
        """
        site = Topics(SITE)
        subscriptions = [
            (site.status(ANY), 1),
            (site.announce(CAMERA), 1),
            (site.vote(CAMERA, ANY), 0),
            (site.label(CAMERA), 0),
        ]
        with connected(
            BrokerOptions(url=url),
            client_id=f"vp-{SITE}-watch",
            subscriptions=subscriptions,
            on_message=lambda message: self._inbox.put(message.topic, message),
            on_end=lambda _: self._inbox.close(),
        ):
            yield

    def handle_message(self, timeout: float) -> bool:
        """Handle one message, and skip an invalid one; return False if none arrived within `timeout` seconds."""
        message = self._inbox.get(timeout)
        if message is None:
            return False
        # Any program on this machine can publish to the demo's broker.
        with suppress(ValueError):
            self._note(message)
        return True

    def _note(self, message: Received) -> None:
        """Write a message into the record.

        Raises:
            ValueError: it is invalid.
        """
        topic = topics.parse(message.topic)
        match topic.kind:
            case Kind.ANNOUNCE:
                self.record.add_announce(AnnounceMessage.decode(message.payload).announce())
            case Kind.VOTE if topic.variant is not None and votes.digest_of(message.payload) == self._digest:
                vote = votes.decode(message.payload, len(self.record.classes))
                packet = Outgoing(message.topic, message.payload, correlation=message.correlation).packet_bytes()
                frame = FrameId.decode(message.correlation)
                self.record.add_vote(frame, topic.variant, vote, len(message.payload), packet)
            case Kind.LABEL:
                # The capture time is on the wall clock, which all processes of this machine share.
                arrival = time.time() - (time.monotonic() - message.at)
                self.record.add_label(LabelMessage.decode(message.payload), arrival)
            case Kind.STATUS:
                status = StatusMessage.decode(message.payload)
                if status.state is State.ONLINE:
                    self.online.add(status.node)
                else:
                    self.online.discard(status.node)
