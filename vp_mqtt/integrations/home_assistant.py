"""MQTT discovery for Home Assistant: how the fusion node describes a site to it. Pure.

Device-based discovery as Home Assistant documents it (https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery):
one retained message at `homeassistant/device/ID/config` names the device and all its entities; an empty one removes
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from vp_mqtt import __version__
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol.topics import Topics

PREFIX = "homeassistant"
BIRTH_TOPIC = f"{PREFIX}/status"
BIRTH_PAYLOAD = b"online"
WAIT_S = (0.5, 5.0)
"""Range of the random wait after Home Assistant's birth message, so that not all devices answer at once."""

_RETRY_S = 1.0
_MAX_ENTITIES = 256
_URL = "https://arxiv.org/abs/2210.08376"
_MAX_STATE_CHARS = 255

Entity = dict[str, object]


def device_id(site: str) -> str:
    """Return the id of a site, for its discovery topic and the ids of its entities: letters, digits, `_` and `-`."""
    return "vp-" + _escaped(site)


def _escaped(name: str) -> str:
    # A name may contain a dot, an id may not. An underscore is followed by another or by a hyphen, so that one before a
    # letter or digit can separate two names, and no two names share an id.
    return name.replace("_", "__").replace(".", "_-")


def config_topic(site: str) -> str:
    """Return the topic of a site's discovery message."""
    return f"{PREFIX}/device/{device_id(site)}/config"


def discovery(site: str, fusion: str, cameras: Iterable[str], boards: dict[str, int], valid_for: float) -> Outgoing:
    """Return a site's discovery message.

    Args:
        site: its name.
        fusion: the fusion node's name: without it, there are no labels.
        cameras: names of the cameras that have been seen.
        boards: variant index of each variant node that has been seen, by its name.
        valid_for: how long a label is valid, in s.
    """
    topics = Topics(site)
    identity = device_id(site)
    entities: list[Entity] = []
    for camera in sorted(cameras):
        prefix = f"{identity}_{_escaped(camera)}"
        entities += [_label_sensor(prefix, camera, topics, valid_for), _frame_image(prefix, camera, topics)]
    for node, variant in sorted(boards.items()):
        entities.append(_problem_sensor(f"{identity}_{_escaped(node)}", node, variant, topics))
    message = {
        "device": {
            "identifiers": [identity],
            "name": f"vp-mqtt {site}",
            "manufacturer": "vp-mqtt",
            "model": "variant parallelism",
            "sw_version": __version__,
        },
        "origin": {"name": "vp-mqtt", "sw_version": __version__, "support_url": _URL},
        "availability": [_availability(topics.status(fusion))],
        "components": {entity["unique_id"]: entity for entity in entities},
        "qos": 0,
    }
    return Outgoing(
        config_topic(site),
        json.dumps(message, ensure_ascii=False).encode(),
        qos=1,
        retain=True,
        content_type="application/json",
    )


def _availability(status_topic: str) -> Entity:
    return {
        "topic": status_topic,
        # Anything but the two payloads would be ignored: "stopped" must count as not available.
        "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def _label_sensor(prefix: str, camera: str, topics: Topics, valid_for: float) -> Entity:
    attributes = ("confidence", "voted", "missing", "closed_by", "latency_ms", "bundle", "top")
    values = ", ".join(f"'{name}': value_json.{name}" for name in attributes)
    return {
        "platform": "sensor",
        "unique_id": f"{prefix}-label",
        "name": f"{camera} label",
        "icon": "mdi:image-search",
        "state_topic": topics.label(camera),
        # A label may be longer than a state.
        "value_template": f"{{{{ (value_json.label or 'unknown')[:{_MAX_STATE_CHARS}] }}}}",
        "json_attributes_topic": topics.label(camera),
        "json_attributes_template": f"{{{{ {{{values}}} | tojson }}}}",
        "expire_after": max(1, round(valid_for)),
    }


def _frame_image(prefix: str, camera: str, topics: Topics) -> Entity:
    return {
        "platform": "image",
        "unique_id": f"{prefix}-frame",
        "name": f"{camera} frame",
        "image_topic": topics.frame(camera),
        "content_type": "image/jpeg",
    }


def _problem_sensor(prefix: str, node: str, variant: int, topics: Topics) -> Entity:
    return {
        "platform": "binary_sensor",
        "unique_id": f"{prefix}-problem",
        "name": f"variant {variant} ({node})",
        "device_class": "problem",
        "entity_category": "diagnostic",
        "state_topic": topics.status(node),
        "value_template": "{{ 'OFF' if value_json.state == 'online' else 'ON' }}",
    }


def removal(site: str) -> Outgoing:
    """Return the message that removes a site's device and all its entities from Home Assistant."""
    return Outgoing(config_topic(site), b"", qos=1, retain=True)


class Announcer:
    """Decides when the discovery message is due: when there is something new, and after Home Assistant's birth.

    Attributes:
        due: when the message is due, on the caller's clock, in s; None while it is not.
    """

    def __init__(self, site: str, fusion: str, valid_for: float) -> None:
        """Start with neither cameras nor boards; the message is due at once.

        Args:
            site: the site's name.
            fusion: the fusion node's name.
            valid_for: how long a label is valid, in s.
        """
        self.due: float | None = 0.0
        self._site = site
        self._fusion = fusion
        self._valid_for = valid_for
        self._cameras: set[str] = set()
        self._boards: dict[str, int] = {}

    def note_camera(self, camera: str, now: float) -> None:
        """Note a camera that announces frames."""
        if camera not in self._cameras and len(self._cameras) < _MAX_ENTITIES:
            self._cameras.add(camera)
            self.due = now

    def note_board(self, node: str, variant: int | None, now: float) -> None:
        """Note a variant node, or, without a variant, that its status was cleared: it is gone for good."""
        if self._boards.get(node) == variant or (variant is not None and len(self._boards) >= _MAX_ENTITIES):
            return
        if variant is None:
            del self._boards[node]
        else:
            self._boards[node] = variant
        self.due = now

    def note_birth(self, now: float, wait: float) -> None:
        """Note Home Assistant's birth message, which is answered after so many seconds."""
        self.due = now + wait

    def discovery_if_due(self, now: float) -> Outgoing | None:
        """Return the discovery message if it is due, once."""
        if self.due is None or now < self.due:
            return None
        self.due = None
        return discovery(self._site, self._fusion, self._cameras, self._boards, self._valid_for)

    def retry(self, now: float) -> None:
        """Note that the message could not be sent: it is due again in a second."""
        self.due = now + _RETRY_S
