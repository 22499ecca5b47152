"""How a node gets its bundle, built in, from a folder, or what its site runs, and how it follows its site."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.cache import Cache, default_folder
from vp_mqtt.bundle.fetch import Fetcher, Interrupted, Pause, Superseded
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.initial import InitialSearch, Use
from vp_mqtt.bundle.refusal import refusal
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef

__all__ = ["AUTO", "BROKER", "BundleOptions", "Follower", "InitialBundle", "Interrupted", "Pause", "initial_bundle"]

AUTO = "auto"
BROKER = "broker"
_RETRY_S = (2.0, 60.0)
_CHECK_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleOptions:
    """Which bundle a node works with, and what it needs to get it.

    Attributes:
        bundle: a bundle's folder, the name of a built-in one, `BROKER` (what the site runs) or `AUTO` (what the site
            runs, or `fallback` if it runs none).
        fallback: the bundle for a site that runs none: a folder, or the name of a built-in one.
        site: name of the site.
        node: name of the node.
        variant: whose model the node needs; None for a fusion node.
        key_file: public key (PEM) that bundles from the broker must be signed by; None to accept all.
        cache_folder: where bundles from the broker are kept; None for the system's cache.
    """

    bundle: str = AUTO
    fallback: str
    site: str
    node: str
    variant: int | None = None
    key_file: Path | None = None
    cache_folder: Path | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether the node works with one bundle for ever, whatever the site runs."""
        return self.bundle not in {AUTO, BROKER}

    @property
    def client_id(self) -> str:
        """The id of the connections that bundles are fetched over."""
        return f"vp-{self.site}-{self.node}-bundle"

    def cache(self, verifier: Verifier) -> Cache:
        """Return the cache of the site's bundles."""
        return Cache(self.cache_folder or default_folder(), self.site, verifier)


@dataclass(frozen=True, slots=True)
class InitialBundle:
    """What a node starts with.

    Attributes:
        bundle: the bundle that it works with at first.
        others: of a fusion node, further bundles that the boards of its site may be running.
        follower: switches the node to the next bundle; None for a node whose bundle is pinned.
    """

    bundle: Bundle
    others: list[Bundle]
    follower: Follower | None


def _ignore(_: str | None) -> None:
    """Report to nobody."""


class Follower:
    """Fetches the bundles that a site's pointer names, in a thread of its own.

    Attributes:
        refused: how often a pointer named a bundle that was not used.
    """

    def __init__(self, fetcher: Fetcher, cache: Cache, variant: int | None) -> None:
        """Prepare, without connecting.

        Args:
            fetcher: fetches bundles.
            cache: where it keeps them.
            variant: whose model the node needs; None for a fusion node.
        """
        self._fetcher = fetcher
        self._cache = cache
        self._variant = variant
        self._change = threading.Condition()
        self._newest: BundlePointer | None = None
        self._report_to: Callable[[str | None], None] = _ignore
        self._problem: str | None = None
        self.refused = 0

    def offer(self, payload: bytes) -> None:
        """Accept the site's pointer as the broker sent it; may be called from any thread.

        Raises:
            MessageError: it is not valid.
        """
        if not payload:
            return
        pointer = BundlePointer.decode(payload)
        with self._change:
            self._newest = pointer
            self._change.notify_all()

    def follow(
        self,
        switch: Callable[[Bundle], None],
        stopping: threading.Event,
        report: Callable[[str | None], None] = _ignore,
    ) -> None:
        """Switch the node from bundle to bundle, in the background, until it stops.

        Args:
            switch: called with a verified bundle on disk: by a variant node's follower with the one to run, by a
                fusion node's with every one whose votes may arrive. If it raises, the node continues with the bundle
                before.
            stopping: set when the node stops.
            report: called with what keeps the node from running what its site runs; None if nothing does.
        """
        self._report_to = report
        self._fetcher.on_progress = self._report
        threading.Thread(target=self._run, args=(switch, stopping), name="bundle", daemon=True).start()

    def _run(self, switch: Callable[[Bundle], None], stopping: threading.Event) -> None:
        done: BundlePointer | None = None
        retry_s = _RETRY_S[0]
        while not stopping.is_set():
            pointer = self._await_other(done, _CHECK_S)
            if pointer is None or pointer == done:
                continue
            try:
                is_done = self.apply(pointer, switch, stopping.wait)
            except Interrupted:
                return
            except Superseded:
                continue
            except Exception as error:  # noqa: BLE001 (whatever this bundle brought about, the next one is to be taken)
                LOGGER.error("following the site's bundle failed", exc_info=error)
                self.refused += 1
                self._report(f"following the site's bundle failed ({type(error).__name__}); see the log")
                is_done = False
            if is_done:
                done, retry_s = pointer, _RETRY_S[0]
            else:
                self._await_other(pointer, retry_s)
                retry_s = min(2 * retry_s, _RETRY_S[1])

    def _await_other(self, known: BundlePointer | None, timeout_s: float) -> BundlePointer | None:
        """Wait for another pointer than the known one, and return the newest."""
        with self._change:
            self._change.wait_for(lambda: self._newest != known, timeout_s)
            return self._newest

    def apply(self, pointer: BundlePointer, switch: Callable[[Bundle], None], pause: Pause) -> bool:
        """Fetch what a pointer names, and switch to what the node is to use.

        A variant node fetches the next bundle and switches to the current one; a fusion node switches to all three.

        Args:
            pointer: the site's.
            switch: see `follow`.
            pause: called while waiting.

        Returns:
            Whether there is no need to try again.

        Raises:
            Interrupted: the node has been told to stop.
        """

        def pause_while_named(seconds: float) -> bool:
            if self._is_superseded(pointer):
                raise Superseded
            return pause(seconds)

        is_done = True
        problem: str | None = None
        self._cache.make_room(pointer)
        for ref in pointer.refs():
            is_current = ref == pointer.current
            is_previous = ref == pointer.previous and not is_current
            if is_previous and self._variant is not None:
                continue
            if is_current and (reason := self._fetcher.why_not_followed(ref)) is not None:
                problem = refusal(ref, reason)
                continue
            bundle = self._fetcher.try_fetch(ref, pause_while_named)
            if bundle is None:
                # A site can do without the previous bundle.
                is_done = is_done and is_previous
                problem = problem if is_previous else f"'{ref.name}' ({ref.digest[:8]}) is not accepted; see the log"
            elif is_current or self._variant is None:
                reason = self._switch(ref, bundle, switch)
                problem = reason or problem
                if is_current and reason is None:
                    self.remember(pointer)
        self.refused += problem is not None
        self._report(f"the site's bundle {problem}" if problem else None)
        return is_done

    def remember(self, pointer: BundlePointer) -> None:
        """Write down that a pointer's current bundle runs."""
        try:
            if pointer.current is not None:
                self._fetcher.note_newest(pointer.current)
            self._cache.remember(pointer, self._variant)
        except (SignatureError, UserError) as error:
            LOGGER.warning("%s", error)

    def note_hang(self, digest: str) -> None:
        """Write down that the model of a bundle hangs; from any thread."""
        try:
            self._cache.note_hang(digest, self._variant)
        except (OSError, UserError) as error:
            LOGGER.warning("%s", error)

    def _report(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._report_to(problem)

    def _is_superseded(self, pointer: BundlePointer) -> bool:
        newest = self._newest
        return newest is not None and newest.digests() != pointer.digests()

    @staticmethod
    def _switch(ref: BundleRef, bundle: Bundle, switch: Callable[[Bundle], None]) -> str | None:
        """Switch, and return what is wrong with the bundle, if anything is."""
        try:
            switch(bundle)
        except UserError as error:
            LOGGER.error("the bundle '%s' (%s) cannot be used: %s", ref.name, ref.digest[:8], error)
            return f"'{ref.name}' ({ref.digest[:8]}) cannot be used: {error}"
        return None


def initial_bundle(options: BundleOptions, broker: BrokerOptions, use: Use, pause: Pause) -> InitialBundle:
    """Return what a node starts with; wait for the broker where the bundle is what the site runs.

    Args:
        options: which bundle.
        broker: how to reach the broker.
        use: loads a bundle.
        pause: called while waiting.

    Raises:
        UserError: the bundle or the key cannot be used, or the broker refuses us.
        Interrupted: the node has been told to stop.
    """
    if options.is_pinned:
        bundle = open_bundle(options.bundle)
        use(bundle, True)
        return InitialBundle(bundle, [], None)
    verifier = Verifier(options.key_file)
    cache = options.cache(verifier)
    site, client_id, variant = options.site, options.client_id, options.variant
    # With a name of its own at the broker: with the search's, each would end the other's connection.
    fetch_id = f"{client_id}-fetch"
    fetcher = Fetcher(broker, site=site, client_id=fetch_id, variant=variant, cache=cache, verifier=verifier)
    search = InitialSearch(
        broker, site=site, client_id=client_id, variant=variant, fetcher=fetcher, cache=cache, use=use
    )
    if options.bundle == BROKER:
        LOGGER.info("looking for the site's bundle at the broker %s", broker.address)
    fallback = options.fallback if options.bundle == AUTO else None
    bundle = search.find(fallback, pause)
    fetcher.note(bundle.manifest.digest.hex())
    others = search.find_others(fallback) if variant is None else []
    follower = Follower(fetcher, cache, variant)
    pointer = search.pointer
    if (
        pointer is not None
        and pointer.current is not None
        and pointer.current.digest == bundle.manifest.digest.hex()
        and fetcher.why_not_followed(pointer.current) is None
        and fetcher.try_find(pointer.current) is not None
    ):
        follower.remember(pointer)
    return InitialBundle(bundle, others, follower)
