"""`vp push`: a bundle to the broker, in steps each of which leaves a running site as it is or as it shall be.

The new bundle's chunks lie beside the old ones before anybody is told; nodes fetch it before they switch; the switch
is one retained message; what is no longer needed is cleared last. Whoever is killed in between leaves what the pointer
names whole.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from vp_mqtt.bundle import signing
from vp_mqtt.bundle.fetch import FetchError, check_manifest
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.config.settings import PushSettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.bundle_pointer import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, BundlePointer, BundleRef
from vp_mqtt.protocol.chunks import HEADER_BYTES, Assembly, ChunkError, split
from vp_mqtt.protocol.messages import MessageError, State, StatusMessage
from vp_mqtt.protocol.topics import ANY, Kind, TopicError, Topics

_OVERHEAD_BYTES = 256  # of a packet: topic, properties, chunk header
_QUIET_S = 1.0
_STALL_S = 30.0
_IN_FLIGHT = 10
_CONTENT_TYPE = "application/json"


class _Site:
    """What the broker retains of a site's bundles and nodes, as it tells us."""

    def __init__(self, site: str) -> None:
        self.names = Topics(site)
        self.pointer: BundlePointer | None = None
        self.chunks: set[str] = set()
        self.statuses: dict[str, StatusMessage] = {}
        self.newest = time.monotonic()

    def take(self, message: Received) -> None:
        """Take a message (in the network's thread)."""
        self.newest = time.monotonic()
        try:
            topic = topics.parse(message.topic)
            if topic.kind is Kind.BUNDLE:
                self.pointer = BundlePointer.decode(message.payload) if message.payload else None
            elif topic.kind is Kind.CHUNK and message.payload:
                self.chunks.add(message.topic)
            elif topic.kind is Kind.CHUNK:
                self.chunks.discard(message.topic)
            elif topic.kind is Kind.STATUS and message.payload:
                self.statuses[topic.source] = StatusMessage.decode(message.payload)
        except (TopicError, MessageError) as error:
            LOGGER.warning("%s: %s; left as it is", message.topic, error)

    def not_ready(self, digest: str) -> list[str]:
        """Return the fusion nodes that are online, follow the site's bundle, and cannot fuse this one yet."""
        return sorted(
            node
            for node, status in list(self.statuses.items())
            if status.role == "fusion" and status.state is State.ONLINE and status.ready
            if digest[:8] not in status.ready
        )


class Pusher:
    """One run of `vp push`."""

    def __init__(self, settings: PushSettings) -> None:
        """Prepare, without connecting.

        Args:
            settings: how to reach the broker, and what to sign with.

        Raises:
            UserError: a certificate, key or password file is not usable.
        """
        self._settings = settings
        self._site = _Site(settings.site)
        names = self._site.names
        self._error: UserError | None = None
        everything = names.manifest(ANY, ANY), names.model(ANY, ANY, ANY)
        self._session = self._open(
            "push", [(topic, 1) for topic in (names.bundle(), *everything, names.status(ANY))], self._site.take
        )

    def _open(self, suffix: str, subscriptions: list[tuple[str, int]], take: Callable[[Received], None]) -> Session:
        return Session(
            self._settings.broker_options(),
            client_id=f"vp-{self._settings.site}-{self._settings.node_name()}-{suffix}",
            subscriptions=subscriptions,
            on_message=take,
            on_end=self._fail,
            max_packet_bytes=2_000_000,
        )

    def _fail(self, error: UserError) -> None:
        self._error = error

    def push(self, bundle: Bundle) -> dict[str, object]:
        """Push a bundle, switch the site to it, and return what was done.

        Raises:
            UserError: the bundle is not usable, or the broker does not take or keep it.
        """
        manifest = bundle.manifest
        digest = manifest.digest.hex()
        data = manifest.canonical()
        if len(data) > MAX_MANIFEST_BYTES:
            raise UserError(f"{bundle.folder}: a manifest of more than {MAX_MANIFEST_BYTES:,} bytes is not pushed")
        signature = signing.sign(data, self._settings.sign) if self._settings.sign else None
        models = [bundle.model_bytes(entry.index) for entry in manifest.variants]
        if any(len(model) > MAX_MODEL_BYTES for model in models):
            raise UserError(f"{bundle.folder}: a model of more than {MAX_MODEL_BYTES:,} bytes is not pushed")
        ref = BundleRef(name=manifest.name, digest=digest, signature=signature)
        names = self._site.names
        started = time.monotonic()
        with self:
            self._see()
            before = self._site.pointer
            size = min(self._settings.chunk_bytes, self._session.max_publish_bytes - HEADER_BYTES - _OVERHEAD_BYTES)
            if size < 1:
                raise UserError(f"broker {self._settings.broker}: it takes no packets large enough for a chunk")
            chunks: dict[str, bytes] = {}
            try:
                for index, chunk in enumerate(split(data, size)):
                    chunks[names.manifest(digest, index)] = chunk
                for variant, model in enumerate(models):
                    for index, chunk in enumerate(split(model, size)):
                        chunks[names.model(digest, variant, index)] = chunk
            except ChunkError as error:
                raise UserError(f"{bundle.folder}: {error}; allow larger ones with --chunk-bytes") from None
            self._publish([Outgoing(topic, chunk, qos=1, retain=True) for topic, chunk in chunks.items()])
            LOGGER.info("%d chunks of '%s' are at the broker", len(chunks), manifest.name)
            prefix = names.manifest(digest, "")[: -len("manifest/")]
            self._clear({topic for topic in self._site.chunks if topic.startswith(prefix)} - chunks.keys())
            self._check_kept(ref)
            pointer = self._switch(ref, before)
            cleared = self._clear_others(pointer)
        return {
            "bundle": manifest.name,
            "digest": digest,
            "signed": signature is not None,
            "previous": pointer.previous.digest if pointer.previous else None,
            "chunks": len(chunks),
            "chunk_bytes": size,
            "bytes": sum(len(chunk) for chunk in chunks.values()),
            "cleared": cleared,
            "seconds": round(time.monotonic() - started, 3),
        }

    def rollback(self) -> dict[str, object]:
        """Switch the site back to the bundle before, and return what was done.

        Raises:
            UserError: there is none, or the broker does not have it whole.
        """
        started = time.monotonic()
        with self:
            self._see()
            before = self._site.pointer
            if before is None or before.previous is None:
                raise UserError(f"site '{self._settings.site}': there is no bundle to go back to")
            ref = before.previous
            self._check_kept(ref)
            pointer = self._switch(ref, before)
            cleared = self._clear_others(pointer)
        return {
            "bundle": ref.name,
            "digest": ref.digest,
            "signed": ref.signature is not None,
            "previous": pointer.previous.digest if pointer.previous else None,
            "cleared": cleared,
            "seconds": round(time.monotonic() - started, 3),
        }

    def __enter__(self) -> None:
        self._session.start()

    def __exit__(self, *_: object) -> None:
        self._session.stop()

    def _wait(self, session: Session, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds; False if nothing has come from the broker for too long."""
        since = time.monotonic()
        while not condition():
            if self._error is not None:
                raise self._error
            if session.connected.is_set() and time.monotonic() - max(since, self._site.newest) > _STALL_S:
                return False
            time.sleep(0.005)
        return True

    def _see(self) -> None:
        """Wait until the broker has told what it retains: until it has been quiet for a while."""
        self._wait(self._session, self._session.connected.is_set)
        self._site.newest = time.monotonic()
        self._wait(self._session, lambda: time.monotonic() - self._site.newest > _QUIET_S)

    def _publish(self, messages: list[Outgoing]) -> None:
        """Publish messages, a few at a time, each until the broker has acknowledged it.

        Raises:
            UserError: the connection broke, or the broker would not take one.
        """
        flying: deque[Sent] = deque()
        for message in messages:
            sent = self._session.publish(message)
            if sent is None:
                raise self._error or UserError(
                    f"broker {self._settings.broker}: it does not take {message.topic} "
                    f"({message.packet_bytes():,} bytes), or the connection broke; nothing was switched, push again"
                )
            flying.append(sent)
            if len(flying) >= _IN_FLIGHT:
                self._await_acknowledgement(flying.popleft())
        for sent in flying:
            self._await_acknowledgement(sent)

    def _await_acknowledgement(self, sent: Sent) -> None:
        if not sent.wait(_STALL_S):
            self._session.check()
            raise UserError(f"broker {self._settings.broker}: it acknowledges nothing any more; push again")

    def _check_kept(self, ref: BundleRef) -> None:
        """Read a bundle back from the broker, over a connection of its own: retained is what a new board gets.

        Raises:
            UserError: the broker does not have it whole.
        """
        names = self._site.names
        inbox: Inbox[Received] = Inbox(per_source=1, max_sources=100_000)
        wanted = [(names.manifest(ref.digest, ANY), 1), (names.model(ref.digest, ANY, ANY), 1)]
        files: dict[int | None, Assembly] = {}
        session = self._open("check", wanted, lambda message: inbox.put(message.topic, message))
        session.start()
        quiet_since = time.monotonic()
        try:
            while time.monotonic() - quiet_since < _STALL_S / 3 or not session.connected.is_set():
                if self._error is not None:
                    raise self._error
                message = inbox.get(0.1)
                if message is not None and message.payload:
                    quiet_since = time.monotonic()
                    topic = topics.parse(message.topic)
                    limit = MAX_MANIFEST_BYTES if topic.variant is None else MAX_MODEL_BYTES
                    files.setdefault(topic.variant, Assembly(max_bytes=limit)).add(topic.chunk or 0, message.payload)
                if self._is_whole(ref, files):
                    return
        except (TopicError, ChunkError, FetchError) as error:
            LOGGER.warning("read back: %s", error)
        finally:
            session.stop()
        raise UserError(
            f"broker {self._settings.broker}: it has not kept the bundle '{ref.name}' whole; "
            "check its access rules and its limits on retained messages. Nothing was switched"
        )

    @staticmethod
    def _is_whole(ref: BundleRef, files: dict[int | None, Assembly]) -> bool:
        """Tell whether these are the bundle's manifest and models, all of them.

        Raises:
            FetchError: the manifest, or a model that is complete, is another.
        """
        manifest_file = files.get(None)
        if manifest_file is None or not all(file.is_complete for file in files.values()):
            return False
        manifest = check_manifest(manifest_file.data, ref, signing.Verifier(None))
        if len(files) != len(manifest.variants) + 1:
            return False
        for entry in manifest.variants:
            model = files.get(entry.index)
            if model is None or hashlib.sha256(model.data).hexdigest() != entry.sha256:
                raise FetchError(f"the model of its variant {entry.index} has another digest")
        return True

    def _switch(self, ref: BundleRef, before: BundlePointer | None) -> BundlePointer:
        old = before or BundlePointer(pushed=0)
        if old.current is None or old.current.digest != ref.digest:
            self._point(old.prepared(ref, round(time.time(), 3)))
            until = time.monotonic() + self._settings.ready_within
            while (waiting := self._site.not_ready(ref.digest)) and time.monotonic() < until:
                time.sleep(0.02)
            if waiting:
                LOGGER.warning(
                    "%s did not get ready within %g s; switching all the same",
                    ", ".join(waiting),
                    self._settings.ready_within,
                )
        pointer = old.switched(ref, round(time.time(), 3))
        self._point(pointer)
        LOGGER.info("the site '%s' runs '%s' (%s) now", self._settings.site, ref.name, ref.digest[:8])
        return pointer

    def _point(self, pointer: BundlePointer) -> None:
        topic = self._site.names.bundle()
        self._publish([Outgoing(topic, pointer.encode(), qos=1, retain=True, content_type=_CONTENT_TYPE)])
        # Not every broker says that access rules forbid a message: it comes back to us, or it was not taken.
        until = time.monotonic() + _STALL_S / 3
        while self._site.pointer != pointer:
            if time.monotonic() > until:
                raise UserError(f"broker {self._settings.broker}: it did not take {topic}; check its access rules")
            time.sleep(0.01)

    def _clear(self, stale: set[str]) -> int:
        self._publish([Outgoing(topic, b"", qos=1, retain=True) for topic in sorted(stale)])
        return len(stale)

    def _clear_others(self, pointer: BundlePointer) -> int:
        """Clear the chunks of bundles that are neither the current nor the one before."""
        keep = pointer.digests()
        return self._clear({topic for topic in self._site.chunks if topics.parse(topic).source not in keep})


def run(settings: PushSettings, bundle: str | Path | None, *, rollback: bool) -> dict[str, object]:
    """Push a bundle, or go back to the one before; return what was done.

    Raises:
        UserError: what was asked for is not possible.
    """
    if rollback == (bundle is not None):
        raise UserError("name a bundle to push, or give --rollback")
    if bundle is None:
        return Pusher(settings).rollback()
    return Pusher(settings).push(open_bundle(bundle))
