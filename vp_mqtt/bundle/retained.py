"""What the broker retains of a site's bundles and nodes, as `vp push` sees it."""

from __future__ import annotations

from collections.abc import Sequence

from vp_mqtt.bundle.adoption import Adoption
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError, State, StatusMessage, decode_of_node
from vp_mqtt.protocol.presence import NodePresence
from vp_mqtt.protocol.topics import ANY, Kind, TopicError, Topics


class RetainedState:
    """A site's pointer, its bundles' chunks and its nodes' statuses, kept up to date by the messages that arrive.

    Attributes:
        pointer: the bundles that the site runs; None if it runs none.
        newest_at: when the last message arrived, on the monotonic clock, in seconds; of statuses and stats, only those
            count that the broker had kept.
    """

    def __init__(self, site: str, now: float) -> None:
        """Begin with an empty state.

        Args:
            site: name of the site.
            now: the monotonic clock, in seconds.
        """
        self._topics = Topics(site)
        self._chunks: dict[str, set[str]] = {}
        self._arriving: set[str] = set()
        self._nodes: dict[str, NodePresence] = {}
        self.pointer: BundlePointer | None = None
        self.newest_at = now

    def filters(self) -> list[str]:
        """Return the topic filters of everything that belongs to the state."""
        names = self._topics
        return [
            names.bundle(),
            names.manifest(ANY, ANY),
            names.model(ANY, ANY, ANY),
            names.status(ANY),
            names.stats(ANY),
        ]

    def accept(self, message: Received) -> None:
        """Update the state (in the network's thread)."""
        # Those that nodes send never end, and say nothing about what the broker retains.
        if message.retained or not message.topic.endswith(("/status", "/stats")):
            self.newest_at = message.at
        try:
            topic = topics.parse(message.topic)
            if topic.kind is Kind.BUNDLE:
                self.pointer = BundlePointer.decode(message.payload) if message.payload else None
            elif topic.kind is Kind.CHUNK:
                chunks = self._chunks.setdefault(topic.source, set())
                (chunks.add if message.payload else chunks.discard)(message.topic)
                if message.payload and not message.retained:
                    self._arriving.add(topic.source)
            elif topic.kind is Kind.STATUS and message.payload:
                self._note_status(topic.source, decode_of_node(StatusMessage, topic.source, message.payload), message)
            elif topic.kind is Kind.STATS and topic.source in self._nodes and not message.retained:
                self._nodes[topic.source].note_heard(message.at)
        except (TopicError, MessageError) as error:
            LOGGER.warning("%s: %s; left as it is", message.topic, error)

    def _note_status(self, source: str, status: StatusMessage, message: Received) -> None:
        node = self._nodes.get(source)
        if node is None:
            self._nodes[source] = NodePresence(status, retained=message.retained, now=message.at)
        else:
            node.note_status(status, retained=message.retained, now=message.at)

    def chunks_of(self, digest: str) -> set[str]:
        """Return the topics of a bundle's chunks that the broker has."""
        return set(self._chunks.get(digest, ()))

    def chunks_of_others(self, digests: set[str]) -> set[str]:
        """Return the topics of the chunks that the broker has of other bundles, but those being pushed right now."""
        kept = digests | self._arriving
        return {topic for digest, chunks in list(self._chunks.items()) if digest not in kept for topic in set(chunks)}

    def unseen_of(self, refs: Sequence[BundleRef], kept: set[str]) -> list[BundleRef]:
        """Return those bundles, but the ones whose digests are kept, of which the broker has sent no chunk."""
        return [ref for ref in refs if ref.digest not in kept and not self._chunks.get(ref.digest)]

    def not_ready(self, digest: str) -> list[str]:
        """Return the fusion nodes that are online, follow the site's bundle, and cannot fuse this one yet."""
        return sorted(
            node.status.node
            for node in list(self._nodes.values())
            if node.status.role == "fusion" and node.status.state is State.ONLINE and node.status.ready
            if digest[:8] not in node.status.ready
        )

    def adoption(self, digest: str, now: float) -> Adoption:
        """Return what the site's nodes do with a bundle; see `Adoption.of`."""
        return Adoption.of(list(self._nodes.values()), digest, now)
