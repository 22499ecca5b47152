"""A client that publishes announces and votes a second time, late and out of order."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol.topics import ANY, Topics

_LATEST_S = 0.4
_REMEMBERED = 10_000


class Duplicator:
    """Publishes each announce and vote of a camera a second time, after up to 0.4 s; half of them at once."""

    def __init__(self, url: str, site: str, camera: str) -> None:
        """Prepare, without connecting."""
        self._rng = random.Random(1)  # noqa: S311 (not for secrets)
        self._published: OrderedDict[tuple[str, bytes, bytes | None], None] = OrderedDict()
        self.repeated = 0
        names = Topics(site)
        self._session = Session(
            BrokerOptions(url=url),
            client_id=f"vp-{site}-duplicator",
            subscriptions=[(names.announce(camera), 1), (names.vote(camera, ANY), 0)],
            on_message=self._receive,
            on_end=self._end,
        )

    def start(self) -> None:
        """Connect, and start."""
        self._session.start()

    def _end(self, error: UserError) -> None:
        raise error

    def _receive(self, message: Received) -> None:
        key = (message.topic, message.payload, message.correlation)
        if key in self._published:
            return
        self._published[key] = None
        while len(self._published) > _REMEMBERED:
            self._published.popitem(last=False)
        again = Outgoing(message.topic, message.payload, correlation=message.correlation)
        wait = self._rng.choice((0.0, self._rng.uniform(0.0, _LATEST_S)))
        timer = threading.Timer(wait, self._republish, [again])
        timer.daemon = True
        timer.start()

    def _republish(self, message: Outgoing) -> None:
        self.repeated += self._session.publish(message) is not None

    def stop(self) -> None:
        """Disconnect."""
        self._session.stop()
