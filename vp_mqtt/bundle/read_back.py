"""Reads a bundle back from the broker: what is retained is what a new board gets."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable
from functools import partial

from vp_mqtt.bundle.fetch import FetchError, check_manifest
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.bundle.signing import Verifier
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.bundle_pointer import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, BundleRef
from vp_mqtt.protocol.chunks import Assembly, ChunkError, count_of
from vp_mqtt.protocol.topics import TopicError, Topics

MAX_PACKET_BYTES = 2_000_000
_MAX_CHUNK_TOPICS = 100_000
_STALL_S = 10.0
_POLL_S = 0.1
_LOOK_S = 2.0
_WINDOW = 64


class ReadBack:
    """A whole bundle that is put together from its chunks and compared with its digests."""

    def __init__(self, ref: BundleRef) -> None:
        """Begin without chunks.

        Args:
            ref: the bundle.
        """
        self._ref = ref
        self._files: dict[int | None, Assembly] = {}
        self._manifest: Manifest | None = None

    def add(self, message: Received) -> None:
        """Add a chunk.

        Raises:
            TopicError: it is not a chunk.
            ChunkError: it is not a valid chunk.
        """
        topic = topics.parse(message.topic)
        self._file(topic.variant).add(topic.chunk or 0, message.payload)

    def _file(self, variant: int | None) -> Assembly:
        limit = MAX_MANIFEST_BYTES if variant is None else MAX_MODEL_BYTES
        return self._files.setdefault(variant, Assembly(max_bytes=limit))

    def is_whole(self) -> bool:
        """Return whether manifest and models are complete, and the right ones.

        Raises:
            FetchError: the manifest, or a model that is complete, has another digest.
        """
        manifest = self._read_manifest()
        if manifest is None or not all(file.is_complete for file in self._files.values()):
            return False
        if len(self._files) != len(manifest.variants) + 1:
            return False
        for entry in manifest.variants:
            model = self._files.get(entry.index)
            if model is None or hashlib.sha256(model.data).hexdigest() != entry.sha256:
                raise FetchError(f"the model of its variant {entry.index} has another digest")
        return True

    def _read_manifest(self) -> Manifest | None:
        file = self._files.get(None)
        if self._manifest is None and file is not None and file.is_complete:
            self._manifest = check_manifest(file.data, self._ref, Verifier(None))
        return self._manifest

    def wanted(self, names: Topics) -> list[str]:
        """Return the exact topics of the chunks to ask for next; none if all are there.

        Raises:
            FetchError: the manifest has another digest.
        """
        digest = self._ref.digest
        manifest = self._read_manifest()
        if manifest is None:
            return [names.manifest(digest, chunk) for chunk in self._file(None).missing(_WINDOW)]
        found: list[str] = []
        for entry in manifest.variants:
            missing = self._file(entry.index).missing(_WINDOW - len(found))
            found += [names.model(digest, entry.index, chunk) for chunk in missing]
        return found

    def first_wanted(self, names: Topics) -> list[str]:
        """Return like `wanted` what to ask for to know how many chunks there are: of a model, the first one.

        Raises:
            FetchError: the manifest has another digest.
        """
        if (manifest := self._read_manifest()) is None:
            return self.wanted(names)
        unknown = [entry.index for entry in manifest.variants if not self._file(entry.index).chunk_bytes]
        return [names.model(self._ref.digest, variant, 0) for variant in unknown]

    def topics(self, names: Topics) -> set[str]:
        """Return the topics of all chunks of those files of which one chunk is there."""
        digest = self._ref.digest
        found = set()
        for variant, file in self._files.items():
            count = count_of(file.total_bytes, file.chunk_bytes) if file.chunk_bytes else 0
            topic = partial(names.manifest, digest) if variant is None else partial(names.model, digest, variant)
            found |= {topic(chunk) for chunk in range(count)}
        return found


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
    read_back, names = ReadBack(ref), Topics(site)
    try:
        if _read(broker, client_id, read_back, lambda: read_back.wanted(names), _STALL_S) and read_back.is_whole():
            return
    except (TopicError, ChunkError, FetchError) as error:
        LOGGER.warning("read back: %s", error)
    raise UserError(
        f"broker {broker.address}: it has not kept the bundle '{ref.name}' whole; "
        "check its access rules and its limits on retained messages. Nothing was switched"
    )


def find_chunks(broker: BrokerOptions, *, site: str, client_id: str, refs: Iterable[BundleRef]) -> set[str]:
    """Return the topics of bundles' chunks, as far as they are found, at a broker that names none by a wildcard.

    Args:
        broker: how to reach the broker.
        site: name of the site.
        client_id: unique at the broker.
        refs: the bundles.

    Raises:
        UserError: the broker refuses us.
    """
    names = Topics(site)
    found: set[str] = set()
    for ref in refs:
        read_back = ReadBack(ref)
        with contextlib.suppress(TopicError, ChunkError, FetchError):
            _read(broker, client_id, read_back, partial(read_back.first_wanted, names), _LOOK_S)
        found |= read_back.topics(names)
    return found


def _read(
    broker: BrokerOptions, client_id: str, read_back: ReadBack, wanted: Callable[[], list[str]], stall_s: float
) -> bool:
    """Read what is wanted, by exact topics: not every broker sends what it retains to a filter with a wildcard.

    Returns:
        Whether nothing is wanted any more; False if nothing has come for `stall_s` seconds.
    """
    inbox: Inbox[Received] = Inbox(per_source=1, max_sources=_MAX_CHUNK_TOPICS)
    with Session(
        broker,
        client_id=client_id,
        on_message=lambda message: inbox.put(message.topic, message),
        max_packet_bytes=MAX_PACKET_BYTES,
    ) as session:
        session.wait_until_connected()
        newest_at = time.monotonic()
        asked: set[str] = set()
        while now_wanted := set(wanted()):
            if new := sorted(now_wanted - asked):
                session.subscribe(new, qos=1)
            for topic in asked - now_wanted:
                session.unsubscribe(topic)
            asked = now_wanted
            message = inbox.get(_POLL_S)
            session.check()
            if message is not None and message.payload:
                newest_at = time.monotonic()
                read_back.add(message)
            elif time.monotonic() - newest_at > stall_s and session.connected.is_set():
                return False
        return True
