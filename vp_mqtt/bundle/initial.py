"""The bundle that a node starts with: what its site runs, else what it ran last, else the fallback."""

from __future__ import annotations

import time

from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.fetch import Fetcher, Interrupted, Pause
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol.bundle_pointer import BundlePointer
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, MessageError
from vp_mqtt.protocol.topics import Topics

_RETAINED_WITHIN_S = 2.0
_POLL_S = 0.05


class InitialSearch:
    """Looks for the bundle to start with, at the broker and in the cache."""

    def __init__(
        self, broker: BrokerOptions, *, site: str, client_id: str, variant: int | None, fetcher: Fetcher, cache: Cache
    ) -> None:
        """Prepare, without connecting.

        Args:
            broker: how to reach the broker.
            site: name of the site.
            client_id: unique at the broker.
            variant: whose model the node needs; None for a fusion node.
            fetcher: fetches what the site's pointer names.
            cache: where it keeps bundles.
        """
        self._broker = broker
        self._topic = Topics(site).bundle()
        self._client_id = client_id
        self._variant = variant
        self._fetcher = fetcher
        self._cache = cache
        self.pointer: BundlePointer | None = None

    def find(self, fallback: str | None, pause: Pause) -> Bundle:
        """Return the bundle to start with; wait until there is one.

        Args:
            fallback: built-in name or folder of the bundle for a site without one; None to wait for one.
            pause: called while waiting.

        Raises:
            UserError: the broker refuses us, or the fallback cannot be used.
            Interrupted: the node has been told to stop.
        """
        connected_at: float | None = None
        tried: BundlePointer | None = None
        with Session(
            self._broker,
            client_id=self._client_id,
            subscriptions=[(self._topic, 1)],
            on_message=self._accept,
            max_packet_bytes=MAX_MESSAGE_BYTES,
        ) as session:
            while True:
                session.check()
                pointer = self.pointer
                if pointer is not None and pointer != tried:
                    tried = pointer
                    bundle = self._fetch_from(pointer, pause)
                    if bundle is not None:
                        return bundle
                if connected_at is None and session.connected.is_set():
                    connected_at = time.monotonic()
                if connected_at is not None and (tried or time.monotonic() - connected_at > _RETAINED_WITHIN_S):
                    # The broker is new or has lost what it retained: what ran last is as good as any.
                    bundle = self._cache.recall(self._variant)
                    if bundle is not None:
                        return bundle
                    if fallback is not None:
                        return open_bundle(fallback)
                if pause(_POLL_S):
                    raise Interrupted

    def find_others(self, fallback: str | None, pause: Pause) -> list[Bundle]:
        """Return every bundle whose votes may arrive at a fusion node of this site.

        Args:
            fallback: built-in name or folder of the bundle that boards may have started with; None for none.
            pause: called while waiting.

        Raises:
            UserError: the fallback cannot be used.
            Interrupted: the node has been told to stop.
        """
        refs = self.pointer.refs() if self.pointer is not None else []
        fetched = [self._fetcher.try_fetch(ref, pause) for ref in refs]
        others = [] if fallback is None else [open_bundle(fallback)]
        return others + [bundle for bundle in fetched if bundle is not None]

    def _accept(self, message: Received) -> None:
        """Accept the site's pointer (in the network's thread)."""
        if not message.payload:
            return
        try:
            self.pointer = BundlePointer.decode(message.payload)
        except MessageError as error:
            LOGGER.warning("the site's bundle pointer is not valid: %s", error)

    def _fetch_from(self, pointer: BundlePointer, pause: Pause) -> Bundle | None:
        for ref in (pointer.current, pointer.previous):
            bundle = self._fetcher.try_fetch(ref, pause) if ref is not None else None
            if bundle is not None:
                return bundle
        return None
