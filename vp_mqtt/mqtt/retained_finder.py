"""Finds statuses that a broker retains and does not deliver to a filter with a wildcard, as RabbitMQ does not."""

from __future__ import annotations

from collections.abc import Callable

from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.topic_gates import Subscriber

_MAX_NODES = 1000
_STATUS, _STATS = "/status", "/stats"


class RetainedFinder:
    """Asks for the status of each node that is heard and whose status did not come, by its exact topic.

    A node that is alive is heard by its stats. At a broker that delivers what it retains, nothing is asked for.
    """

    def __init__(self, subscriber: Callable[[], Subscriber]) -> None:
        """Start without nodes.

        Args:
            subscriber: returns the session to subscribe in.
        """
        self._subscriber = subscriber
        self._known: set[str] = set()
        self._asked: set[str] = set()

    def note(self, message: Received) -> None:
        """Note a message (in the network's thread)."""
        topic = message.topic
        if topic.endswith(_STATUS):
            if topic in self._asked:
                # Live messages come by the wildcard.
                self._asked.discard(topic)
                self._subscriber().unsubscribe(topic)
            if len(self._known) < _MAX_NODES:
                self._known.add(topic)
        elif topic.endswith(_STATS) and not message.retained:
            status = topic.removesuffix(_STATS) + _STATUS
            if status not in self._known and status not in self._asked and len(self._asked) < _MAX_NODES:
                self._asked.add(status)
                self._subscriber().subscribe([status], qos=1)

    def passing(self, on_message: Callable[[Received], None]) -> Callable[[Received], None]:
        """Return a callback that notes a message before it is handed on."""

        def note_and_pass(message: Received) -> None:
            self.note(message)
            on_message(message)

        return note_and_pass
