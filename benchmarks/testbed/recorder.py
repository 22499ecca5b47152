"""A client that records what a site publishes during a measurement."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from benchmarks.testbed.recording import RecordedLabel, Recording
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics


class Recorder:
    """Records announces, votes, labels, statuses and stats of a site, by camera and by node."""

    def __init__(self, url: str, site: str, *, records_frames: bool = True) -> None:
        """Prepare, without connecting.

        Args:
            url: the broker's URL.
            site: the site's name.
            records_frames: whether to subscribe to announces, votes and labels, which costs processor time.
        """
        self._change = threading.Condition()
        self._recordings: defaultdict[str, Recording] = defaultdict(Recording)
        self._states: dict[str, str] = {}
        self._stats: dict[str, StatsMessage] = {}
        self.connections: Counter[str] = Counter()
        self._names = names = Topics(site)
        of_frames = [(names.announce(ANY), 1), (names.vote(ANY, ANY), 0), (names.label(ANY), 0)]
        self.session = Session(
            BrokerOptions(url=url),
            client_id=f"vp-{site}-recorder",
            subscriptions=[(names.status(ANY), 1), (names.stats(ANY), 0), *(of_frames if records_frames else [])],
            on_message=self._receive,
            on_end=self._end,
        )

    def start(self) -> None:
        """Connect in the background."""
        self.session.start()

    def watch_only(self, camera: str) -> None:
        """Record only this camera's announces, votes and labels from now on, and no further statuses.

        What others flood the site with would take the recorder's time.
        """
        self.session.subscribe([self._names.announce(camera)], qos=1)
        self.session.subscribe([self._names.vote(camera, ANY), self._names.label(camera)])
        wildcards = (self._names.announce(ANY), self._names.vote(ANY, ANY), self._names.label(ANY))
        for topic in (*wildcards, self._names.status(ANY)):
            self.session.unsubscribe(topic)

    def _end(self, error: UserError) -> None:
        raise error

    def _receive(self, message: Received) -> None:
        with self._change, contextlib.suppress(ValueError):
            topic = topics.parse(message.topic)
            recording = self._recordings[topic.source]
            match topic.kind:
                case Kind.ANNOUNCE:
                    frame = FrameId.parse(AnnounceMessage.decode(message.payload).frame)
                    recording.announced.setdefault(frame, message.at)
                case Kind.VOTE if topic.variant is not None:
                    recording.votes.setdefault(topic.variant, []).append(message.at)
                case Kind.LABEL:
                    label = LabelMessage.decode(message.payload)
                    recording.labels.append(
                        RecordedLabel(FrameId.parse(label.frame), message.at, label.label, label.truth)
                    )
                case Kind.STATUS:
                    self._states[topic.source] = str(StatusMessage.decode(message.payload).state)
                case Kind.STATS:
                    self._stats[topic.source] = StatsMessage.decode(message.payload)
            self._change.notify_all()

    def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition on the recordings is true; return whether it became true within `timeout` s."""
        with self._change:
            return self._change.wait_for(condition, timeout)

    def recording(self, camera: str) -> Recording:
        """Return the recording of a camera, which grows while the recorder runs."""
        return self._recordings[camera]

    def is_online(self, node: str) -> bool:
        """Return whether a node's newest status is online."""
        return self._states.get(node) == "online"

    def counts(self, node: str) -> dict[str, int]:
        """Return a node's newest counters; none before its first stats message."""
        stats = self._stats.get(node)
        return dict(stats.counts) if stats else {}

    def settle(self, camera: str, timeout: float) -> None:
        """Wait until every announced frame of a camera has its label and none has arrived for a second."""
        recording = self._recordings[camera]
        until = time.monotonic() + timeout
        self.until(lambda: recording.announced.keys() <= {label.frame for label in recording.labels}, timeout)
        quiet = False
        while not quiet and time.monotonic() < until:
            count = len(recording.labels)
            quiet = not self.until(lambda count=count: len(recording.labels) > count, 1.0)  # type: ignore[misc]

    def stop(self) -> None:
        """Disconnect."""
        self.session.stop()
