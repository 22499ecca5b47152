"""Learns from the statuses of a site's boards how large a camera's frames have to be."""

from __future__ import annotations

from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.board_needs import BoardNeeds
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import StatusMessage, decode_of_node
from vp_mqtt.protocol.topics import ANY, Topics

# Of all nodes together: at once when the camera connects, and each whenever it changes.
_LIMIT = Limit(burst=1000, per_second=20.0)


class NeedsWatch:
    """Reads the statuses of a site's nodes; while they flood, nothing is known.

    Attributes:
        filter: of the topics to subscribe to.
        limit: of what comes on all of them.
    """

    def __init__(self, site: Topics, needs: BoardNeeds) -> None:
        """Prepare, without subscribing.

        Args:
            site: whose boards.
            needs: told of them.
        """
        self.filter, self.limit = site.status(ANY), _LIMIT
        self._before, _, self._after = self.filter.partition(ANY)
        self._needs = needs

    def receive(self, message: Received, node: Node) -> bool:
        """Take a status, and return whether it was one (in the network's thread).

        Args:
            message: on any topic.
            node: which has subscribed.
        """
        if not (message.topic.startswith(self._before) and message.topic.endswith(self._after)):
            return False
        if not node.gates.may_pass(self.filter, message.at):
            node.counts["flooded"] += 1
            self._needs.clear()
            return True
        try:
            name = topics.parse(message.topic).source
            if message.payload:
                self._needs.note(decode_of_node(StatusMessage, name, message.payload))
            else:
                self._needs.forget(name)
        except ValueError as error:
            node.refusals.add(message.topic, str(error))
        return True
