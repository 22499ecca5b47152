"""The page's MQTT client: reads what arrives into the view, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.web.history.changes import StateChange, describe
from vp_mqtt.web.reading import Changed, read, subscriptions

_MAX_WAITING = 16
_MAX_WAITING_BYTES = 64_000_000
_LOOK_EVERY_S = 0.2
# A state may be read before the label and the picture that made it.
_SETTLE_S = 0.3
_MAX_SETTLING = 256


class Listener:
    """Listens to a site: a client that reads everything, and publishes what it is told to."""

    def __init__(
        self,
        settings: WebSettings,
        view: SiteView,
        *,
        on_change: Callable[[StateChange], None] = lambda _: None,
        on_pointer: Callable[[bytes], None] = lambda _: None,
        on_settings: Callable[[str, bytes], None] = lambda *_: None,
        on_end: Callable[[UserError], None],
    ) -> None:
        """Prepare, without connecting.

        Args:
            settings: where the site is.
            view: what is read into.
            on_change: called with every state that changes, in the listener's thread.
            on_pointer: called with the site's pointer to its bundles, as it arrived; it may raise a ValueError.
            on_settings: called with the topic and the payload of the site's settings; likewise.
            on_end: called once if the session ends with a permanent failure, in a thread of the session.
        """
        self._settings = settings
        self._pointer_topic = Topics(settings.site).bundle()
        self._settings_prefix = Topics(settings.site).fusion_settings().removesuffix("fusion")
        self._on_settings = on_settings
        self._view = view
        self._lock = threading.Lock()
        self._on_change = on_change
        self._on_pointer = on_pointer
        self._on_end = on_end
        self._inbox: Inbox[Received] = Inbox(
            per_source=_MAX_WAITING, max_bytes=_MAX_WAITING_BYTES, size_of=lambda message: len(message.payload)
        )
        self._session: Session | None = None
        self._stopping = threading.Event()
        self._settling: deque[tuple[float, Changed]] = deque(maxlen=_MAX_SETTLING)
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._reading_since: float | None = None
        self.refusals = Refusals()

    @contextmanager
    def view(self) -> Iterator[SiteView]:
        """Provide the view, which nobody changes meanwhile."""
        with self._lock:
            yield self._view

    def start(self) -> None:
        """Connect, and listen, in the background.

        Raises:
            UserError: a certificate, key or password file is not usable.
        """
        settings = self._settings
        # Several may show a site from one machine.
        name = settings.node_name(str(time.time_ns() % 1_000_000))
        self._session = Session(
            settings.broker_options(),
            client_id=f"vp-{settings.site}-{name}",
            subscriptions=subscriptions(settings.site),
            on_message=lambda message: self._inbox.put(message.topic, message),
            on_refused=self.refusals.add,
            on_end=self._on_end,
            max_packet_bytes=settings.max_frame_bytes + MAX_MESSAGE_BYTES,
            finds_statuses=True,
        )
        self._session.start()
        self._thread.start()

    def stop(self) -> None:
        """Disconnect."""
        self._stopping.set()
        self._inbox.close()
        if self._session is not None:
            self._session.stop()

    def publish(self, message: Outgoing) -> Sent | None:
        """Publish a message; None if there is no connection."""
        return None if self._session is None else self._session.publish(message)

    def is_healthy(self, patience: float) -> bool:
        """Return whether messages are read: nothing hangs for so many seconds."""
        since = self._reading_since
        if self._session is None or self._session.is_stuck(patience) or not self._thread.is_alive():
            return False
        return since is None or time.monotonic() - since < patience

    def _listen(self) -> None:
        while self._session is not None and not self._stopping.is_set():
            message = self._inbox.get(_LOOK_EVERY_S)
            now = self._reading_since = time.monotonic()
            with self._lock:
                self._view.overview.note_connection(now, is_connected=self._session.connected.is_set())
                if message is not None:
                    self._read(message)
                changes = list(self._settled(now))
            for change in changes:
                self._on_change(change)
            self._reading_since = None

    def _read(self, message: Received) -> None:
        now = time.monotonic()
        try:
            if message.topic == self._pointer_topic:
                self._on_pointer(message.payload)
                return
            if message.topic.startswith(self._settings_prefix):
                self._on_settings(message.topic, message.payload)
                return
            wall_time = time.time() - (now - message.at)
            changed = read(self._view, message, wall_time=wall_time, max_frame_bytes=self._settings.max_frame_bytes)
        except ValueError as error:
            self.refusals.add(message.topic, str(error))
            return
        if changed is not None:
            self._settling.append((now + _SETTLE_S, changed))

    def _settled(self, now: float) -> Iterator[StateChange]:
        while self._settling and self._settling[0][0] <= now:
            _, changed = self._settling.popleft()
            yield describe(self._view, changed.state, retained=changed.retained, arrived=changed.at, now=now)
