"""Class names of the bundles that are pushed to a site: votes carry the numbers of classes only."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.fetch import Fetcher, Interrupted
from vp_mqtt.bundle.signing import Verifier
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.bundle_pointer import SHORT_DIGITS, BundlePointer

Learn = Callable[[str, Sequence[str]], None]
"""Takes the class names of a bundle, by its short digest in hexadecimal."""


class BundleNames:
    """Fetches the manifests of the bundles that a site's pointer names, in a thread of its own."""

    def __init__(self, settings: WebSettings, learn: Learn) -> None:
        """Prepare.

        Args:
            settings: where the site is.
            learn: called with what is found, in the thread.
        """
        self._settings = settings
        self._learn = learn
        self._wanted: BundlePointer | None = None
        self._known: set[str] = set()
        self._change = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bundle names", daemon=True)

    def start(self) -> None:
        """Begin to fetch what is asked for."""
        self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        with self._change:
            self._change.notify()

    def want(self, pointer: bytes) -> None:
        """Ask for the names of the bundles that a pointer names, which is as it arrived; from any thread.

        Raises:
            MessageError: it is not a pointer.
        """
        if not pointer:
            return
        found = BundlePointer.decode(pointer)
        with self._change:
            self._wanted = found
            self._change.notify()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._change:
                self._change.wait_for(lambda: self._wanted is not None or self._stopping.is_set())
                wanted, self._wanted = self._wanted, None
            if wanted is None:
                continue
            try:
                self._fetch(wanted)
            except Interrupted:
                continue
            except (UserError, OSError) as error:
                LOGGER.warning("class names of the site's bundles are not known: %s", error)

    def _fetch(self, pointer: BundlePointer) -> None:
        settings, verifier = self._settings, Verifier(None)
        # A manifest is small, and is asked for again after a restart.
        with tempfile.TemporaryDirectory(prefix="vp-web-") as folder:
            fetcher = Fetcher(
                settings.broker_options(),
                site=settings.site,
                # Several pages may run on one machine.
                client_id=f"vp-{settings.site}-{settings.node_name('names')}-{time.time_ns() % 1_000_000}",
                variant=None,
                cache=Cache(Path(folder), settings.site, verifier),
                verifier=verifier,
            )
            for ref in reversed(pointer.refs()):
                if ref.digest in self._known:
                    continue
                bundle = fetcher.try_fetch(ref, self._pause)
                if bundle is not None:
                    self._known.add(ref.digest)
                    self._learn(ref.digest[:SHORT_DIGITS], bundle.manifest.classes)
        self._known &= pointer.digests()

    def _pause(self, seconds: float) -> bool:
        """Wait; return whether to stop, be it for another pointer."""
        return self._stopping.wait(seconds) or self._wanted is not None
