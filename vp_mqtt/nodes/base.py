"""What all nodes share: birth and will, stats, and a clean end."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vp_mqtt import __version__
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.config.settings import CommonSettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER, Refusals
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.nodes.signals import ENDING_SIGNALS
from vp_mqtt.nodes.watchdog import Watchdog, Work
from vp_mqtt.protocol.messages import MessageError, Quantiles, State, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import Topics

GOODBYE_S = 1.0
GRACE_S = 1.7


class Latencies:
    """Latencies of late, in ms; may be used from any thread."""

    def __init__(self, remembered: int = 1000) -> None:
        """Remember the newest `remembered` ones."""
        self._values: deque[float] = deque(maxlen=remembered)

    def add(self, milliseconds: float) -> None:
        """Remember one."""
        self._values.append(milliseconds)

    def quantiles(self) -> Quantiles | None:
        """Return the quantiles of those remembered; None without any."""
        values = list(self._values)
        if not values:
            return None
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        return Quantiles(p50=round(p50, 3), p95=round(p95, 3), p99=round(p99, 3))


def resident_mb() -> float | None:
    """Return this process's resident memory in MB, None where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def temperature_c() -> float | None:
    """Return the temperature of the board's hottest thermal zone, in degrees Celsius; None where none is told."""
    found = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):
            continue
    return round(max(found), 1) if found else None


class Node:
    """A running node: its name, its session, its counters, and how it ends."""

    def __init__(
        self,
        settings: CommonSettings,
        *,
        parts: Sequence[str] = (),
        variant: int | None = None,
        bundle: Bundle | None = None,
        subscriptions: Sequence[tuple[str, int]],
        on_message: Callable[[Received], None],
        on_stop: Callable[[], None] = lambda: None,
        max_packet_bytes: int = 1_000_000,
        is_silent: bool = False,
        is_stuck: Callable[[float], bool] = lambda _: False,
    ) -> None:
        """Prepare, without connecting.

        Args:
            settings: the node's.
            parts: what tells the node from others of its role on one host, for its name.
            variant: the variant's index, for a variant node.
            bundle: the family that the node works with.
            subscriptions: topic filters with their QoS.
            on_message: called with every message but the node's own status, in the network's thread.
            on_stop: called once when the node is to end; wakes the node's work.
            max_packet_bytes: the broker is told not to send larger packets.
            is_silent: the node only listens: no birth, no will, no stats.
            is_stuck: tells whether something beside `work` has been at a standstill for so many seconds.

        Raises:
            UserError: a certificate, key or password file is not usable.
        """
        self.settings = settings
        self._is_silent = is_silent
        self.topics = Topics(settings.site)
        self.name = settings.node_name(*parts)
        self.refusals = Refusals()
        self.counts: Counter[str] = Counter()
        self.latencies = Latencies()
        self.stopping = threading.Event()
        self.work = Work()
        self._is_stuck = is_stuck
        self._on_message = on_message
        self._on_stop = on_stop
        self._is_born = False
        self._has_twin = False
        self._error: UserError | None = None
        self._stop_lock = threading.Lock()
        self._started = time.monotonic()
        self._status = StatusMessage(
            state=State.ONLINE,
            node=self.name,
            role=settings.role,
            version=__version__,
            host=socket.gethostname(),
            client_id=f"vp-{settings.site}-{self.name}",
            instance=secrets.token_hex(4),
            started=round(time.time(), 3),
            variant=variant,
            bundle=bundle.manifest.name if bundle else None,
            digest=bundle.manifest.short_digest.hex() if bundle else None,
        )
        own = [] if is_silent else [(self.topics.status(self.name), 1)]
        self.session = Session(
            settings.broker_options(),
            client_id=self._status.client_id,
            subscriptions=[*subscriptions, *own],
            on_message=self._receive,
            on_end=self._fail,
            will=None if is_silent else self._status_in(State.OFFLINE),
            birth=None if is_silent else self._status_in(State.ONLINE),
            max_packet_bytes=max_packet_bytes,
        )

    def _status_in(self, state: State) -> Outgoing:
        payload = self._status.model_copy(update={"state": state}).encode()
        return Outgoing(self.topics.status(self.name), payload, qos=1, retain=True)

    def set_bundle(self, manifest: Manifest, ready: Sequence[Manifest] | None = None) -> None:
        """Say in the status which family the node works with from now on.

        Args:
            manifest: the family's.
            ready: of a fusion node, the families whose votes it can fuse.
        """
        self._status = self._status.model_copy(
            update={
                "bundle": manifest.name,
                "digest": manifest.short_digest.hex(),
                "ready": None if ready is None else tuple(known.short_digest.hex() for known in ready),
            }
        )
        self.session.set_birth(self._status_in(State.ONLINE))

    def run(self, work: Callable[[], None], counts: Callable[[], Mapping[str, int]] = dict) -> None:
        """Connect, and work until the work is done, a signal comes, or the session ends for good.

        Args:
            work: the node's own loop; it returns soon after `on_stop` was called.
            counts: further counters for the stats.

        Raises:
            UserError: the session ended for a reason that waiting does not mend.
        """
        threading.Thread(target=self._await_signal, name="signals", daemon=True).start()
        threading.Thread(target=self._tell_systemd, name="watchdog", daemon=True).start()
        if not self._is_silent:
            threading.Thread(target=self._report, args=(counts,), name="stats", daemon=True).start()
        LOGGER.info("%s %s starts", self.settings.role, self.name)
        self.session.start()
        try:
            work()
        finally:
            self.stop()
        if self._error is not None:
            raise self._error
        LOGGER.info("%s %s stopped", self.settings.role, self.name)

    def _tell_systemd(self) -> None:
        watchdog = Watchdog()
        while not self.session.connected.wait(0.1):
            if self.stopping.is_set():
                return
        watchdog.tell("READY=1")
        watchdog.watch(self._is_well, self.stopping)
        watchdog.tell("STOPPING=1")

    def _is_well(self, patience: float) -> bool:
        return self.session.is_sound and not self.work.is_stuck(patience) and not self._is_stuck(patience)

    def stop(self) -> None:
        """Say goodbye and end; may be called from any thread, and more than once."""
        with self._stop_lock:
            if self.stopping.is_set():
                return
            self.stopping.set()
            self._on_stop()
            goodbye = None if self._is_silent or self._has_twin else self._status_in(State.STOPPED)
            self.session.stop(goodbye, timeout=GOODBYE_S)

    def _receive(self, message: Received) -> None:
        if message.topic == self.topics.status(self.name) and not self._is_silent:
            self._look_for_a_twin(message.payload)
        else:
            self._on_message(message)

    def _look_for_a_twin(self, payload: bytes) -> None:
        """Notice that a second process runs under our name and has taken our place at the broker.

        Not every broker tells the client that it evicts (MQTT 5.0, reason code 0x8E; Mosquitto 2.0 does not), but the
        retained status does. The process started last stays, so that the two do not evict each other for ever. What
        the status said before our birth is the past of our own name.
        """
        try:
            status = StatusMessage.decode(payload)
        except MessageError:
            return
        own = self._status
        if status.instance == own.instance:
            self._is_born = True
        elif self._is_born and (status.started, status.instance) > (own.started, own.instance):
            self._has_twin = True
            where = f"on {status.host}" if status.host != own.host else "here"
            self._fail(
                UserError(f"'{self.name}' was started a second time, {where}, and took our place; give one a --name")
            )

    def _fail(self, error: UserError) -> None:
        self._error = error
        # Not in the network's thread, which stopping waits for.
        threading.Thread(target=self.stop, name="end", daemon=True).start()

    def _await_signal(self) -> None:
        signal.sigwait(ENDING_SIGNALS)
        threading.Timer(GRACE_S, os._exit, [0]).start()
        self.stop()
        # A second signal, from somebody in a hurry.
        signal.sigwait(ENDING_SIGNALS)
        os._exit(0)

    def _report(self, counts: Callable[[], Mapping[str, int]]) -> None:
        while not self.stopping.wait(self.settings.stats_every):
            stats = StatsMessage(
                node=self.name,
                uptime_s=round(time.monotonic() - self._started, 1),
                counts={
                    "connections": self.session.connections,
                    **self.counts,
                    **counts(),
                    **self.refusals.counts,
                },
                latency_ms=self.latencies.quantiles(),
                rss_mb=resident_mb(),
                temperature_c=temperature_c(),
            )
            self.session.publish(Outgoing(self.topics.stats(self.name), stats.encode()))
