"""Where a trial takes place: its clients and its topics, of which nothing is left behind."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import threading
from typing import Any

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.trial_client import TrialClient, TrialError
from vp_mqtt.protocol.topics import ROOT

_EXPIRY_S = 60
_ANSWER_WITHIN_S = 2.0


class Ground:
    """The clients and topics of one trial.

    What is retained is cleared by `clean`. It also expires after a minute, for a trial that is killed.

    Attributes:
        prefix: below which the topics are, once `find_prefix` has found one; empty before.
    """

    def __init__(self, options: BrokerOptions, tls: ssl.SSLContext | None, site: str) -> None:
        """Prepare, without connecting.

        Args:
            options: how to reach the broker.
            tls: for a broker that is reached over TLS.
            site: name of the site, whose operator may publish below its bundles only.
        """
        self._options, self._tls, self._site = options, tls, site
        self._name = secrets.token_hex(4)
        self._clients: list[TrialClient] = []
        self._retained: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._count = 0
        self.prefix = ""

    def find_prefix(self) -> bool:
        """Find topics that the account may publish and subscribe to; return whether there are any."""
        for prefix in (f"vp-check/{self._name}", f"{ROOT}/{self._site}/bundle/check-{self._name}"):
            with contextlib.suppress(TrialError):
                client = self.client()
                client.subscribe(f"{prefix}/rights")
                client.publish(f"{prefix}/rights", b"rights")
                if client.until(b"rights", _ANSWER_WITHIN_S):
                    self.prefix = prefix
                    return True
        return False

    def client(self, client_id: str | None = None, **options: Any) -> TrialClient:  # noqa: ANN401 (the client's)
        """Connect a client, which `clean` closes.

        Args:
            client_id: the last part of its id; None for one that no other has.
            options: of the client.

        Raises:
            TrialError: the broker refuses it.
        """
        with self._lock:
            if self._stopping.is_set():
                raise TrialError("interrupted")
            self._count += 1
            name = f"vp-check-{self._name}-{client_id or self._count}"
            client = TrialClient(self._options, self._tls, name, **options)
            self._clients.append(client)
        client.open()
        return client

    def listener(self, topic: str, **options: Any) -> TrialClient:  # noqa: ANN401 (of the subscription)
        """Connect a client that is subscribed to a topic filter.

        Raises:
            TrialError: the broker refuses it.
        """
        client = self.client()
        client.subscribe(topic, **options)
        return client

    def topic(self, name: str) -> str:
        """Return a topic of the trial."""
        return f"{self.prefix}/{name}"

    def note_retained(self, topic: str) -> None:
        """Have `clean` clear what the broker retains of a topic."""
        self._retained.add(topic)

    def retain(self, client: TrialClient, topic: str, payload: bytes, expiry_s: int = _EXPIRY_S) -> None:
        """Publish a message that the broker keeps until `clean`.

        Raises:
            TrialError: it does not accept it.
        """
        self.note_retained(topic)
        client.publish(topic, payload, retain=True, MessageExpiryInterval=expiry_s)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            TrialError: the trial was interrupted.
        """
        if self._stopping.wait(seconds):
            raise TrialError("interrupted")

    def stop(self) -> None:
        """End everything that still waits."""
        with self._lock:
            self._stopping.set()
        for client in self._clients:
            client.close()

    def clean(self) -> bool:
        """Close the clients, and clear what the broker retains; return whether it has confirmed that."""
        self.stop()
        if not self._retained:
            return True
        client = TrialClient(self._options, self._tls, f"vp-check-{self._name}-clean")
        try:
            client.open()
            for topic in sorted(self._retained):
                client.publish(topic, b"", retain=True)
        except TrialError:
            return False
        finally:
            client.close()
        return True
