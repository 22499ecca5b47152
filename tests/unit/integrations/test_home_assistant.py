"""Home Assistant's discovery, held against its documentation.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery payload), and the pages of the
platforms sensor.mqtt, image.mqtt and binary_sensor.mqtt: the models below know the documented keys that we use, with
their types, and refuse any other.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Annotated, Literal

import jinja2
import pytest
from pydantic import BaseModel, ConfigDict, Field

from vp_mqtt.integrations import home_assistant
from vp_mqtt.integrations.home_assistant import (
    Component,
    Validity,
    config_topic,
    device_id,
    discovery,
    entities_of,
    parse_components,
)
from vp_mqtt.protocol.messages import StateMessage, StateReason

VALIDITY = Validity(label=5.0, state=90.0)
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


class Sensor(Entity):
    platform: Literal["sensor"]
    state_topic: Topic
    value_template: Template | None = None
    expire_after: Annotated[int, Field(ge=0)] = 0
    enabled_by_default: bool = True
    json_attributes_topic: Topic | None = None
    json_attributes_template: Template | None = None


class Camera(Entity):
    platform: Literal["camera"]
    topic: Topic


class Button(Entity):
    platform: Literal["button"]
    command_topic: Topic


class BinarySensor(Entity):
    platform: Literal["binary_sensor"]
    state_topic: Topic
    value_template: Template | None = None
    device_class: Literal["problem", "connectivity", "running"] | None = None
    expire_after: Annotated[int, Field(ge=1)] | None = None


class Removed(Documented):
    """A component with its platform only: Home Assistant removes it."""

    platform: Literal["sensor", "camera", "button", "image", "binary_sensor"]


class DeviceDiscovery(Documented):
    device: Device
    origin: Origin
    availability: list[Availability]
    components: dict[str, Annotated[Sensor | Camera | Button | BinarySensor, Field(discriminator="platform")] | Removed]
    qos: Literal[0, 1, 2] = 0


def decode(payload: bytes) -> DeviceDiscovery:
    return DeviceDiscovery.model_validate_json(payload)


def described(
    cameras: set[str], boards: dict[str, int], removed: dict[str, str], validity: Validity = VALIDITY
) -> DeviceDiscovery:
    return decode(discovery("home", "fusion-pi", entities_of("home", cameras, boards, validity), removed).payload)


def test_a_site_is_described_as_documented() -> None:
    message = discovery("home", "fusion-pi", [], {})
    assert message.topic == "homeassistant/device/vp-home/config"
    assert message.retain
    config = described({"cam0", "door"}, {"v0": 0, "v1": 1}, {})
    kinds = sorted(component.platform for component in config.components.values())
    assert kinds == ["binary_sensor"] * 2 + ["button"] * 2 + ["camera"] * 2 + ["sensor"] * 4
    for key, component in config.components.items():
        assert not isinstance(component, Removed)
        assert key == component.unique_id
    sensor = config.components["vp-home_cam0-label"]
    assert isinstance(sensor, Sensor)
    assert sensor.state_topic == sensor.json_attributes_topic == "vp/home/camera/cam0/state"
    assert sensor.expire_after == 90
    camera = config.components["vp-home_cam0-camera"]
    assert isinstance(camera, Camera)
    assert camera.topic == "vp/home/camera/cam0/frame"
    button = config.components["vp-home_cam0-capture"]
    assert isinstance(button, Button)
    assert button.command_topic == "vp/home/camera/cam0/capture"
    problem = config.components["vp-home_v1-problem"]
    assert isinstance(problem, BinarySensor)
    assert problem.state_topic == "vp/home/node/v1/presence"
    assert config.availability[0].topic == "vp/home/node/fusion-pi/status"


def test_no_entity_that_is_on_has_a_state_or_attributes_that_change_with_every_frame() -> None:
    config = described({"cam0"}, {"v0": 0}, {})
    payload = discovery("home", "fusion", entities_of("home", {"cam0"}, {"v0": 0}, VALIDITY), {}).payload.decode()
    assert '"image"' not in payload
    assert "latency" not in payload
    assert "published" not in payload
    every_frame = "vp/home/camera/cam0/label"
    sensors = [one for one in config.components.values() if isinstance(one, Sensor)]
    assert [one.unique_id for one in sensors if one.state_topic == every_frame] == ["vp-home_cam0-labels"]
    for one in sensors:
        assert one.enabled_by_default == (one.state_topic != every_frame)
        assert one.json_attributes_topic != every_frame


def test_without_states_the_sensor_shows_the_labels_and_has_no_attributes() -> None:
    config = described({"cam0"}, {}, {}, Validity(label=5.0, state=None))
    (sensor,) = [one for one in config.components.values() if isinstance(one, Sensor)]
    assert (sensor.unique_id, sensor.state_topic) == ("vp-home_cam0-label", "vp/home/camera/cam0/label")
    assert (sensor.expire_after, sensor.json_attributes_topic, sensor.enabled_by_default) == (5, None, True)


def test_what_is_removed_is_named_by_its_platform_alone() -> None:
    config = described(set(), {"v0": 0}, {"vp-home_v7-problem": "binary_sensor", "vp-home_cam0-frame": "image"})
    assert config.components["vp-home_v7-problem"] == Removed(platform="binary_sensor")
    assert config.components["vp-home_cam0-frame"] == Removed(platform="image")
    assert isinstance(config.components["vp-home_v0-problem"], BinarySensor)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"", {}),
        (b"{}", {}),
        (b"[]", {}),
        (b"\xff", {}),
        (b'{"components": []}', {}),
        (b'{"components": {"a": {"platform": "image"}, "b": {}}}', {}),
        (b'{"components": {"a": {"platform": "image", "x": 1}}}', {"a": "image"}),
        (b'{"components": {"a": {"platform": "image", "state_topic": 7}}}', {"a": "image"}),
        (b"[" * 100_000, {}),
    ],
)
def test_a_discovery_message_that_is_not_ours_is_read_as_nothing(payload: bytes, found: dict[str, str]) -> None:
    assert {key: one.platform for key, one in parse_components("home", payload).items()} == found


def test_the_components_of_our_own_message_are_read() -> None:
    message = discovery("home", "fusion", entities_of("home", {"cam0"}, {"v0": 0}, VALIDITY), {"old": "image"})
    assert parse_components("home", message.payload) == {
        "old": Component("image"),
        "vp-home_cam0-label": Component("sensor"),
        "vp-home_cam0-labels": Component("sensor"),
        "vp-home_cam0-camera": Component("camera"),
        "vp-home_cam0-capture": Component("button"),
        "vp-home_v0-problem": Component("binary_sensor", "v0"),
    }
    assert parse_components("other", message.payload)["vp-home_v0-problem"] == Component("binary_sensor")


STATE = StateMessage(
    camera="cam0",
    label="open",
    since=1000.0,
    previous=None,
    confidence=0.75,
    agreeing=(0, 2),
    reason=StateReason.LABELS,
    published=1200.0,
    valid_for_s=90.0,
    bundle="door",
)
ATTRIBUTES = {"since": "time 1000", "previous": "unknown", "confidence": 0.75, "agreeing": [0, 2], "reason": "labels"}
VALUES: dict[str, dict[str, object]] = {
    "label": {
        '{"label": "cup"}': "cup",
        '{"label": null}': "unknown",
        f'{{"label": "{"x" * 300}"}}': "x" * 255,
        "": "unknown",
        "no json": "unknown",
    },
    "attributes": {
        STATE.encode().decode(): ATTRIBUTES,
        STATE.model_copy(update={"published": 1230.0}).encode().decode(): ATTRIBUTES,
        STATE.model_copy(update={"previous": "<it's>"}).encode().decode(): {**ATTRIBUTES, "previous": "<it's>"},
        '{"label": null}': {},
        "": {},
        "[]": {},
    },
    "problem": {
        '{"presence": "online"}': "OFF",
        '{"presence": "silent"}': "ON",
        '{"presence": "offline"}': "ON",
        "": "ON",
        "[]": "ON",
    },
    "availability": {'{"state": "online"}': "online", '{"state": "stopped"}': "offline", "": "offline", "7": "offline"},
}


@pytest.mark.parametrize(
    ("what", "payload"), [(what, payload) for what, values in VALUES.items() for payload in values]
)
def test_templates_stand_every_payload(what: str, payload: str) -> None:
    config = described({"cam0"}, {"v0": 0}, {})
    template = config.availability[0].value_template
    if what != "availability":
        component = config.components["vp-home_v0-problem" if what == "problem" else "vp-home_cam0-label"]
        assert isinstance(component, Sensor | BinarySensor)
        template = component.value_template
        if what == "attributes":
            assert isinstance(component, Sensor)
            template = component.json_attributes_template
    assert template is not None
    variables: dict[str, object] = {"value": payload}
    with contextlib.suppress(ValueError):
        variables["value_json"] = json.loads(payload)
    # As Home Assistant does, but an undefined variable is an error.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["timestamp_local"] = lambda seconds: f"time {seconds:g}"
    rendered = environment.from_string(template).render(variables)
    expected = VALUES[what][payload]
    assert (json.loads(rendered) if what == "attributes" else rendered) == expected


@pytest.mark.parametrize("site", ["home", "a.b", "a_b", "a-b", "A.b_c-d", "a..b", "a__b", "a_-b", "a._b"])
def test_ids_have_only_the_documented_characters(site: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", device_id(site))


def test_different_sites_have_different_ids() -> None:
    sites = ["a.b", "a_b", "a-b", "a..b", "a__b", "a_-b", "a._b", "a_.b", "ab"]
    assert len({config_topic(site) for site in sites}) == len(sites)


def test_the_removal_is_an_empty_retained_message() -> None:
    message = home_assistant.removal("home")
    assert (message.topic, message.payload, message.retain) == ("homeassistant/device/vp-home/config", b"", True)


def test_the_message_is_json() -> None:
    assert json.loads(discovery("home", "fusion", [], {}).payload)["components"] == {}


def test_the_message_of_the_largest_site_with_the_longest_names_fits_the_packet_that_the_broker_is_asked_for() -> None:
    # Each underscore counts twice in an id.
    names = [f"{number:03}".ljust(64, "_") for number in range(512)]
    site = "s".ljust(64, "_")
    boards = dict.fromkeys(names[:256], 9999)
    entities = entities_of(site, names[:256], boards, VALIDITY)
    gone = entities_of(site, (), dict.fromkeys(names[256:], 9999), VALIDITY)
    removed = {str(one["unique_id"]): "binary_sensor" for one in gone}
    message = discovery(site, names[0], entities, removed)
    assert message.fits(home_assistant.MAX_PACKET_BYTES)
    assert len(parse_components(site, message.payload)) == 256 * 4 + 512
