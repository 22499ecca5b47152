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
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, State, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics

_STATS_WITHIN_S = 60.0


class Recorder:
    """Records announces, votes, labels, statuses and stats of a site, by camera and by node."""

    def __init__(self, url: str, site: str, *, records: str | None = ANY) -> None:
        """Prepare, without connecting.

        Args:
            url: the broker's URL.
            site: the site's name.
            records: the camera whose announces, votes and labels are recorded, which costs processor time; ANY for all
                cameras, None for none.
        """
        self._change = threading.Condition()
        self._recordings: defaultdict[str, Recording] = defaultdict(Recording)
        self._statuses: dict[str, StatusMessage] = {}
        self._stats: dict[str, StatsMessage] = {}
        self.connections: Counter[str] = Counter()
        self._names = names = Topics(site)
        of_frames = []
        if records is not None:
            of_frames = [(names.announce(records), 1), (names.vote(records, ANY), 0), (names.label(records), 0)]
        self.session = Session(
            BrokerOptions(url=url),
            client_id=f"vp-{site}-recorder",
            subscriptions=[(names.status(ANY), 1), (names.stats(ANY), 0), *of_frames],
            on_message=self._receive,
            on_end=self._end,
        )

    def start(self) -> None:
        """Connect in the background."""
        self.session.start()

    def ignore_statuses(self) -> None:
        """Record no further statuses: those that a client floods the site with would take the recorder's time."""
        self.session.unsubscribe(self._names.status(ANY))

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
                    self._statuses[topic.source] = StatusMessage.decode(message.payload)
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
        status = self._statuses.get(node)
        return status is not None and status.state is State.ONLINE

    def status(self, node: str) -> StatusMessage | None:
        """Return a node's newest status; None before the first."""
        return self._statuses.get(node)

    def counts(self, node: str) -> dict[str, int]:
        """Return a node's newest counters; none before its first stats message."""
        stats = self._stats.get(node)
        return dict(stats.counts) if stats else {}

    def next_stats(self, node: str) -> StatsMessage:
        """Wait for the next stats of a node.

        Raises:
            UserError: none came.
        """
        with self._change:
            newest = self._stats.get(node)
            if not self._change.wait_for(lambda: self._stats.get(node) is not newest, _STATS_WITHIN_S):
                raise UserError(f"no stats of {node} within {_STATS_WITHIN_S:g} s")
            return self._stats[node]

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
