"""Reads a bundle back from the broker: what is retained is what a new board gets."""

from __future__ import annotations

import hashlib
import time

from vp_mqtt.bundle.fetch import FetchError, check_manifest
from vp_mqtt.bundle.signing import Verifier
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.bundle_pointer import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, BundleRef
from vp_mqtt.protocol.chunks import Assembly, ChunkError
from vp_mqtt.protocol.topics import ANY, TopicError, Topics

MAX_PACKET_BYTES = 2_000_000
_MAX_CHUNK_TOPICS = 100_000
_STALL_S = 10.0
_POLL_S = 0.1


class ReadBack:
    """A whole bundle that is put together from its chunks and compared with its digests."""

    def __init__(self, ref: BundleRef) -> None:
        """Begin without chunks.

        Args:
            ref: the bundle.
        """
        self._ref = ref
        self._files: dict[int | None, Assembly] = {}

    def add(self, message: Received) -> None:
        """Add a chunk.

        Raises:
            TopicError: it is not a chunk.
            ChunkError: it is not a valid chunk.
        """
        topic = topics.parse(message.topic)
        limit = MAX_MANIFEST_BYTES if topic.variant is None else MAX_MODEL_BYTES
        self._files.setdefault(topic.variant, Assembly(max_bytes=limit)).add(topic.chunk or 0, message.payload)

    def is_whole(self) -> bool:
        """Return whether manifest and models are complete, and the right ones.

        Raises:
            FetchError: the manifest, or a model that is complete, has another digest.
        """
        manifest_file = self._files.get(None)
        if manifest_file is None or not all(file.is_complete for file in self._files.values()):
            return False
        manifest = check_manifest(manifest_file.data, self._ref, Verifier(None))
        if len(self._files) != len(manifest.variants) + 1:
            return False
        for entry in manifest.variants:
            model = self._files.get(entry.index)
            if model is None or hashlib.sha256(model.data).hexdigest() != entry.sha256:
                raise FetchError(f"the model of its variant {entry.index} has another digest")
        return True


def check_kept(broker: BrokerOptions, *, site: str, client_id: str, ref: BundleRef) -> None:
    """Check that the broker retains a bundle whole, over a connection of its own.

    Args:
        broker: how to reach the broker.
        site: name of the site.
        client_id: unique at the broker.
        ref: the bundle.

    Raises:
        UserError: the broker does not have it whole, or refuses us.
    """
    names = Topics(site)
    inbox: Inbox[Received] = Inbox(per_source=1, max_sources=_MAX_CHUNK_TOPICS)
    read_back = ReadBack(ref)
    with Session(
        broker,
        client_id=client_id,
        subscriptions=[(names.manifest(ref.digest, ANY), 1), (names.model(ref.digest, ANY, ANY), 1)],
        on_message=lambda message: inbox.put(message.topic, message),
        max_packet_bytes=MAX_PACKET_BYTES,
    ) as session:
        session.wait_until_connected()
        newest_at = time.monotonic()
        try:
            while time.monotonic() - newest_at < _STALL_S or not session.connected.is_set():
                session.check()
                message = inbox.get(_POLL_S)
                if message is not None and message.payload:
                    newest_at = time.monotonic()
                    read_back.add(message)
                    if read_back.is_whole():
                        return
        except (TopicError, ChunkError, FetchError) as error:
            LOGGER.warning("read back: %s", error)
    raise UserError(
        f"broker {broker.address}: it has not kept the bundle '{ref.name}' whole; "
        "check its access rules and its limits on retained messages. Nothing was switched"
    )
