"""`vp push`: a bundle to the broker, in steps each of which leaves a running site with the old bundle or the new one.

The new bundle's chunks are published beside the old ones before any node hears of them; nodes fetch it before they
switch; the switch is one retained message; what is no longer needed is cleared last. Whenever the push is killed, what
the pointer names is whole.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vp_mqtt.bundle.adoption import Adoption
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.package import Package, numbered, pack, warn_of_unsigned
from vp_mqtt.bundle.read_back import MAX_PACKET_BYTES, check_kept, find_chunks
from vp_mqtt.bundle.retained import RetainedState
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.config.settings import PushSettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import Session, wait_until_subscribed
from vp_mqtt.protocol.bundle_pointer import SHORT_DIGITS, BundlePointer, BundleRef
from vp_mqtt.protocol.chunks import HEADER_BYTES
from vp_mqtt.protocol.topics import Topics

_OVERHEAD_BYTES = 256  # of a packet: topic and properties
_QUIET_S = 1.0
_READ_WITHIN_S = 600.0  # three large bundles over a slow link
_STALL_S = 30.0
_POINTER_WITHIN_S = 10.0
_POLL_S = 0.01
_IN_FLIGHT = 10
_CONTENT_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push, or the return to the previous bundle, has done.

    Attributes:
        bundle: name of the site's bundle now.
        digest: of its manifest, in hex.
        signed: whether it is signed.
        adoption: which boards run it.
        previous: digest of the bundle before, in hex; None if there was none.
        previous_signed: whether the switch to the bundle before was signed: to return to it, a key is needed.
        cleared: number of retained chunks that were cleared.
        seconds: how long it took.
        chunks: number of chunks that were sent; None where none were.
        chunk_bytes: largest chunk; None where none were sent.
        bytes: of all chunks that were sent; None where none were.
    """

    bundle: str
    digest: str
    signed: bool
    adoption: Adoption
    previous: str | None
    cleared: int
    previous_signed: bool = False
    seconds: float = 0.0
    chunks: int | None = None
    chunk_bytes: int | None = None
    bytes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what `vp push --json` prints."""
        names = ("bundle", "digest", "signed", "previous", "cleared", "chunks", "chunk_bytes", "bytes", "seconds")
        values = {name: getattr(self, name) for name in names}
        return {name: v for name, v in values.items() if v is not None or name == "previous"} | {
            "boards": self.adoption.as_dict()
        }


class Pusher:
    """Switches one site from bundle to bundle."""

    def __init__(
        self,
        broker: BrokerOptions,
        *,
        site: str,
        node: str,
        chunk_bytes: int,
        ready_within_s: float,
        taken_within_s: float,
        signing_key: Path | None = None,
    ) -> None:
        """Prepare, without connecting.

        Args:
            broker: how to reach the broker.
            site: name of the site.
            node: what this client is called at the broker.
            chunk_bytes: largest chunk.
            ready_within_s: how long fusion nodes have to get ready before the switch, in seconds.
            taken_within_s: how long boards have to run the bundle after the switch, in seconds.
            signing_key: private key (PEM) to sign switches with; None for no signature.
        """
        self._broker = broker
        self._site = site
        self._names = Topics(site)
        self._client_id = f"vp-{site}-{node}"
        self._chunk_bytes = chunk_bytes
        self._ready_within_s = ready_within_s
        self._taken_within_s = taken_within_s
        self._signing_key = signing_key
        self._pointer: BundlePointer | None = None
        self._state = RetainedState(site, time.monotonic())
        self._session = Session(
            broker,
            client_id=f"{self._client_id}-push",
            subscriptions=[(topic, 1) for topic in self._state.filters()],
            on_message=self._state.accept,
            max_packet_bytes=MAX_PACKET_BYTES,
            finds_statuses=True,
        )

    def push(self, package: Package) -> Pushed:
        """Push a bundle, switch the site to it, and return what was done.

        Raises:
            UserError: the broker refuses us, does not accept the bundle, or does not keep it.
        """
        ref = package.ref
        started = time.monotonic()
        with self._session:
            before = self._read_state()
            _check_short_digest(ref, before)
            size = min(self._chunk_bytes, self._session.max_publish_bytes - HEADER_BYTES - _OVERHEAD_BYTES)
            if size < 1:
                raise UserError(f"broker {self._broker.address}: it accepts no packets large enough for a chunk")
            chunks = package.chunks(self._names, size)
            self._publish([Outgoing(topic, chunk, qos=1, retain=True) for topic, chunk in chunks.items()])
            LOGGER.info("%d chunks of '%s' are at the broker", len(chunks), ref.name)
            # Of a push before with smaller chunks.
            self._clear(self._state.chunks_of(ref.digest) - chunks.keys())
            done = self._switch_to(ref, before)
        return replace(
            done,
            chunks=len(chunks),
            chunk_bytes=size,
            bytes=sum(len(chunk) for chunk in chunks.values()),
            seconds=round(time.monotonic() - started, 3),
        )

    def roll_back(self) -> Pushed:
        """Switch the site back to the previous bundle, and return what was done.

        Raises:
            UserError: there is none, or the broker refuses us or does not have the bundle whole.
        """
        started = time.monotonic()
        with self._session:
            before = self._read_state()
            if before is None or before.current is None:
                raise UserError(f"site '{self._site}': no bundle was pushed to it yet; is --site right?")
            if before.previous is None:
                raise UserError(f"site '{self._site}': there is no bundle to go back to: only one was pushed yet")
            done = self._switch_to(before.previous, before)
        return replace(done, seconds=round(time.monotonic() - started, 3))

    def _switch_to(self, ref: BundleRef, before: BundlePointer | None) -> Pushed:
        """Switch the site to a bundle whose chunks are at the broker, and clear what is no longer needed."""
        check_kept(self._broker, site=self._site, client_id=f"{self._client_id}-check", ref=ref)
        kept = self._state.chunks_of(ref.digest)
        self._check_undisturbed()
        ref = numbered(ref, before, self._site, self._signing_key)
        old = before or BundlePointer(pushed=0)
        warn_of_unsigned(ref, old, self._site)
        if old.current is None or old.current.digest != ref.digest:
            self._point_to(old.prepared(ref, round(time.time(), 3)))
            self._await_ready(ref)
            self._check_undisturbed()
        pointer = old.switched(ref, round(time.time(), 3))
        unswitched = self._state.adoption(ref.digest, time.monotonic())
        self._point_to(pointer)
        LOGGER.info("the bundle of the site '%s' is now '%s' (%s)", self._site, ref.name, ref.digest[:8])
        adoption = self._await_taken(ref, unswitched)
        self._check_undisturbed()
        if not kept <= self._state.chunks_of(ref.digest):
            raise UserError(f"someone else cleared chunks of '{ref.name}' from the broker meanwhile; push again")
        dropped = self._state.unseen_of(old.refs(), pointer.digests())
        unseen = find_chunks(self._broker, site=self._site, client_id=f"{self._client_id}-check", refs=dropped)
        return Pushed(
            bundle=ref.name,
            digest=ref.digest,
            signed=ref.signature is not None,
            adoption=adoption,
            previous=pointer.previous.digest if pointer.previous else None,
            previous_signed=pointer.previous is not None and pointer.previous.switch is not None,
            cleared=self._clear(self._state.chunks_of_others(pointer.digests()) | unseen),
        )

    def _read_state(self) -> BundlePointer | None:
        """Wait until the broker has sent what it retains; return the pointer."""
        _await_retained(self._session, self._state)
        self._pointer = self._state.pointer
        return self._pointer

    def _check_undisturbed(self) -> None:
        """Check that nobody else has switched the site since this push did.

        Raises:
            UserError: someone has.
        """
        if self._state.pointer != self._pointer:
            raise _overtaken_by(self._state.pointer, self._site)

    def _await_ready(self, ref: BundleRef) -> None:
        """Wait until the fusion nodes have fetched a bundle, or until their time is up."""
        until = time.monotonic() + self._ready_within_s
        while (waiting := self._state.not_ready(ref.digest)) and time.monotonic() < until:
            time.sleep(_POLL_S)
        if waiting:
            LOGGER.warning(
                "%s did not get ready within %g s; switching nevertheless", ", ".join(waiting), self._ready_within_s
            )

    def _await_taken(self, ref: BundleRef, before: Adoption) -> Adoption:
        """Wait until all boards that follow the site run a bundle or refuse it, or until their time is up."""
        started = time.monotonic()
        while True:
            adoption = self._state.adoption(ref.digest, now := time.monotonic())
            if adoption.is_settled(now - started, before) or now - started > self._taken_within_s:
                return adoption
            self._session.check()
            time.sleep(_POLL_S)

    def _point_to(self, pointer: BundlePointer) -> None:
        topic = self._names.bundle()
        self._pointer = pointer
        self._publish([Outgoing(topic, pointer.encode(), qos=1, retain=True, content_type=_CONTENT_TYPE)])
        # Not every broker reports that access rules forbid a message: it comes back to us, or it was not accepted.
        until = time.monotonic() + _POINTER_WITHIN_S
        while self._state.pointer != pointer:
            self._session.check()
            if time.monotonic() > until:
                raise UserError(f"broker {self._broker.address}: it did not accept {topic}; check its access rules")
            time.sleep(_POLL_S)

    def _clear(self, stale: set[str]) -> int:
        self._publish([Outgoing(topic, b"", qos=1, retain=True) for topic in sorted(stale)])
        return len(stale)

    def _publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish messages, a few at a time, until the broker has acknowledged all of them.

        Raises:
            UserError: the connection broke, or the broker does not accept a message.
        """
        in_flight: deque[Sent] = deque()
        for message in messages:
            if len(in_flight) == _IN_FLIGHT:
                self._await(in_flight.popleft())
            sent = self._session.publish(message)
            if sent is None:
                self._session.check()
                raise UserError(
                    f"broker {self._broker.address}: it does not accept {message.topic} "
                    f"({message.packet_bytes():,} bytes), or the connection broke; push again"
                )
            in_flight.append(sent)
        for sent in in_flight:
            self._await(sent)

    def _await(self, sent: Sent) -> None:
        if not sent.wait(_STALL_S):
            self._session.check()
            raise UserError(
                f"broker {self._broker.address}: it does not acknowledge a message, or the connection broke; push again"
            )


def _await_retained(session: Session, state: RetainedState) -> None:
    """Wait until nothing has arrived for a while; for messages that do not end, in bounded time."""
    wait_until_subscribed(session)
    state.newest_at = now = time.monotonic()
    until = now + _READ_WITHIN_S
    while now - state.newest_at <= _QUIET_S and now < until:
        session.check()
        time.sleep(_POLL_S)
        now = time.monotonic()


def _overtaken_by(found: BundlePointer | None, site: str) -> UserError:
    name = (found.next or found.current) if found is not None else None
    return UserError(
        f"someone else pushes {repr(name.name) if name else 'nothing'} to site '{site}' as well; "
        "see which bundle it runs, and push again if need be"
    )


def _check_short_digest(ref: BundleRef, before: BundlePointer | None) -> None:
    # Votes carry the short digest only: those of two bundles could not be told apart.
    others = before.digests() - {ref.digest} if before is not None else set()
    if any(digest[:SHORT_DIGITS] == ref.digest[:SHORT_DIGITS] for digest in others):
        raise UserError(f"'{ref.name}' has the short digest of another bundle of the site; export it again, renamed")


def run(settings: PushSettings, bundle: str | Path | None, *, rollback: bool) -> Pushed:
    """Push a bundle, or go back to the previous one; return what was done.

    Raises:
        UserError: what was asked for is not possible.
    """
    if rollback and bundle is not None:
        raise UserError(f"--rollback returns to the bundle pushed before: do not name one ('{bundle}')")
    if not rollback and bundle is None:
        raise UserError("name a bundle to push, or give --rollback")
    package = pack(open_bundle(bundle), settings.sign) if bundle is not None else None
    pusher = Pusher(
        settings.broker_options(),
        site=settings.site,
        node=settings.node_name(),
        chunk_bytes=settings.chunk_bytes,
        ready_within_s=settings.ready_within,
        taken_within_s=settings.taken_within,
        signing_key=settings.sign,
    )
    return pusher.roll_back() if package is None else pusher.push(package)
