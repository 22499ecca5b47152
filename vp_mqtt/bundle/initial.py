"""The bundle that a node starts with: what its site runs, else what it ran last, else the fallback."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.fetch import POINTER_LIMIT, Fetcher, Interrupted, Pause, Superseded
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received, Subscription
from vp_mqtt.mqtt.session import Session
from vp_mqtt.mqtt.topic_gates import TopicGates
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, MessageError
from vp_mqtt.protocol.topics import Topics

_RETAINED_WITHIN_S = 2.0
_POLL_S = 0.05
_RETRY_S = 20.0

Use = Callable[[Bundle, bool], None]
"""Loads a bundle, from now on to be run; the second argument says that it needs no trial, since it ships with the
package, was named by the user, or has run here before. Raises a UserError if it cannot be used; what ran keeps
running."""


class InitialSearch:
    """Looks for the bundle to start with, at the broker and in the cache."""

    def __init__(
        self,
        broker: BrokerOptions,
        *,
        site: str,
        client_id: str,
        variant: int | None,
        fetcher: Fetcher,
        cache: Cache,
        use: Use,
    ) -> None:
        """Prepare, without connecting.

        Args:
            broker: how to reach the broker.
            site: name of the site.
            client_id: unique at the broker.
            variant: whose model the node needs; None for a fusion node.
            fetcher: fetches what the site's pointer names.
            cache: where it keeps bundles.
            use: loads a bundle.
        """
        self._broker = broker
        self._topic = Topics(site).bundle()
        self._client_id = client_id
        self._variant = variant
        self._fetcher = fetcher
        self._cache = cache
        self._use = use
        self._unusable: set[str] = set()
        self.pointer: BundlePointer | None = None

    def find(self, fallback: str | None, pause: Pause) -> Bundle:
        """Return the bundle to start with, which has been loaded; wait until there is one.

        A bundle that is here whole comes before one that must be fetched: the node is of use at once, and its follower
        fetches the other.

        Args:
            fallback: built-in name or folder of the bundle for a site without one; None to wait for one.
            pause: called while waiting.

        Raises:
            UserError: the broker refuses us, or the fallback cannot be used.
            Interrupted: the node has been told to stop.
        """
        connected_at: float | None = None
        tried: BundlePointer | None = None
        tried_at = 0.0
        gates = TopicGates(lambda: session)
        pointers = Subscription(self._topic, 1, limit=POINTER_LIMIT)
        gates.add(pointers)
        session = Session(
            self._broker,
            client_id=self._client_id,
            subscriptions=[pointers],
            on_message=gates.passing(self._accept),
            max_packet_bytes=MAX_MESSAGE_BYTES,
        )
        with session:
            while True:
                session.check()
                pointer = self.pointer
                if pointer is not None and pointer != tried:
                    tried, tried_at = pointer, time.monotonic()
                    with contextlib.suppress(Superseded):
                        bundle = self._try_here(pointer) or self._fetch_from(pointer, pause)
                        if bundle is not None:
                            return bundle
                if self.pointer != tried:
                    continue
                if connected_at is None and session.connected.is_set():
                    connected_at = time.monotonic()
                if connected_at is not None and (tried or time.monotonic() - connected_at > _RETAINED_WITHIN_S):
                    bundle = self._without_site(fallback)
                    if bundle is not None:
                        return bundle
                    if tried and time.monotonic() - tried_at > _RETRY_S:
                        tried = None
                if pause(_POLL_S):
                    raise Interrupted

    def find_others(self, fallback: str | None) -> list[Bundle]:
        """Return the bundles that are here already of those whose votes may arrive at a fusion node of this site.

        Args:
            fallback: built-in name or folder of the bundle that boards may have started with; None for none.

        Raises:
            UserError: the fallback cannot be used.
        """
        refs = self.pointer.refs() if self.pointer is not None else []
        here = [self._fetcher.try_find(ref) for ref in refs]
        others = [] if fallback is None else [open_bundle(fallback)]
        return others + [bundle for bundle in here if bundle is not None]

    def _accept(self, message: Received) -> None:
        """Accept the site's pointer (in the network's thread)."""
        if not message.payload:
            return
        try:
            self.pointer = BundlePointer.decode(message.payload)
        except MessageError as error:
            LOGGER.warning("the site's bundle pointer is not valid: %s", error)

    def _candidates(self, pointer: BundlePointer) -> list[BundleRef]:
        refs = [ref for ref in (pointer.current, pointer.previous) if ref is not None]
        return [ref for ref in refs if self._fetcher.why_not_followed(ref) is None]

    def _try_here(self, pointer: BundlePointer) -> Bundle | None:
        """Return the first bundle that is here and can be loaded: the current one, what ran last, the previous one."""
        candidates = self._candidates(pointer)
        for ref in candidates:
            if ref == pointer.current and (bundle := self._fetcher.try_find(ref)) and self._can_load(bundle):
                return bundle
        bundle = self._try_recalled()
        if bundle is not None:
            return bundle
        here = (self._fetcher.try_find(ref) for ref in candidates)
        return next((bundle for bundle in here if bundle is not None and self._can_load(bundle)), None)

    def _without_site(self, fallback: str | None) -> Bundle | None:
        """Return what ran last, since the broker may be new or have lost what it retained; else the fallback."""
        bundle = self._try_recalled()
        if bundle is None and fallback is not None:
            bundle = open_bundle(fallback)
            self._use(bundle, True)
        return bundle

    def _try_recalled(self) -> Bundle | None:
        return next((bundle for bundle in self._cache.recall(self._variant) if self._can_load(bundle)), None)

    def _fetch_from(self, pointer: BundlePointer, pause: Pause) -> Bundle | None:
        def pause_while_named(seconds: float) -> bool:
            if self.pointer != pointer:
                raise Superseded
            return pause(seconds)

        self._cache.make_room(pointer)
        for ref in self._candidates(pointer):
            bundle = self._fetcher.try_fetch(ref, pause_while_named)
            if bundle is not None and self._can_load(bundle):
                return bundle
        return None

    def _can_load(self, bundle: Bundle) -> bool:
        """Load a bundle, and return whether that worked; it is not tried again if it did not."""
        digest = bundle.manifest.digest.hex()
        if digest in self._unusable:
            return False
        try:
            self._use(bundle, self._cache.has_run(digest, self._variant))
        except UserError as error:
            self._unusable.add(digest)
            LOGGER.error("the bundle '%s' (%s) cannot be used: %s", bundle.manifest.name, digest[:8], error)
            return False
        return True
