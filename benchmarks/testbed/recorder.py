"""Somebody who watches a site's topics during a measurement."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from benchmarks.testbed.recording import Seen, SeenLabel
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics


class Observer:
    """Records announces, votes, labels, statuses and stats of a site, by camera and by node."""

    def __init__(self, url: str, site: str, *, hears_frames: bool = True) -> None:
        """Connect in the background.

        Args:
            url: the broker's address.
            site: the site's name.
            hears_frames: whether it listens to announces, votes and labels, which costs a busy machine time.
        """
        self._change = threading.Condition()
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)
        self._states: dict[str, str] = {}
        self._stats: dict[str, StatsMessage] = {}
        self.connections: Counter[str] = Counter()
        names = Topics(site)
        of_frames = [(names.announce(ANY), 1), (names.vote(ANY, ANY), 0), (names.label(ANY), 0)]
        self.session = Session(
            BrokerOptions(url=url),
            client_id=f"vp-{site}-observer",
            subscriptions=[(names.status(ANY), 1), (names.stats(ANY), 0), *(of_frames if hears_frames else [])],
            on_message=self._take,
            on_end=self._end,
        )
        self.session.start()

    def _end(self, error: UserError) -> None:
        raise error

    def _take(self, message: Received) -> None:
        with self._change, contextlib.suppress(ValueError):
            topic = topics.parse(message.topic)
            seen = self._seen[topic.source]
            match topic.kind:
                case Kind.ANNOUNCE:
                    frame = FrameId.parse(AnnounceMessage.decode(message.payload).frame)
                    seen.announced.setdefault(frame, message.at)
                case Kind.VOTE if topic.variant is not None:
                    seen.votes.setdefault(topic.variant, []).append(message.at)
                case Kind.LABEL:
                    label = LabelMessage.decode(message.payload)
                    seen.labels.append(SeenLabel(FrameId.parse(label.frame), message.at, label.label, label.truth))
                case Kind.STATUS:
                    self._states[topic.source] = str(StatusMessage.decode(message.payload).state)
                case Kind.STATS:
                    self._stats[topic.source] = StatsMessage.decode(message.payload)
            self._change.notify_all()

    def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition on what was seen is true; tell whether it became true within `timeout` s."""
        with self._change:
            return self._change.wait_for(condition, timeout)

    def seen(self, camera: str) -> Seen:
        """Return what was seen of a camera; it grows while the observer is at work."""
        return self._seen[camera]

    def is_online(self, node: str) -> bool:
        """Tell whether a node's newest status says that it is online."""
        return self._states.get(node) == "online"

    def counts(self, node: str) -> dict[str, int]:
        """Return a node's newest counters, none before its first stats."""
        stats = self._stats.get(node)
        return dict(stats.counts) if stats else {}

    def settle(self, camera: str, timeout: float) -> None:
        """Wait until every announced frame of a camera has its label, and none came for a second."""
        seen = self._seen[camera]
        until = time.monotonic() + timeout
        self.until(lambda: seen.announced.keys() <= {label.frame for label in seen.labels}, timeout)
        quiet = False
        while not quiet and time.monotonic() < until:
            count = len(seen.labels)
            quiet = not self.until(lambda count=count: len(seen.labels) > count, 1.0)  # type: ignore[misc]

    def close(self) -> None:
        """Disconnect."""
        self.session.stop()
