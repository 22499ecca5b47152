"""MQTT discovery for Home Assistant: how the fusion node describes a site to it. Pure.

Device-based discovery as Home Assistant documents it (https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery):
one retained message at `homeassistant/device/ID/config` names the device and all its entities; an empty one removes
them. Home Assistant 2024.11 is the first that reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vp_mqtt import __version__
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import Kind, Topics

PREFIX = "homeassistant"
BIRTH_TOPIC = f"{PREFIX}/status"
BIRTH_PAYLOAD = b"online"
WAIT_S = (5.0, 10.0)
"""Range of the random wait after Home Assistant's birth message, so that not all devices answer at once, and so that it
has read the retained message before it gets another."""

PRESENCE_EVERY_S = 60.0
"""How often the presence of a board is repeated, in seconds."""

MAX_PACKET_BYTES = 2_000_000
"""A site's discovery message is smaller, with 256 cameras, 256 boards and as much to remove, whatever their names."""

_MAX_COMPONENTS = 2048
_URL = "https://arxiv.org/abs/2210.08376"
_MAX_STATE_CHARS = 255
_STATE_ATTRIBUTES = (
    "({'since': value_json.since | timestamp_local, 'previous': value_json.previous or 'unknown',"
    " 'confidence': value_json.confidence, 'agreeing': value_json.agreeing, 'reason': value_json.reason}"
    " if {json} and value_json.since is number else {}) | tojson"
)

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


def discovery(site: str, fusion: str, entities: Iterable[Entity], removed: Mapping[str, str]) -> Outgoing:
    """Return a site's discovery message.

    Args:
        site: its name.
        fusion: the fusion node's name: without it, there are no labels.
        entities: see `entities_of`.
        removed: platforms of entities that are to be removed, by their keys.
    """
    identity = device_id(site)
    message = {
        "device": {
            "identifiers": [identity],
            "name": f"vp-mqtt {site}",
            "manufacturer": "vp-mqtt",
            "model": "variant parallelism",
            "sw_version": __version__,
        },
        "origin": {"name": "vp-mqtt", "sw_version": __version__, "support_url": _URL},
        "availability": [_availability(Topics(site).status(fusion))],
        # An entity is removed by its platform alone; leaving it out would leave it there.
        "components": {key: {"platform": platform} for key, platform in removed.items()}
        | {str(entity["unique_id"]): entity for entity in entities},
        "qos": 0,
    }
    return Outgoing(
        config_topic(site),
        json.dumps(message, ensure_ascii=False).encode(),
        qos=1,
        retain=True,
        content_type="application/json",
    )


def entities_of(
    site: str, cameras: Iterable[str], boards: Mapping[str, int | None], validity: Validity
) -> list[Entity]:
    """Return the entities of a site.

    Args:
        site: its name.
        cameras: names of the cameras.
        boards: variant index of each variant node, by its name; None for one that waits for a variant.
        validity: how long labels and states are valid.
    """
    names = Topics(site)
    identity = device_id(site)
    entities: list[Entity] = []
    for camera in sorted(cameras):
        prefix = f"{identity}_{_escaped(camera)}"
        entities += [*_label_sensors(prefix, camera, names, validity), _camera(prefix, camera, names)]
        entities.append(_capture_button(prefix, camera, names))
    for node, variant in sorted(boards.items()):
        entities.append(_problem_sensor(f"{identity}_{_escaped(node)}", node, variant, names))
    return entities


@dataclass(frozen=True, slots=True)
class Validity:
    """How long what a camera's entities show is valid without another message.

    Attributes:
        label: a frame's label, in s.
        state: a state, in s; None if there are no states.
    """

    label: float
    state: float | None


@dataclass(frozen=True, slots=True)
class Component:
    """A component of a discovery message.

    Attributes:
        platform: what kind of entity it is.
        board: the node whose presence it shows; None if it shows another thing.
    """

    platform: str
    board: str | None = None


def parse_components(site: str, payload: bytes) -> dict[str, Component]:
    """Return the components in a site's discovery message, by their keys; none if it is not one."""
    try:
        components = json.loads(payload)["components"]
        return {
            str(key): Component(str(one["platform"]), board_of(site, str(one.get("state_topic"))))
            for key, one in list(components.items())[:_MAX_COMPONENTS]
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def board_of(site: str, topic_name: str) -> str | None:
    """Return the node whose presence a topic of the site carries; None if it carries another thing."""
    try:
        topic = topics.parse(topic_name)
    except topics.TopicError:
        return None
    return topic.source if topic.kind is Kind.PRESENCE and topic.site == site else None


def _availability(status_topic: str) -> Entity:
    return {
        "topic": status_topic,
        # Anything but the two payloads would be ignored: "stopped" and a cleared status must count as not available.
        "value_template": _template("'online' if {json} and value_json.state == 'online' else 'offline'"),
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def _template(text: str) -> str:
    # Without a payload, or with one that is not JSON, there is no value_json.
    return "{{ " + text.replace("{json}", "value_json is defined and value_json is mapping") + " }}"


def _label_sensors(prefix: str, camera: str, names: Topics, validity: Validity) -> list[Entity]:
    """Return the sensor with the camera's state, and, switched off, one with the label of every frame.

    Without states, the label of every frame is all there is.
    """
    # No attributes: Home Assistant would write a row to its database for every frame.
    every_frame = {
        "platform": "sensor",
        "unique_id": f"{prefix}-label",
        "name": f"{camera} label",
        "icon": "mdi:image-search",
        "state_topic": names.label(camera),
        # A label may be longer than a state.
        "value_template": _template(f"(value_json.label or 'unknown')[:{_MAX_STATE_CHARS}] if {{json}} else 'unknown'"),
        "expire_after": max(1, round(validity.label)),
    }
    if validity.state is None:
        return [every_frame]
    # The attributes stay as they are as long as the state lasts, so that its repetition writes no row.
    state = every_frame | {
        "state_topic": names.state(camera),
        "expire_after": max(1, round(validity.state)),
        "json_attributes_topic": names.state(camera),
        "json_attributes_template": _template(_STATE_ATTRIBUTES),
    }
    name = f"{camera} label of every frame"
    return [state, every_frame | {"unique_id": f"{prefix}-labels", "name": name, "enabled_by_default": False}]


def _camera(prefix: str, camera: str, names: Topics) -> Entity:
    # Not the platform "image", whose state is the time of the newest picture: a row for every frame.
    return {
        "platform": "camera",
        "unique_id": f"{prefix}-camera",
        "name": f"{camera} frame",
        "topic": names.frame(camera),
    }


def _capture_button(prefix: str, camera: str, names: Topics) -> Entity:
    return {
        "platform": "button",
        "unique_id": f"{prefix}-capture",
        "name": f"{camera} capture",
        "icon": "mdi:camera",
        "command_topic": names.capture(camera),
    }


def _problem_sensor(prefix: str, node: str, variant: int | None, names: Topics) -> Entity:
    return {
        "platform": "binary_sensor",
        "unique_id": f"{prefix}-problem",
        "name": f"board ({node})" if variant is None else f"variant {variant} ({node})",
        "device_class": "problem",
        "entity_category": "diagnostic",
        "state_topic": names.presence(node),
        "value_template": _template("'OFF' if {json} and value_json.presence == 'online' else 'ON'"),
        # Repeated every minute: nobody vouches for the board when the fusion node is gone, too.
        "expire_after": round(2.5 * PRESENCE_EVERY_S),
    }


def removal(site: str) -> Outgoing:
    """Return the message that removes a site's device and all its entities from Home Assistant."""
    return Outgoing(config_topic(site), b"", qos=1, retain=True)
