"""What all nodes share: session, status, stats, watchdog, and a clean end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Outgoing, Received, Subscription
from vp_mqtt.mqtt.session import Session
from vp_mqtt.mqtt.topic_gates import TopicGates
from vp_mqtt.nodes import signals
from vp_mqtt.nodes.metrics import serve
from vp_mqtt.nodes.stats import Stats
from vp_mqtt.nodes.status import NodeStatus
from vp_mqtt.nodes.watchdog import Watchdog, Work
from vp_mqtt.protocol.messages import Role, State, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import Topics

_GOODBYE_S = 1.0
# A node's own status changes when it starts, ends, connects, or has another bundle or problem.
_STATUS_LIMIT = Limit(burst=50, per_second=2.0)
# People change the site's settings, one at a time.
SETTINGS_LIMIT = Limit(burst=20, per_second=1.0)
"""Of the site's retained settings that a node reads."""


class Node:
    """The part of a node that is the same for every role: build it, `start`, `run`, `stop`.

    Attributes:
        name: the node's name.
        started: when it started, as its status says, in seconds since 1970.
        topics: writes the site's topics.
        stopping: set when the node is to end.
        work: times the node's work, for the watchdog.
        counts: the node's counters, for the stats.
        latencies: of the node's work, for the stats.
        refusals: what the node refused, for the stats and the log.
        stats: all that the stats messages tell.
        gates: bound what is read of each topic that is subscribed to with a limit.
    """

    def __init__(
        self,
        *,
        site: str,
        name: str,
        role: Role,
        variant: int | None = None,
        camera: str | None = None,
        stats_every_s: float,
        subscriptions: Sequence[Subscription],
        on_message: Callable[[Received], None],
        on_pause: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        is_stuck: Callable[[float], bool] = lambda _: False,
        more_counts: Callable[[], Mapping[str, int]] = dict,
        max_packet_bytes: int,
    ) -> None:
        """Prepare, without connecting.

        Args:
            site: the site's name.
            name: the node's name.
            role: what the node does.
            variant: the variant's index, for a variant node.
            camera: the camera's name, for a camera node.
            stats_every_s: seconds between two stats messages.
            subscriptions: topic filters, each with its limit, or without one where the node bounds it by source.
            on_message: called with every message but the node's own status, in the network's thread.
            on_pause: called after the messages that arrived at the same time, in the network's thread.
            on_stop: called once when the node is to end; wakes the node's work.
            is_stuck: returns whether something beside `work` has been hanging for so many seconds.
            more_counts: returns further counters for the stats.
            max_packet_bytes: the broker is asked not to send larger packets.
        """
        self.name, self.topics = name, Topics(site)
        self.stopping, self.work, self._stop_lock = threading.Event(), Work(), threading.Lock()
        self._site, self._role, self._stats_every_s, self._subscriptions = site, role, stats_every_s, [*subscriptions]
        self._on_message, self._on_pause, self._on_stop = on_message, on_pause, on_stop
        self._is_stuck, self._more_counts, self._max_packet_bytes = is_stuck, more_counts, max_packet_bytes
        self._status = NodeStatus(
            site=site, name=name, role=role, variant=variant, camera=camera, stats_every_s=stats_every_s
        )
        self.started, self.stats = self._status.current.started, Stats()
        self.counts, self.latencies, self.refusals = self.stats.counts, self.stats.latencies, self.stats.refusals
        self._session: Session | None = None
        self._stop_metrics: Callable[[], None] = lambda: None
        self.gates = TopicGates(lambda: self.session)
        self._own_status = Subscription(self._status.topic, 1, limit=_STATUS_LIMIT)
        self.gates.add(*subscriptions, self._own_status)
        self._was_replaced = self._is_status_wrong = False
        self._error: UserError | None = None

    @property
    def session(self) -> Session:
        """The node's session; a RuntimeError before the start."""
        if self._session is None:
            raise RuntimeError("the node was not started")
        return self._session

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._session is not None and self._session.connected.is_set()

    def publish(self, message: Outgoing) -> Sent | None:
        """Publish a message; None if there is no connection, or the broker does not accept a packet of this size."""
        return None if self._session is None else self._session.publish(message)

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True, limit: Limit | None) -> None:
        """Subscribe to further topic filters, see `Subscription`; without a limit, the caller bounds what comes."""
        new = [Subscription(topic, qos, retained, limit) for topic in topics]
        self.gates.add(*new)
        if self._session is None:
            self._subscriptions += new
        else:
            self._session.subscribe(topics, qos, retained=retained)

    def publish_stats(self) -> None:
        """Publish the node's stats now, too; from any thread."""
        self.publish(Outgoing(self.topics.stats(self.name), self._now()[1].encode()))

    def set_bundle(self, manifest: Manifest, ready: Sequence[Manifest] | None = None, *, follows: bool) -> None:
        """Name the bundle that the node works with in its status, see `NodeStatus.set_bundle`."""
        self.change_status(lambda status: status.set_bundle(manifest, ready, follows=follows))

    def set_problem(self, kind: str, problem: str | None) -> None:
        """Say in the status what keeps the node from its work, see `NodeStatus.set_problem`; from any thread."""
        self.change_status(lambda status: status.set_problem(kind, problem))

    def change_status(self, change: Callable[[NodeStatus], None]) -> None:
        """Change the status, and publish it; from any thread."""
        with self._stop_lock:
            change(self._status)
            if self._session is not None and not self.stopping.is_set():
                self._session.set_birth(self._status.message(State.ONLINE))

    def start(self, broker: BrokerOptions, metrics: ListenAddress | None = None) -> None:
        """Connect in the background, serve the node's metrics, if they are wanted, and from now on end at a signal.

        Raises:
            UserError: a certificate or key file is not usable, or metrics cannot be served there.
        """
        self._stop_metrics = serve(metrics, self._site, self._now)
        self._session = Session(
            broker,
            client_id=self._status.client_id,
            subscriptions=[*self._subscriptions, self._own_status],
            on_message=self._receive,
            on_pause=self._on_pause,
            on_refused=self.refusals.add,
            on_end=self.fail,
            will=self._status.message(State.OFFLINE),
            birth=self._status.message(State.ONLINE),
            max_packet_bytes=self._max_packet_bytes,
        )
        signals.handle(self.stop)
        watched = (self._session, self._is_healthy, self.stopping)
        threading.Thread(target=_notify_systemd, args=watched, name="watchdog", daemon=True).start()
        told = (self._publish_stats, self._stats_every_s, self.stopping)
        threading.Thread(target=_repeat, args=told, name="stats", daemon=True).start()
        LOGGER.info("%s %s starts", self._role, self.name)
        self._session.start()

    def run(self, work: Callable[[], None]) -> None:
        """Work until the work is done, the node is stopped, or the session fails permanently.

        Args:
            work: the node's own loop; it returns soon after `on_stop` was called.

        Raises:
            UserError: the session ended with a permanent failure.
        """
        try:
            work()
        finally:
            self.stop()
        if self._error is not None:
            raise self._error
        LOGGER.info("%s %s stopped", self._role, self.name)

    def stop(self) -> None:
        """Publish the goodbye and end; may be called from any thread, and more than once."""
        with self._stop_lock:
            if self.stopping.is_set():
                return
            self.stopping.set()
            self._on_stop()
            goodbye = None if self._was_replaced else self._status.message(State.STOPPED)
            if self._session is not None:
                self._session.stop(goodbye, timeout=_GOODBYE_S)
            self._stop_metrics()

    def _receive(self, message: Received) -> None:
        is_own = message.topic == self._status.topic
        if not self.gates.may_pass(message.topic, message.at):
            self.counts["flooded"] += 1
            self._is_status_wrong |= is_own
            return
        if not is_own:
            self._on_message(message)
            return
        try:
            self._is_status_wrong |= not self._status.check(message.payload, self.session.connections, time.monotonic())
        except UserError as error:
            self._was_replaced = True
            self.fail(error)

    def fail(self, error: UserError) -> None:
        """End the node with an error, which `run` raises; from any thread."""
        self._error = error
        threading.Thread(target=self.stop, name="end", daemon=True).start()  # the network's thread is waited for

    def _is_healthy(self, patience: float) -> bool:
        return not (self.session.is_stuck(patience) or self.work.is_stuck(patience) or self._is_stuck(patience))

    def _now(self) -> tuple[StatusMessage, StatsMessage]:
        connections = 0 if self._session is None else self._session.connections
        return self._status.current, self.stats.message(self.name, connections=connections, more=self._more_counts())

    def _publish_stats(self) -> None:
        self.publish_stats()
        if self._is_status_wrong:  # Whoever wrote it: what the broker keeps for our name is to be true.
            self._is_status_wrong = False
            self.change_status(lambda _: None)


def _repeat(publish_stats: Callable[[], None], every_s: float, stopping: threading.Event) -> None:
    """Publish stats at an interval, in s: a node that sends none counts as silent, so no failure ends this."""
    has_failed = False
    while not stopping.wait(every_s):
        try:
            publish_stats()
        except Exception as error:  # noqa: BLE001 (whatever one of the values brought about, the next ones are due)
            if not has_failed:
                LOGGER.error("publishing stats failed (further failures are not logged)", exc_info=error)
            has_failed = True


def _notify_systemd(session: Session, is_healthy: Callable[[float], bool], stopping: threading.Event) -> None:
    with contextlib.suppress(UserError):  # `Node.run` raises it
        session.wait_until_connected()
    if session.connections == 0:
        return
    watchdog = Watchdog()
    watchdog.notify("READY=1")
    watchdog.watch(is_healthy, stopping)
    watchdog.notify("STOPPING=1")
