"""Fetches bundles from the broker to the disk. What arrives is untrusted until its digest is right."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.incoming import IncomingFiles
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Manifest
from vp_mqtt.bundle.model_file import check_model
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Subscription
from vp_mqtt.mqtt.session import Session
from vp_mqtt.mqtt.topic_gates import TopicGates
from vp_mqtt.protocol.bundle_pointer import SHORT_DIGITS, BundleRef
from vp_mqtt.protocol.topics import Topics

MAX_PACKET_BYTES = 1_000_000
STALL_S = 60.0
"""If nothing new arrives for so long, the broker has no more of it. A chunk takes 10 s at 100 kbit/s."""
_POLL_S = 0.05
_REPORT_S = 5.0
_KEEPALIVE_S = 60
# Each topic has one retained message, and another one with each push.
POINTER_LIMIT = Limit(burst=20, per_second=1.0)
"""How much may come on the topic of a site's pointer."""
_CHUNK_LIMIT = Limit(burst=8, per_second=0.2)
_MAX_KNOWN = 64
_LONGEST_FILE_NAME = 100

Pause = Callable[[float], bool]
"""Waits for so many seconds, and returns whether the node has been told to stop."""


class FetchError(Exception):
    """The broker does not have the bundle, or what it has is not valid."""


class Interrupted(Exception):  # noqa: N818 (not an error)
    """The node has been told to stop while it was waiting."""


class Superseded(Exception):  # noqa: N818 (not an error)
    """The site runs another bundle by now than the one that is being fetched."""


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


def _check_for(variant: int | None, manifest: Manifest) -> Manifest:
    if variant is not None and variant >= len(manifest.variants):
        raise UserError(f"variant {variant}: the bundle '{manifest.name}' has no such variant")
    return manifest


def _ask_for_more(session: Session, gates: TopicGates, wanted: set[str], asked: set[str]) -> set[str]:
    for topic in asked - wanted:
        gates.remove(topic)
        session.unsubscribe(topic)
    gates.add(*(Subscription(topic, 1, limit=_CHUNK_LIMIT) for topic in wanted - asked))
    if more := sorted(wanted - asked):
        session.subscribe(more, qos=1)
    return wanted


class Fetcher:
    """Fetches the bundles of one site for one node: chunk by chunk, so that a slow link's connection stays usable.

    Attributes:
        on_progress: called with a line for people every few seconds.
    """

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
        # Pings wait behind chunks on a slow link.
        self._broker = replace(broker, keepalive_s=max(broker.keepalive_s, _KEEPALIVE_S))
        self._topics = Topics(site)
        self._client_id = client_id
        self._variant = variant
        self._cache = cache
        self._verifier = verifier
        self._reported: tuple[str, str] | None = None
        self._known: dict[str, str] = {}
        self._unfit: dict[str, str] = {}
        self.on_progress: Callable[[str], None] = lambda _: None

    def find(self, ref: BundleRef) -> Bundle | None:
        """Return a bundle from the cache; None if it must be fetched.

        Raises:
            FetchError: it has the short digest of another one.
            SignatureError: it is not signed by the trusted key.
            UserError: it has no such variant.
        """
        self._check_short_digest(ref)
        bundle = self._cache.find(ref, self._variant)
        if bundle is not None:
            self.note(ref.digest)
        return bundle

    def try_find(self, ref: BundleRef) -> Bundle | None:
        """Return a bundle like `find`; None also if it cannot be used."""
        try:
            return self.find(ref)
        except (FetchError, SignatureError, UserError):
            return None

    def why_not_followed(self, ref: BundleRef) -> str | None:
        """Return why a site's switch to a bundle is not followed; None if it is. Without a key, each one is."""
        try:
            number = self._verifier.check_switch(ref, self._topics.site)
        except SignatureError as error:
            reason = str(error)
        else:
            if number is None or number >= self._cache.newest_switch:
                return None
            reason = "a newer switch was signed; to go back, sign that: vp push --rollback --sign KEY"
        self._log_once(ref, reason)
        return reason

    def note_newest(self, ref: BundleRef) -> None:
        """Write down that a site has switched to a bundle, so that it does not go back to an older switch.

        Raises:
            UserError: it cannot be written, not even to a temporary folder.
        """
        self._cache.note_switch(self._verifier.check_switch(ref, self._topics.site) or 0)

    def _log_once(self, ref: BundleRef, reason: object) -> None:
        report = ref.digest, str(reason)
        if self._reported != report:
            self._reported = report
            LOGGER.warning("the bundle '%s' (%s) is not accepted: %s", ref.name, ref.digest[:8], reason)

    def note(self, digest: str) -> None:
        """Remember that votes may arrive that name this bundle."""
        if len(self._known) >= _MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known.setdefault(digest[:SHORT_DIGITS], digest)

    def _check_short_digest(self, ref: BundleRef) -> None:
        # Votes carry the short digest only: those of two bundles could not be told apart.
        if self._known.get(ref.digest[:SHORT_DIGITS], ref.digest) != ref.digest:
            raise FetchError("it has the short digest of another bundle that this node knows; export it again")

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
        cached = self.find(ref)
        if cached is not None:
            return cached
        if ref.digest in self._unfit:
            raise FetchError(self._unfit[ref.digest])
        # Where a key is trusted, nobody else can even start a fetch.
        self._verifier.check_switch(ref, self._topics.site)
        files = IncomingFiles(ref.digest, self._variant, self._cache.partial(ref), time.monotonic())
        manifest, data = self._download(ref, files, pause)
        try:
            self._store(ref, manifest, files.model.data if files.model is not None else None)
        finally:
            # What was put together and refused is not to be put together again.
            files.forget()
        # The manifest comes last: a bundle that has one has its model, too.
        self._cache.put(ref, MANIFEST_NAME, data)
        bundle = self.find(ref)
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
            self._log_once(ref, error)
        return None

    def _store(self, ref: BundleRef, manifest: Manifest, model: bytes | None) -> None:
        if self._variant is None or model is None:
            return
        entry = manifest.variants[self._variant]
        if hashlib.sha256(model).hexdigest() != entry.sha256:
            raise FetchError(f"the model of its variant {self._variant} has another digest than the manifest says")
        try:
            check_model(model)
        except UserError as error:
            # It stays so, whatever the broker sends: it is not fetched again and again.
            self._unfit[ref.digest] = str(error)
            raise
        self._cache.put(ref, entry.file, model)

    def _download(self, ref: BundleRef, files: IncomingFiles, pause: Pause) -> tuple[Manifest, bytes]:
        """Receive what is missing of the files, and return the manifest, parsed and as it is."""
        manifest: tuple[Manifest, bytes] | None = None
        reported_at = time.monotonic()
        wanted: set[str] = set()
        gates = TopicGates(lambda: session)
        session = Session(
            self._broker,
            client_id=self._client_id,
            on_message=gates.passing(files.add),
            max_packet_bytes=MAX_PACKET_BYTES,
        )
        with session:
            while True:
                session.check()
                if manifest is None and files.manifest.is_complete:
                    data = files.manifest.data
                    manifest = _check_for(self._variant, check_manifest(data, ref, self._verifier)), data
                    files.accept_manifest()
                if manifest is not None and files.complete.is_set():
                    return manifest
                wanted = _ask_for_more(session, gates, files.wanted(self._topics), wanted)
                if pause(_POLL_S):
                    raise Interrupted
                now = time.monotonic()
                if not session.connected.is_set():
                    files.progress_at = now
                if now - files.progress_at > STALL_S:
                    reason = f" ({files.refusal})" if files.refusal else ""
                    raise FetchError(f"the broker does not have all of it{reason}")
                if now - reported_at > _REPORT_S:
                    reported_at = now
                    self._report_progress(ref, files)

    def _report_progress(self, ref: BundleRef, files: IncomingFiles) -> None:
        share = files.received_bytes / max(files.total_bytes, 1)
        text = f"fetching the bundle '{ref.name}' ({ref.digest[:8]}): {share:.0%} of {files.total_bytes:,} bytes"
        LOGGER.info("%s", text)
        self.on_progress(text)
