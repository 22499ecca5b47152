"""How a node comes by its bundle: from the box, a folder, or the broker, and then to the next one."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vp_mqtt.bundle.cache import Cache, default_folder
from vp_mqtt.bundle.fetch import Fetcher, FetchError, Interrupted, Pause
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.config.settings import FamilySettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.nodes import signals
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, MessageError
from vp_mqtt.protocol.topics import Topics

AUTO = "auto"
BROKER = "broker"
_RETAINED_WITHIN_S = 2.0
_RETRY_S = (2.0, 60.0)
_POLL_S = 0.05


@dataclass(frozen=True)
class Start:
    """What a node starts with.

    Attributes:
        bundle: the family that it works with at first.
        others: further families that its site may be running, for a fusion node.
        follower: what takes it to the next bundle; None for a node whose bundle is pinned.
    """

    bundle: Bundle
    others: list[Bundle]
    follower: Follower | None


class Follower:
    """Fetches what the site's pointer names, in a thread of its own."""

    def __init__(self, settings: FamilySettings, name: str, variant: int | None) -> None:
        """Prepare, without connecting.

        Args:
            settings: the node's.
            name: the node's.
            variant: whose model the node needs; None for a fusion node.

        Raises:
            UserError: the trusted key is not usable.
        """
        verifier = Verifier(settings.bundle_key)
        self._cache = Cache(settings.bundle_cache or default_folder(), settings.site, verifier)
        self._fetcher = Fetcher(settings, name, self._cache, verifier)
        self._settings = settings
        self._client_id = f"vp-{settings.site}-{name}-bundle"
        self._variant = variant
        self._change = threading.Condition()
        self._newest: BundlePointer | None = None
        self._told: tuple[str, str] | None = None

    def offer(self, payload: bytes) -> None:
        """Take the site's pointer as it came from the broker; may be called from any thread.

        Raises:
            MessageError: it is not valid.
        """
        if not payload:
            return
        pointer = BundlePointer.decode(payload)
        with self._change:
            self._newest = pointer
            self._change.notify_all()

    def start(self) -> Start:
        """Find the bundle to start with, waiting for the broker.

        Raises:
            UserError: the broker will not have us.
        """
        if self._settings.bundle == BROKER:
            LOGGER.info("looking for the site's bundle at the broker %s", self._settings.broker)
        try:
            bundle = self._first()
            others = self._others() if self._variant is None else []
        except Interrupted:
            sys.exit(0)
        current = self._newest.current if self._newest is not None else None
        if self._newest is not None and current is not None and current.digest == bundle.manifest.digest.hex():
            self._cache.remember(self._newest)
        return Start(bundle, others, self)

    def _first(self) -> Bundle:
        connected: float | None = None
        tried: BundlePointer | None = None
        with Session(
            self._settings.broker_options(),
            client_id=self._client_id,
            subscriptions=[(Topics(self._settings.site).bundle(), 1)],
            on_message=self._offered,
            max_packet_bytes=MAX_MESSAGE_BYTES,
        ) as session:
            while True:
                session.check()
                pointer = self._newest
                if pointer is not None and pointer != tried:
                    tried = pointer
                    found = self._from(pointer)
                    if found is not None:
                        return found
                if connected is None and session.connected.is_set():
                    connected = time.monotonic()
                if connected is not None and (tried or time.monotonic() - connected > _RETAINED_WITHIN_S):
                    # The broker may have lost what it retained, or is a new one: what ran last is as good as any.
                    last = self._cache.recall(self._variant)
                    if last is not None:
                        return last
                    if self._settings.bundle == AUTO:
                        return open_bundle(self._settings.fallback)
                if signals.wait(_POLL_S):
                    raise Interrupted

    def _offered(self, message: Received) -> None:
        try:
            self.offer(message.payload)
        except MessageError as error:
            LOGGER.warning("the site's bundle is not told in a valid message: %s", error)

    def _from(self, pointer: BundlePointer) -> Bundle | None:
        for ref in (pointer.current, pointer.previous):
            if ref is not None:
                found = self._try(ref, signals.wait)
                if found is not None:
                    return found
        return None

    def _others(self) -> list[Bundle]:
        others = [open_bundle(self._settings.fallback)] if self._settings.bundle == AUTO else []
        pointer = self._newest
        for ref in pointer.refs() if pointer is not None else []:
            found = self._try(ref, signals.wait)
            if found is not None:
                others.append(found)
        return others

    def _try(self, ref: BundleRef, pause: Pause) -> Bundle | None:
        try:
            return self._fetcher.fetch(ref, self._variant, pause)
        except (FetchError, SignatureError, UserError) as error:
            if self._told != (ref.digest, str(error)):
                self._told = (ref.digest, str(error))
                LOGGER.warning("the bundle '%s' (%s) is not taken: %s", ref.name, ref.digest[:8], error)
        return None

    def follow(self, switch: Callable[[Bundle], None], stopping: threading.Event) -> None:
        """Take the node from bundle to bundle, in the background, until it stops.

        Args:
            switch: called with a bundle that is on disk, verified: by a variant node's follower with the one to run,
                by a fusion node's with every one whose votes may come. It may raise a UserError, and then leaves the
                node as it is.
            stopping: set when the node ends.
        """
        threading.Thread(target=self._follow, args=(switch, stopping), name="bundle", daemon=True).start()

    def _follow(self, switch: Callable[[Bundle], None], stopping: threading.Event) -> None:
        done: BundlePointer | None = None
        retry = _RETRY_S[0]
        while not stopping.is_set():
            with self._change:
                if self._newest is None or self._newest == done:
                    self._change.wait(1.0)
                pointer = self._newest
            if pointer is None or pointer == done:
                continue
            try:
                is_done = self._take(pointer, switch, stopping.wait)
            except Interrupted:
                return
            if is_done:
                done, retry = pointer, _RETRY_S[0]
            else:
                with self._change:
                    if self._newest == pointer:
                        self._change.wait(retry)
                retry = min(2 * retry, _RETRY_S[1])

    def _take(self, pointer: BundlePointer, switch: Callable[[Bundle], None], pause: Pause) -> bool:
        is_done = True
        for ref in pointer.refs():
            is_current = ref == pointer.current
            is_wanted = self._variant is None or ref != pointer.previous
            if not is_wanted and not is_current:
                continue
            bundle = self._try(ref, pause)
            if bundle is None:
                # Without the bundle before, a site goes on; without the others it is not where it is to be.
                is_done &= ref == pointer.previous and not is_current
                continue
            if self._variant is not None and not is_current:
                continue
            try:
                switch(bundle)
            except UserError as error:
                LOGGER.error("the bundle '%s' (%s) cannot be used: %s", ref.name, ref.digest[:8], error)
                return True
            if is_current:
                try:
                    self._cache.remember(pointer)
                except UserError as error:
                    LOGGER.warning("%s", error)
        return is_done


def begin(settings: FamilySettings, name: str, variant: int | None) -> Start:
    """Return what a node starts with: waits for the broker where the bundle is to come from there.

    Args:
        settings: the node's.
        name: the node's.
        variant: whose model the node needs; None for a fusion node.

    Raises:
        UserError: the bundle or the key is not usable, or the broker will not have us.
    """
    if settings.bundle not in {AUTO, BROKER}:
        return Start(open_bundle(settings.bundle), [], None)
    return Follower(settings, name, variant).start()
