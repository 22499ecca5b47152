"""Finds a free variant for a node that chooses it (`--variant auto`), and watches whether it stays the node's."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vp_mqtt.bundle.cache import default_folder
from vp_mqtt.bundle.fetch import POINTER_LIMIT, Interrupted, Pause
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.follow import Follower
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.bundle.records import ClaimedVariant, read_record
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import write_to_cache
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.bundles import find_initial_bundle
from vp_mqtt.nodes.claim_watch import ClaimWatch
from vp_mqtt.nodes.status import NodeStatus
from vp_mqtt.protocol.bundle_pointer import BundlePointer
from vp_mqtt.protocol.claims import Claim, Claimant

_POLL_S = 0.2
_ACCOUNT_OF_ONE = re.compile(r"variant-[0-9]+")


def check_account(settings: VariantSettings) -> None:
    """Check that the node may run any variant.

    Raises:
        UserError: its account at the broker is one that `vp site provision` made for a single variant.
    """
    if settings.username is not None and _ACCOUNT_OF_ONE.fullmatch(settings.username):
        raise UserError(
            f"--variant auto: the account '{settings.username}' may vote as this variant only, as `vp site provision` "
            "wrote it: leave --variant out, or use an account of your own with the rights that docs/deploy.md lists"
        )


class Claiming:
    """What a node claims, told to the site in its status."""

    def __init__(self, node: Node, settings: VariantSettings) -> None:
        """Prepare; subscribes, once the node is connected, to the statuses and stats of the site's nodes.

        Args:
            node: whose status names the claim.
            settings: of the node.
        """
        self._node = node
        self._settings = settings
        self._file = (settings.bundle_cache or default_folder()) / settings.site / f"claimed-{node.name}.json"
        self._lock = threading.Lock()
        self._claimant = Claimant(node.name, node.started, time.monotonic())
        self._connections = 0
        self._order: tuple[int, ...] = ()
        self._follower: Follower | None = None
        self._current: str | None = None
        self._family = b""
        self._must_reconsider = False
        self._told: tuple[Claim | None, bool] = (None, False)
        self._watch = ClaimWatch(node, self._claimant, self._lock)

    def set_family(self, manifest: Manifest) -> None:
        """Choose at first among the variants of a family: the former one of this machine first, then the strongest."""
        former = read_record(self._file, ClaimedVariant).variant
        ranked = manifest.ranked()
        self._family = manifest.digest
        self._order = tuple(sorted(ranked, key=lambda variant: variant != former))

    def receive(self, message: Received) -> bool:
        """Note a status or stats of another node, and return whether it was one (in the network's thread)."""
        return self._watch.receive(message)

    def start(self, begin: Callable[[int, Pause, threading.Event], None], end: Callable[[], None]) -> None:
        """Run a variant that no other board runs, in a thread of its own, until the node stops or fails.

        Args:
            begin: loads a variant, and follows the site's bundles until the event is set.
            end: has the node run none.
        """
        threading.Thread(target=self._run, args=(begin, end), name="claim", daemon=True).start()

    def _run(self, begin: Callable[[int, Pause, threading.Event], None], end: Callable[[], None]) -> None:
        pause = self._node.stopping.wait
        try:
            self._find_family(pause)
            while True:
                variant = self.await_claim(pause)
                ended = threading.Event()
                try:
                    begin(variant, pause, ended)
                    self._node.change_status(partial(NodeStatus.set_variant, variant=variant))
                    self.await_loss(variant, pause)
                finally:
                    ended.set()
                end()
                self._node.change_status(_run_nothing)
        except Interrupted:
            return
        except UserError as error:
            self._node.fail(error)

    def _find_family(self, pause: Pause) -> None:
        """Find the family to choose among, and follow the site to others.

        Raises:
            UserError: the bundle cannot be used, or the broker refuses us.
            Interrupted: the node has been told to stop.
        """
        # The node fetches its model at the same time, over a connection of that one's name.
        start = find_initial_bundle(self._settings, f"{self._node.name}-family", None, lambda *_: None, pause)
        self.set_family(start.bundle.manifest)
        self._follower = start.follower
        if self._follower is not None:
            self._follower.follow(self._note_bundle, self._node.stopping)
            self._node.subscribe([self._node.topics.bundle()], qos=1, limit=POINTER_LIMIT)

    def offer(self, payload: bytes) -> None:
        """Accept the site's pointer as the broker sent it (in the network's thread).

        Raises:
            MessageError: it is not valid.
        """
        if self._follower is not None and payload:
            current = BundlePointer.decode(payload).current
            self._current = None if current is None else current.digest
            self._follower.offer(payload)

    def _note_bundle(self, bundle: Bundle) -> None:
        """Choose anew if this is another family, which the site runs now (in the follower's thread)."""
        manifest = bundle.manifest
        with self._lock:
            if manifest.digest.hex() != self._current or manifest.digest == self._family:
                return
            self._family = manifest.digest
            # What the node had before it started says nothing about this family.
            self._order = manifest.ranked()
            self._must_reconsider = True
            self._reconsider()

    def _reconsider(self) -> None:
        """Choose anew, if that is due and others can be heard."""
        if self._must_reconsider and not self._watch.is_deaf:
            self._must_reconsider = False
            self._claimant.reconsider(self._order, time.monotonic())

    def await_claim(self, pause: Pause) -> int:
        """Wait until a variant is the node's, and return it; it is remembered for the next start.

        Raises:
            Interrupted: the node has been told to stop.
        """
        while True:
            claim = self._decide()
            if claim is not None and claim.is_held:
                self._remember(claim.variant)
                return claim.variant
            if pause(_POLL_S):
                raise Interrupted

    def await_loss(self, variant: int, pause: Pause) -> None:
        """Wait until the variant is the node's no more.

        Raises:
            Interrupted: the node has been told to stop.
        """
        family = self._family
        while self._decide() == Claim(variant, is_held=True):
            if pause(_POLL_S):
                raise Interrupted
        if self._family == family:
            LOGGER.warning("variant %d: another board has it, too, and comes first; looking for another one", variant)
        else:
            LOGGER.info("variant %d: the site runs another family; looking for a better one of its variants", variant)

    def _decide(self) -> Claim | None:
        """Decide what to claim, and tell the site if that is new; while others cannot be heard, nothing changes."""
        now = time.monotonic()
        with self._lock:
            if not self._node.is_connected or self._watch.is_deaf:
                return self._claimant.claim
            if self._node.session.connections != self._connections:
                self._connections = self._node.session.connections
                self._claimant.note_connected(now)
            self._reconsider()
            claim = self._claimant.decide(self._order, now)
            told = claim, claim is None and self._claimant.is_crowded_out(self._order, now)
        if told != self._told:
            self._told = told
            self._node.change_status(lambda status: status.set_claim(claim, is_spare=told[1]))
            self._log(*told)
        return claim

    def _log(self, claim: Claim | None, is_spare: bool) -> None:  # noqa: FBT001 (of one value)
        if is_spare:
            LOGGER.info(
                "all %d variants run on other boards: waiting as a spare until one of them is free", len(self._order)
            )
        elif claim is not None and claim.is_held:
            LOGGER.info("variant %d is this board's", claim.variant)

    def _remember(self, variant: int) -> None:
        try:
            write_to_cache(self._file, ClaimedVariant(variant=variant).encode())
        except UserError as error:
            LOGGER.warning("%s", error)


def _run_nothing(status: NodeStatus) -> None:
    status.set_variant(None)
    # What the variant's follower has said last.
    status.set_problem("bundle", None)


def remembered(settings: VariantSettings, node: str) -> int | None:
    """Return the variant that a node of this name had on this machine; None if it never had any."""
    folder: Path = (settings.bundle_cache or default_folder()) / settings.site
    return read_record(folder / f"claimed-{node}.json", ClaimedVariant).variant
