"""MQTT discovery for Home Assistant: what the fusion node tells it of a site. Pure.

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
"""After Home Assistant's birth message so long at random, so that not all devices answer at once."""

_MAX_ENTITIES = 256
_URL = "https://arxiv.org/abs/2210.08376"


def device_id(site: str) -> str:
    """Return the site's id, which its topic and the ids of its entities are made of: letters, digits, `_` and `-`."""
    # A dot may be in a site's name but not in an id. An underscore is followed by another or by a hyphen, so that one
    # before a letter or digit can part two names, and no two sites share an id.
    return "vp-" + site.replace("_", "__").replace(".", "_-")


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
        valid_for: seconds after which a label says nothing about the present.
    """
    topics = Topics(site)
    identity = device_id(site)
    components: dict[str, dict[str, object]] = {}
    for camera in sorted(cameras):
        label = topics.label(camera)
        entity = f"{identity}_{device_id(camera)[3:]}"
        components[f"{entity}-label"] = {
            "platform": "sensor",
            "unique_id": f"{entity}-label",
            "name": f"{camera} label",
            "icon": "mdi:image-search",
            "state_topic": label,
            # A label may be longer than the 255 characters that a state may have.
            "value_template": "{{ (value_json.label or 'unknown')[:255] }}",
            "json_attributes_topic": label,
            "json_attributes_template": (
                "{{ {'confidence': value_json.confidence, 'voted': value_json.voted, 'missing': value_json.missing, "
                "'closed_by': value_json.closed_by, 'latency_ms': value_json.latency_ms, 'bundle': value_json.bundle, "
                "'top': value_json.top} | tojson }}"
            ),
            "expire_after": max(1, round(valid_for)),
        }
        components[f"{entity}-frame"] = {
            "platform": "image",
            "unique_id": f"{entity}-frame",
            "name": f"{camera} frame",
            "image_topic": topics.frame(camera),
            "content_type": "image/jpeg",
        }
    for node, variant in sorted(boards.items()):
        entity = f"{identity}_{device_id(node)[3:]}-problem"
        components[entity] = {
            "platform": "binary_sensor",
            "unique_id": entity,
            "name": f"variant {variant} ({node})",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.status(node),
            "value_template": "{{ 'OFF' if value_json.state == 'online' else 'ON' }}",
        }
    message = {
        "device": {
            "identifiers": [identity],
            "name": f"vp-mqtt {site}",
            "manufacturer": "vp-mqtt",
            "model": "variant parallelism",
            "sw_version": __version__,
        },
        "origin": {"name": "vp-mqtt", "sw_version": __version__, "support_url": _URL},
        "availability": [
            {
                "topic": topics.status(fusion),
                # What is neither of the two payloads would be ignored: "stopped" is to count as not available.
                "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
                "payload_available": "online",
                "payload_not_available": "offline",
            }
        ],
        "components": components,
        "qos": 0,
    }
    return Outgoing(
        config_topic(site),
        json.dumps(message, ensure_ascii=False).encode(),
        qos=1,
        retain=True,
        content_type="application/json",
    )


def removal(site: str) -> Outgoing:
    """Return the message that removes a site's device and all its entities from Home Assistant."""
    return Outgoing(config_topic(site), b"", qos=1, retain=True)


class Announcer:
    """Decides when the discovery message is due: when something new is there, and after Home Assistant's birth."""

    def __init__(self, site: str, fusion: str, valid_for: float) -> None:
        """Start with neither cameras nor boards.

        Args:
            site: the site's name.
            fusion: the fusion node's name.
            valid_for: of a label, in s.
        """
        self._site = site
        self._fusion = fusion
        self._valid_for = valid_for
        self._cameras: set[str] = set()
        self._boards: dict[str, int] = {}
        self._due: float | None = 0.0

    def saw_camera(self, camera: str, now: float) -> None:
        """Note a camera that announces frames."""
        if camera not in self._cameras and len(self._cameras) < _MAX_ENTITIES:
            self._cameras.add(camera)
            self._due = now

    def saw_board(self, node: str, variant: int | None, now: float) -> None:
        """Note a variant node, or, without a variant, that its status was cleared: it is gone for good."""
        if self._boards.get(node) == variant or (variant is not None and len(self._boards) >= _MAX_ENTITIES):
            return
        if variant is None:
            del self._boards[node]
        else:
            self._boards[node] = variant
        self._due = now

    def heard_birth(self, now: float, wait: float) -> None:
        """Note Home Assistant's birth message, which is answered after so many seconds."""
        self._due = now + wait

    def take(self, now: float) -> Outgoing | None:
        """Return the discovery message if it is due, once."""
        if self._due is None or now < self._due:
            return None
        self._due = None
        return discovery(self._site, self._fusion, self._cameras, self._boards, self._valid_for)

    def failed(self, now: float) -> None:
        """Note that the message could not be sent: it is due again in a second."""
        self._due = now + 1.0
