"""Knows the site's settings, and changes them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.site_settings import (
    MAX_SETTINGS_BYTES,
    CameraSettingsMessage,
    FusionSettingsMessage,
)
from vp_mqtt.protocol.topics import Kind, Topics
from vp_mqtt.web.history.place import default_folder
from vp_mqtt.web.tuning.store import SettingsStore, StoredSettings

SettingsMessage = FusionSettingsMessage | CameraSettingsMessage
Publish = Callable[[Outgoing], Sent | None]

_MAX_TOPICS = 257
_PATIENCE_S = 5.0
_BACK_AGAIN_S = 2.0
_NOT_ALLOWED = (
    "the broker takes no settings from the page's account: set `may_change = true` under [web] in site.toml and "
    "provision again, or give the page an operator's account"
)


@dataclass(frozen=True, slots=True)
class Retained:
    """Settings as the broker keeps them.

    Attributes:
        payload: of the message; empty without one.
        message: what it says; None where there is none, or an invalid one.
        problem: why it is invalid; empty if it is not.
    """

    payload: bytes = b""
    message: SettingsMessage | None = None
    problem: str = ""

    @property
    def mark(self) -> str:
        """A text that differs from that of other settings."""
        return hashlib.sha256(self.payload).hexdigest()[:16]

    @property
    def content(self) -> bytes:
        """The message without what tells it from others that say the same; empty where the nodes' own are in force."""
        same = {"version": 1, "changed": 0.0}
        return b"" if self.message is None else self.message.model_copy(update=same).encode()


def read_settings(topic: str, payload: bytes) -> Retained:
    """Return settings as a node would read them.

    Args:
        topic: whose they are.
        payload: of the message; empty for none.

    Raises:
        TopicError: this is no topic of settings.
    """
    kind = topics.parse(topic).kind
    if kind not in {Kind.FUSION_SETTINGS, Kind.CAMERA_SETTINGS}:
        raise topics.TopicError("unknown topic")
    if not payload:
        return Retained()
    if len(payload) > MAX_SETTINGS_BYTES:
        return Retained(payload[:MAX_SETTINGS_BYTES], problem="too large")
    model = FusionSettingsMessage if kind is Kind.FUSION_SETTINGS else CameraSettingsMessage
    try:
        return Retained(payload, model.decode(payload))
    except MessageError as error:
        return Retained(payload, problem=str(error))


@dataclass
class SettingsDesk:
    """The site's settings: what the broker keeps, and ways to change it. Methods may be called from any thread.

    Attributes:
        topics: of the site.
        store: of former settings.
        publish: sends a message to the broker; returns None where that cannot be.
    """

    topics: Topics
    store: SettingsStore
    publish: Publish = lambda _: None
    _retained: dict[str, Retained] = field(default_factory=dict)
    _person: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def note(self, topic: str, payload: bytes) -> None:
        """Note settings that have arrived.

        Raises:
            TopicError: this is no topic of settings.
        """
        found = read_settings(topic, payload)
        with self._lock:
            if topic not in self._retained and (len(self._retained) >= _MAX_TOPICS or not payload):
                return
            self._retained[topic] = found
            sent, person = self._person.get(topic, (b"", ""))
            self._lock.notify_all()
        if not found.problem:
            self.store.note(topic, found.content, person if sent == found.payload else "", time.time())

    def retained(self, topic: str) -> Retained:
        """Return what the broker keeps on a topic."""
        with self._lock:
            return self._retained.get(topic, Retained())

    def change(self, topic: str, message: SettingsMessage, mark: str, person: str) -> None:
        """Change the site's settings.

        Args:
            topic: whose they are.
            message: the new ones; version and time are set here.
            mark: of those that the change was made from.
            person: who changes them.

        Raises:
            UserError: others have changed them meanwhile, or the broker does not take them.
        """
        now = self.retained(topic)
        if now.mark != mark:
            raise UserError("these settings have been changed meanwhile: load the page to see how, or save again")
        version = 1 + (0 if now.message is None else now.message.version)
        message = message.model_copy(update={"version": version, "changed": round(time.time(), 3)})
        self._send(topic, message.encode(), person)

    def clear(self, topic: str, person: str) -> None:
        """Return to the nodes' own settings. Raises as `change` does."""
        self._send(topic, b"", person)

    def restore(self, former: StoredSettings, person: str) -> None:
        """Return to former settings. Raises as `change` does."""
        then = read_settings(former.topic, former.payload)
        if then.message is None:
            self.clear(former.topic, person)
        else:
            self.change(former.topic, then.message, self.retained(former.topic).mark, person)

    def undo(self, topic: str, person: str) -> None:
        """Return to the settings before the newest ones. Raises as `change` does."""
        former = self.store.before(topic)
        if former is None:
            raise UserError("there is nothing to take back")
        self.restore(former, person)

    def _send(self, topic: str, payload: bytes, person: str) -> None:
        with self._lock:
            self._person[topic] = payload, person
        self._deliver(Outgoing(topic, payload, qos=1, retain=True, content_type="application/json"))
        with self._lock:
            # The page that is shown next is to know them.
            self._lock.wait_for(lambda: self._retained.get(topic, Retained()).payload == payload, _BACK_AGAIN_S)

    def _deliver(self, message: Outgoing) -> None:
        sent = self.publish(message)
        if sent is None:
            raise UserError("there is no connection to the broker: try again")
        if not sent.wait(_PATIENCE_S):
            raise UserError("the broker does not answer: try again")
        if sent.is_refused:
            raise UserError(_NOT_ALLOWED)


def desk_of(settings: WebSettings) -> SettingsDesk:
    """Return the desk of a page; its store is not opened yet, and it cannot publish yet."""
    folder = settings.history or default_folder()
    return SettingsDesk(Topics(settings.site), SettingsStore(folder / f"{settings.site}.settings.sqlite"))
