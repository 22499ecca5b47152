"""Bundles from the broker: fetched, verified, kept on disk. What arrives is untrusted until its digest is right."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from pydantic import ValidationError

from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Manifest
from vp_mqtt.bundle.signing import Verifier
from vp_mqtt.config.settings import CommonSettings
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
"""Without a further chunk for so long, the broker has no more of them."""
_POLL_S = 0.1

Pause = Callable[[float], bool]
"""Waits for so many seconds, and returns whether it is time to end."""


class FetchError(Exception):
    """The broker does not have the bundle, or what it has is not right."""


class Interrupted(Exception):  # noqa: N818 (not an error)
    """It is time to end."""


class _Files:
    """A manifest and at most one model, as their chunks come in (in the network's thread)."""

    def __init__(self, digest: str, variant: int | None) -> None:
        self._digest = digest
        self.manifest = Assembly(max_bytes=MAX_MANIFEST_BYTES)
        self.model = Assembly(max_bytes=MAX_MODEL_BYTES) if variant is not None else None
        self._variant = variant
        self.complete = threading.Event()
        self.refused: str | None = None
        self.newest = time.monotonic()

    def take(self, message: Received) -> None:
        try:
            topic = topics.parse(message.topic)
            if topic.source != self._digest or topic.chunk is None or not message.payload:
                return
            file = self.manifest if topic.variant is None else self.model
            if file is None or topic.variant not in {None, self._variant}:
                return
            file.add(topic.chunk, message.payload)
        except (topics.TopicError, ChunkError) as error:
            self.refused = str(error)
            return
        self.newest = time.monotonic()
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
    # Names become paths: the manifest's own pattern lets only plain file names pass.
    if MANIFEST_NAME in files or len(set(files)) != len(files) or any(len(file) > 100 for file in files):  # noqa: PLR2004
        raise FetchError("its manifest names files that cannot be")
    return manifest


class Fetcher:
    """Fetches bundles for one node."""

    def __init__(self, settings: CommonSettings, name: str, cache: Cache, verifier: Verifier) -> None:
        """Prepare, without connecting.

        Args:
            settings: how to reach the broker.
            name: the node's.
            cache: where bundles are kept.
            verifier: what they must pass.
        """
        self._settings = settings
        self._client_id = f"vp-{settings.site}-{name}-bundle"
        self._cache = cache
        self._verifier = verifier

    def fetch(self, ref: BundleRef, variant: int | None, pause: Pause) -> Bundle:
        """Return a bundle, from disk if it is there whole, with the model of this variant only.

        Args:
            ref: the bundle.
            variant: whose model is needed; None for the manifest alone.
            pause: called while waiting.

        Raises:
            FetchError: the broker does not have it whole, or what it has is not right.
            SignatureError: it is not signed by the trusted key.
            UserError: it has no such variant, it cannot be written, or the broker will not have us.
            Interrupted: it is time to end.
        """
        found = self._cache.find(ref, variant)
        if found is not None:
            return found
        files = self._receive(ref, variant, pause)
        manifest_bytes = files.manifest.data
        manifest = check_manifest(manifest_bytes, ref, self._verifier)
        if variant is not None and files.model is not None:
            if variant >= len(manifest.variants):
                raise UserError(f"variant {variant}: the bundle '{manifest.name}' has no such variant")
            entry = manifest.variants[variant]
            model = files.model.data
            if hashlib.sha256(model).hexdigest() != entry.sha256:
                raise FetchError(f"the model of its variant {variant} has another digest than the manifest says")
            self._cache.put(ref, entry.file, model)
        self._cache.put(ref, MANIFEST_NAME, manifest_bytes)
        bundle = self._cache.find(ref, variant)
        if bundle is None:
            raise FetchError("it was changed on disk while it was written")
        LOGGER.info("fetched the bundle '%s' (%s) from the broker", manifest.name, ref.digest[:8])
        return bundle

    def _receive(self, ref: BundleRef, variant: int | None, pause: Pause) -> _Files:
        files = _Files(ref.digest, variant)
        names = Topics(self._settings.site)
        wanted = [(names.manifest(ref.digest, ANY), 1)]
        if variant is not None:
            wanted.append((names.model(ref.digest, variant, ANY), 1))
        with Session(
            self._settings.broker_options(),
            client_id=self._client_id,
            subscriptions=wanted,
            on_message=files.take,
            max_packet_bytes=MAX_PACKET_BYTES,
        ) as session:
            while not files.complete.is_set():
                session.check()
                if pause(_POLL_S):
                    raise Interrupted
                if not session.connected.is_set():
                    files.newest = time.monotonic()
                if time.monotonic() - files.newest > STALL_S:
                    reason = f" ({files.refused})" if files.refused else ""
                    raise FetchError(f"the broker does not have all of it{reason}")
        return files
