"""Fetches bundles from the broker to the disk. What arrives is untrusted until its digest is right."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from pydantic import ValidationError

from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Manifest
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.bundle_pointer import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, BundleRef
from vp_mqtt.protocol.chunks import Assembly, ChunkError
from vp_mqtt.protocol.topics import ANY, Topics

MAX_PACKET_BYTES = 1_000_000
STALL_S = 20.0
"""If no chunk arrives for so long, the broker has no more of them."""
_POLL_S = 0.1
_LONGEST_FILE_NAME = 100

Pause = Callable[[float], bool]
"""Waits for so many seconds, and returns whether the node has been told to stop."""


class FetchError(Exception):
    """The broker does not have the bundle, or what it has is not valid."""


class Interrupted(Exception):  # noqa: N818 (not an error)
    """The node has been told to stop while it was waiting."""


class IncomingFiles:
    """The manifest and at most one model of a bundle, put together from their chunks.

    Attributes:
        manifest: the manifest's chunks.
        model: the model's chunks; None where no model is wanted.
        complete: set once all chunks are there.
        refusal: why the last invalid chunk was refused; None if none was.
        newest_at: when the last valid chunk arrived, on the monotonic clock, in seconds.
    """

    def __init__(self, digest: str, variant: int | None, now: float) -> None:
        """Prepare for the chunks of a bundle.

        Args:
            digest: the bundle's, in hexadecimal.
            variant: whose model is wanted; None for the manifest alone.
            now: the monotonic clock, in seconds.
        """
        self._digest = digest
        self._variant = variant
        self.manifest = Assembly(max_bytes=MAX_MANIFEST_BYTES)
        self.model = Assembly(max_bytes=MAX_MODEL_BYTES) if variant is not None else None
        self.complete = threading.Event()
        self.refusal: str | None = None
        self.newest_at = now

    def add(self, message: Received) -> None:
        """Add a chunk; messages that are not chunks of these files are ignored."""
        try:
            topic = topics.parse(message.topic)
            if topic.source != self._digest or topic.chunk is None or not message.payload:
                return
            file = self.manifest if topic.variant is None else self.model
            if file is None or topic.variant not in {None, self._variant}:
                return
            file.add(topic.chunk, message.payload)
        except (topics.TopicError, ChunkError) as error:
            self.refusal = str(error)
            return
        self.newest_at = message.at
        if self.manifest.is_complete and (self.model is None or self.model.is_complete):
            self.complete.set()


def check_manifest(data: bytes, ref: BundleRef, verifier: Verifier) -> Manifest:
    """Return a manifest that came from the broker.

    Raises:
        FetchError: it is not the one that was asked for, or not valid.
        SignatureError: it is not signed by the trusted key.
    """
    if hashlib.sha256(data).hexdigest() != ref.digest:
        raise FetchError("its manifest has another digest")
    verifier.check(data, ref.signature)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise FetchError(f"its manifest is not valid ({first_error(error)})") from None
    if manifest.canonical() != data:
        raise FetchError("its manifest is not in canonical form")
    files = [entry.file for entry in manifest.variants]
    # Names become paths: the manifest's own pattern allows plain file names only.
    if MANIFEST_NAME in files or len(set(files)) != len(files) or max(map(len, files)) > _LONGEST_FILE_NAME:
        raise FetchError("its manifest has duplicate or too long file names")
    return manifest


class Fetcher:
    """Fetches the bundles of one site for one node."""

    def __init__(
        self,
        broker: BrokerOptions,
        *,
        site: str,
        client_id: str,
        variant: int | None,
        cache: Cache,
        verifier: Verifier,
    ) -> None:
        """Prepare, without connecting.

        Args:
            broker: how to reach the broker.
            site: name of the site.
            client_id: unique at the broker.
            variant: whose model is fetched; None for manifests alone.
            cache: where bundles are kept.
            verifier: what they must pass.
        """
        self._broker = broker
        self._topics = Topics(site)
        self._client_id = client_id
        self._variant = variant
        self._cache = cache
        self._verifier = verifier
        self._reported: tuple[str, str] | None = None

    def fetch(self, ref: BundleRef, pause: Pause) -> Bundle:
        """Return a bundle: from the cache if it is there whole, else from the broker.

        Args:
            ref: the bundle.
            pause: called while waiting.

        Raises:
            FetchError: the broker does not have it whole, or what it has is not valid.
            SignatureError: it is not signed by the trusted key.
            UserError: it has no such variant, it cannot be written, or the broker refuses us.
            Interrupted: the node has been told to stop.
        """
        cached = self._cache.find(ref, self._variant)
        if cached is not None:
            return cached
        files = self._receive(ref, pause)
        model = files.model.data if files.model is not None else None
        manifest = self._store(ref, files.manifest.data, model)
        bundle = self._cache.find(ref, self._variant)
        if bundle is None:
            raise FetchError("it was changed on disk while it was written")
        LOGGER.info("fetched the bundle '%s' (%s) from the broker", manifest.name, ref.digest[:8])
        return bundle

    def try_fetch(self, ref: BundleRef, pause: Pause) -> Bundle | None:
        """Return a bundle like `fetch`; None if it cannot be used, which is logged once per bundle and reason.

        Raises:
            Interrupted: the node has been told to stop.
        """
        try:
            return self.fetch(ref, pause)
        except (FetchError, SignatureError, UserError) as error:
            report = ref.digest, str(error)
            if self._reported != report:
                self._reported = report
                LOGGER.warning("the bundle '%s' (%s) is not accepted: %s", ref.name, ref.digest[:8], error)
        return None

    def _store(self, ref: BundleRef, manifest_bytes: bytes, model: bytes | None) -> Manifest:
        manifest = check_manifest(manifest_bytes, ref, self._verifier)
        if self._variant is not None and model is not None:
            if self._variant >= len(manifest.variants):
                raise UserError(f"variant {self._variant}: the bundle '{manifest.name}' has no such variant")
            entry = manifest.variants[self._variant]
            if hashlib.sha256(model).hexdigest() != entry.sha256:
                raise FetchError(f"the model of its variant {self._variant} has another digest than the manifest says")
            self._cache.put(ref, entry.file, model)
        # The manifest comes last: a bundle that has one has its model, too.
        self._cache.put(ref, MANIFEST_NAME, manifest_bytes)
        return manifest

    def _receive(self, ref: BundleRef, pause: Pause) -> IncomingFiles:
        files = IncomingFiles(ref.digest, self._variant, time.monotonic())
        wanted = [(self._topics.manifest(ref.digest, ANY), 1)]
        if self._variant is not None:
            wanted.append((self._topics.model(ref.digest, self._variant, ANY), 1))
        with Session(
            self._broker,
            client_id=self._client_id,
            subscriptions=wanted,
            on_message=files.add,
            max_packet_bytes=MAX_PACKET_BYTES,
        ) as session:
            while not files.complete.is_set():
                session.check()
                if pause(_POLL_S):
                    raise Interrupted
                if not session.connected.is_set():
                    files.newest_at = time.monotonic()
                if time.monotonic() - files.newest_at > STALL_S:
                    reason = f" ({files.refusal})" if files.refusal else ""
                    raise FetchError(f"the broker does not have all of it{reason}")
        return files
