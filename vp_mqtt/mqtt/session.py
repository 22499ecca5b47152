"""A session with the broker: connections, one after the other, that look to the rest of the program like a single one.

Every connection is a new client, so that nothing queued for a broker that went away is sent to the one that comes back:
a node's messages are about now.

    with Session(options, client_id="me", subscriptions=[("a/#", 0)], on_message=print) as session:
        session.wait_until_connected()
        session.publish(Outgoing("b", b"hello"))
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Self

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.connection import MAX_REMAINING_LENGTH, Callbacks, Connection
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.diagnosis import diagnose
from vp_mqtt.mqtt.failure import Failure
from vp_mqtt.mqtt.message import AnySubscription, Outgoing, Received, Subscription
from vp_mqtt.mqtt.retained_finder import RetainedFinder
from vp_mqtt.mqtt.retries import Retries, backoff
from vp_mqtt.mqtt.tls import client_context

_ANSWERED_WITHIN_S = 10.0
_POLL_S = 0.02


def _ignore(_: object) -> None:
    """Accept anything and do nothing."""


def _ignore_refusal(_topic: str, _reason: str) -> None:
    """Accept any refusal and do nothing."""


class Session:
    """A connection to the broker, with a will and a birth message, that is made again whenever it breaks.

    Attributes:
        connected: set while there is a connection.
        connections: made so far.
        max_publish_bytes: largest packet that the broker accepts, as it said when it was last connected.
        failure: the permanent failure that ended the session, if one has.
    """

    def __init__(
        self,
        options: BrokerOptions,
        *,
        client_id: str,
        subscriptions: Sequence[AnySubscription] = (),
        on_message: Callable[[Received], None] = _ignore,
        on_pause: Callable[[], None] = lambda: None,
        on_refused: Callable[[str, str], None] = _ignore_refusal,
        on_end: Callable[[UserError], None] = _ignore,
        will: Outgoing | None = None,
        birth: Outgoing | None = None,
        max_packet_bytes: int = 1_000_000,
        finds_statuses: bool = False,
    ) -> None:
        """Prepare, without connecting.

        Args:
            options: how to reach the broker.
            client_id: unique at the broker.
            subscriptions: topic filters, subscribed to with every connection.
            on_message: called with every message, in the network's thread, as the others: they must return at once.
            on_pause: called after the messages that arrived at the same time.
            on_refused: called with the topic of a message that is not handed on, and the reason.
            on_end: called once, in a thread of the session, if it ends with a permanent failure.
            will: published by the broker when the connection breaks.
            birth: published after every connection's subscriptions.
            max_packet_bytes: the broker is asked not to send larger packets.
            finds_statuses: whether the statuses of all nodes are wanted: see `RetainedFinder`.
        """
        on_message = RetainedFinder(lambda: self).passing(on_message) if finds_statuses else on_message
        self._options, self._on_end, self._birth = options, on_end, birth
        self._subscriptions = {one[0]: Subscription(*one) for one in subscriptions}
        self._retries = Retries(options)
        self._tls: ssl.SSLContext | None = None
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._supervise, name="session", daemon=True)
        self._subscribing, self._birth_lock = threading.Lock(), threading.Lock()
        self._stopping, self._settled, self.connected = threading.Event(), threading.Event(), threading.Event()
        self._new_connection = partial(
            Connection,
            client_id=client_id,
            will=will,
            max_packet_bytes=max_packet_bytes,
            needs_shared=any(topic.startswith("$share/") for topic in self._subscriptions),
            callbacks=Callbacks(
                on_message=on_message,
                on_pause=on_pause,
                on_refused=on_refused,
                on_open=self._opened,
                on_lasting=self._retries.note_lasting,
                on_close=self.connected.clear,
            ),
        )
        self.connections, self.max_publish_bytes = 0, MAX_REMAINING_LENGTH
        self.failure: UserError | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_stuck(self, patience: float) -> bool:
        """Return whether a thread that keeps the connection, or makes it again, is dead or has hung for so many s."""
        return not self._thread.is_alive() or ((now := self._current()) is not None and now.is_stuck(patience))

    def start(self) -> None:
        """Connect, and stay connected, in the background.

        Raises:
            UserError: a certificate or key file is not usable.
        """
        if self._options.uses_tls:
            self._tls = client_context(self._options)
        self._thread.start()

    def stop(self, last: Outgoing | None = None, timeout: float = 1.0) -> None:
        """Publish a last message, disconnect cleanly, so that no will is published, and end; within `timeout`, in s."""
        until = time.monotonic() + timeout
        with self._birth_lock:
            # Also of a connection that is being made just now.
            self._birth, sent = last, None if last is None else self.publish(last)
        if sent is not None:
            sent.wait(timeout)
        self._stopping.set()
        self._settled.set()
        if self._connection is not None:
            self._connection.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(max(0.05, until - time.monotonic()))

    def check(self) -> None:
        """Raise the permanent failure that ended the session, if one has.

        Raises:
            UserError: the session has ended.
        """
        if self.failure is not None:
            raise self.failure

    def wait_until_connected(self, timeout: float | None = None) -> bool:
        """Wait until the session has been connected, or has ended; return whether it has been connected.

        Args:
            timeout: in seconds; None for as long as the session keeps trying.

        Raises:
            UserError: the session has ended with a permanent failure.
        """
        self._settled.wait(timeout)
        self.check()
        return self.connections > 0

    def set_birth(self, birth: Outgoing) -> None:
        """Publish another birth message from now on, and at once if there is a connection; none before comes after."""
        with self._birth_lock:
            self._birth = birth
            self.publish(birth)

    @property
    def is_subscribed(self) -> bool:
        """Whether there is a connection and the broker has answered all of its subscriptions."""
        return (connection := self._current()) is not None and connection.is_subscribed

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True) -> None:
        """Subscribe to further topic filters, see `Subscription`; may be called from any thread."""
        wanted = [Subscription(topic, qos, retained) for topic in topics]
        with self._subscribing:
            self._subscriptions = {one.topic: one for one in wanted} | self._subscriptions
            if (connection := self._current()) is not None:
                connection.subscribe(wanted)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic filter, also for further connections."""
        with self._subscribing:
            self._subscriptions.pop(topic, None)
            if (connection := self._current()) is not None:
                connection.unsubscribe(topic)

    def publish(self, message: Outgoing) -> Sent | None:
        """Publish a message; None if there is no connection, or the broker would not accept a packet of this size."""
        return connection.publish(message) if (connection := self._current()) is not None else None

    def publish_together(self, messages: Sequence[Outgoing]) -> int:
        """Publish messages with QoS 0 that are due at the same time; return how many, 0 without a connection."""
        return connection.publish_together(messages) if (connection := self._current()) is not None else 0

    def _current(self) -> Connection | None:
        return self._connection if self.connected.is_set() else None

    def _supervise(self) -> None:
        """Make connections, one after the other, until told to stop or until a permanent failure."""
        started = time.monotonic()
        while not self._stopping.is_set():
            failure = self._connect_once()
            if self._retries.is_puzzled(failure):
                failure = failure.explained(diagnose(broker := self._retries.broker), broker)
            if self._stopping.is_set():
                return
            self.failure = self._retries.note_end(failure, elapsed_s=time.monotonic() - started)
            if self.failure is not None:
                self._settled.set()
                self._on_end(self.failure)
                return
            self._stopping.wait(backoff(self._retries.attempt - 1))

    def _connect_once(self) -> Failure:
        broker, turn = self._retries.broker, self._retries.round
        self._connection = connection = self._new_connection(broker, tls=self._tls, turn=turn)
        # `stop` may have closed the one before.
        if self._stopping.is_set():
            connection.close()
        return connection.run()

    def _opened(self, connection: Connection) -> None:
        if self._stopping.is_set():
            connection.close()
            return
        self.max_publish_bytes = connection.max_publish_bytes
        with self._subscribing:
            connection.subscribe(list(self._subscriptions.values()))
            self.connections += 1
            self.connected.set()
        self._settled.set()
        with self._birth_lock:
            if self._birth is not None:
                self.publish(self._birth)
        self._retries.note_open()


def wait_until_subscribed(session: Session) -> None:
    """Wait until a broker has answered a session's subscriptions: a busy one does late, and sends nothing before.

    Raises:
        UserError: the session has ended with a permanent failure.
    """
    session.wait_until_connected()
    until = time.monotonic() + _ANSWERED_WITHIN_S
    while not session.is_subscribed and time.monotonic() < until:
        session.check()
        time.sleep(_POLL_S)


@contextmanager
def connected(
    options: BrokerOptions,
    *,
    client_id: str,
    subscriptions: Sequence[AnySubscription] = (),
    on_message: Callable[[Received], None] = _ignore,
    on_end: Callable[[UserError], None] = _ignore,
    max_packet_bytes: int = 1_000_000,
    finds_statuses: bool = False,
    timeout_s: float | None = None,
) -> Iterator[Session]:
    """Provide a session that has connected, and stop it at the end.

    Args:
        options: how to reach the broker.
        client_id: unique at the broker.
        subscriptions: topic filters, subscribed to anew with every connection.
        on_message: called with every message, in the network's thread.
        on_end: called once if the session ends with a permanent failure, in a thread of the session.
        max_packet_bytes: the broker is asked not to send larger packets.
        finds_statuses: whether the statuses of all nodes are wanted: see `RetainedFinder`.
        timeout_s: to wait for the connection, in seconds; None for as long as `options.give_up_after_s` allows.

    Raises:
        UserError: a certificate or key file is not usable, the broker refuses us, or it is not there in time.
    """
    session = Session(
        options,
        client_id=client_id,
        subscriptions=subscriptions,
        on_message=on_message,
        on_end=on_end,
        max_packet_bytes=max_packet_bytes,
        finds_statuses=finds_statuses,
    )
    with session:
        if not session.wait_until_connected(timeout_s):
            raise UserError(f"broker {options.address}: no connection within {timeout_s:g} s; is it overloaded?")
        yield session
