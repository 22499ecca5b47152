"""Home Assistant's discovery, held against its documentation.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery payload), and the pages of the
platforms sensor.mqtt, image.mqtt and binary_sensor.mqtt: the models below know the documented keys that we use, with
their types, and refuse any other.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from vp_mqtt.integrations import home_assistant
from vp_mqtt.integrations.home_assistant import Announcer, config_topic, device_id, discovery

Topic = Annotated[str, Field(min_length=1, max_length=65_535, pattern=r"^[^+#]+$")]
Template = Annotated[str, Field(pattern=r"^\{\{ .* \}\}$")]


class Documented(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Availability(Documented):
    topic: Topic
    payload_available: str = "online"
    payload_not_available: str = "offline"
    value_template: Template | None = None


class Device(Documented):
    identifiers: Annotated[list[str], Field(min_length=1)]
    name: str
    manufacturer: str | None = None
    model: str | None = None
    sw_version: str | None = None


class Origin(Documented):
    name: str
    sw_version: str | None = None
    support_url: str | None = None


class Entity(Documented):
    unique_id: str
    name: str | None = None
    icon: Annotated[str, Field(pattern="^mdi:")] | None = None
    entity_category: Literal["diagnostic", "config"] | None = None
    json_attributes_topic: Topic | None = None
    json_attributes_template: Template | None = None


class Sensor(Entity):
    platform: Literal["sensor"]
    state_topic: Topic
    value_template: Template | None = None
    expire_after: Annotated[int, Field(ge=0)] = 0


class Image(Entity):
    platform: Literal["image"]
    image_topic: Topic
    content_type: str = "image/jpeg"


class BinarySensor(Entity):
    platform: Literal["binary_sensor"]
    state_topic: Topic
    value_template: Template | None = None
    device_class: Literal["problem", "connectivity", "running"] | None = None


class DeviceDiscovery(Documented):
    device: Device
    origin: Origin
    availability: list[Availability]
    components: dict[str, Annotated[Sensor | Image | BinarySensor, Field(discriminator="platform")]]
    qos: Literal[0, 1, 2] = 0


def decode(payload: bytes) -> DeviceDiscovery:
    return DeviceDiscovery.model_validate_json(payload)


def test_a_site_is_described_as_documented() -> None:
    message = discovery("home", "fusion-pi", {"cam0", "door"}, {"v0": 0, "v1": 1}, 5.0)
    assert message.topic == "homeassistant/device/vp-home/config"
    assert message.retain
    config = decode(message.payload)
    kinds = sorted(component.platform for component in config.components.values())
    assert kinds == ["binary_sensor"] * 2 + ["image"] * 2 + ["sensor"] * 2
    assert all(key == component.unique_id for key, component in config.components.items())
    sensor = config.components["vp-home_cam0-label"]
    assert isinstance(sensor, Sensor)
    assert sensor.state_topic == sensor.json_attributes_topic == "vp/home/camera/cam0/label"
    assert sensor.json_attributes_template is not None
    for attribute in ("confidence", "voted", "missing"):
        assert f"value_json.{attribute}" in sensor.json_attributes_template
    problem = config.components["vp-home_v1-problem"]
    assert isinstance(problem, BinarySensor)
    assert problem.state_topic == "vp/home/node/v1/status"
    assert config.availability[0].topic == "vp/home/node/fusion-pi/status"


@pytest.mark.parametrize("site", ["home", "a.b", "a_b", "a-b", "A.b_c-d", "a..b", "a__b", "a_-b", "a._b"])
def test_ids_have_only_the_documented_characters(site: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", device_id(site))


def test_different_sites_have_different_ids() -> None:
    sites = ["a.b", "a_b", "a-b", "a..b", "a__b", "a_-b", "a._b", "a_.b", "ab"]
    assert len({config_topic(site) for site in sites}) == len(sites)


def test_changes_are_announced_once_and_a_birth_is_answered_after_its_wait() -> None:
    announcer = Announcer("home", "fusion", 5.0)
    assert announcer.discovery_if_due(0.0) is not None
    assert announcer.discovery_if_due(1.0) is None
    announcer.note_camera("cam0", 2.0)
    announcer.note_board("v0", 0, 2.0)
    first = announcer.discovery_if_due(2.0)
    assert first is not None
    assert set(decode(first.payload).components) == {"vp-home_cam0-label", "vp-home_cam0-frame", "vp-home_v0-problem"}
    announcer.note_camera("cam0", 3.0)
    announcer.note_board("v0", 0, 3.0)
    assert announcer.discovery_if_due(3.0) is None
    announcer.note_birth(4.0, 2.0)
    assert announcer.discovery_if_due(5.9) is None
    again = announcer.discovery_if_due(6.0)
    assert again == first
    announcer.note_board("v0", None, 7.0)
    gone = announcer.discovery_if_due(7.0)
    assert gone is not None
    assert "vp-home_v0-problem" not in decode(gone.payload).components


def test_the_removal_is_an_empty_retained_message() -> None:
    message = home_assistant.removal("home")
    assert (message.topic, message.payload, message.retain) == ("homeassistant/device/vp-home/config", b"", True)


def test_the_message_is_json() -> None:
    assert json.loads(discovery("home", "fusion", [], {}, 0.2).payload)["components"] == {}
