from __future__ import annotations

import itertools

import pytest

from tests.unit.integrations.test_home_assistant import BinarySensor, DeviceDiscovery, Removed, decode
from vp_mqtt.integrations.announcer import Announcer
from vp_mqtt.integrations.home_assistant import Validity, discovery, entities_of
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol.presence import Presence, PresenceMessage

SETTLED = 3.0

VALIDITY = Validity(label=5.0, state=90.0)


def announcer(now: float = 0.0) -> Announcer:
    return Announcer("home", "fusion", VALIDITY, now)


def configs(messages: list[Outgoing]) -> list[DeviceDiscovery]:
    return [decode(message.payload) for message in messages if message.topic.startswith("homeassistant/")]


def presences(messages: list[Outgoing]) -> dict[str, str]:
    found = {}
    for message in messages:
        if message.topic.endswith("/presence"):
            assert message.retain
            node = message.topic.split("/")[3]
            found[node] = PresenceMessage.decode(message.payload).presence if message.payload else ""
    return found


def test_changes_are_announced_once_and_a_birth_is_answered_after_its_wait() -> None:
    home = announcer()
    assert home.messages_due(SETTLED - 0.1) == []
    assert len(configs(home.messages_due(SETTLED))) == 1
    assert home.messages_due(SETTLED + 1) == []
    home.note_camera("cam0", 5.0)
    home.note_board("v0", 0, 12.5)
    assert home.messages_due(SETTLED + 9.9) == []
    (first,) = configs(home.messages_due(SETTLED + 10))
    assert set(first.components) == {
        f"vp-home_{name}" for name in ("cam0-label", "cam0-labels", "cam0-camera", "cam0-capture", "v0-problem")
    }
    home.note_camera("cam0", 16.0)
    home.note_board("v0", 0, 16.0)
    assert configs(home.messages_due(40.0)) == []
    home.note_birth(41.0, 2.0)
    assert home.messages_due(42.9) == []
    assert configs(home.messages_due(43.0)) == [first]


def test_messages_keep_a_distance_and_gather_what_changes_at_once() -> None:
    home = announcer()
    sent = []
    for tenth in range(600):
        now = tenth / 10
        if tenth % 7 == 0:
            home.note_board(f"v{tenth}", tenth, now)
        sent += [now for message in home.messages_due(now) if message.topic.startswith("homeassistant/")]
    assert len(sent) == 6
    assert all(later - earlier >= 10.0 for earlier, later in itertools.pairwise(sent))
    home = announcer()
    home.messages_due(SETTLED)
    home.note_board("v0", 0, 100.0)
    home.note_board("v1", 1, 100.9)
    assert home.messages_due(100.9) == []
    (config,) = configs(home.messages_due(101.0))
    assert len(config.components) == 2


def test_a_board_that_is_gone_for_good_is_removed_by_its_platform_and_so_is_a_camera() -> None:
    home = announcer()
    home.note_board("v0", 0, 0.0)
    home.note_board("v1", 1, 0.0)
    home.note_camera_node("camera-0", ["cam0.left", "cam1"], 0.0)
    home.note_camera_node("camera-1", ["cam1"], 0.0)
    home.note_camera_node("camera-2", ["cam1"], 0.0)
    home.note_presence("v1", Presence.ONLINE)
    assert presences(home.messages_due(SETTLED)) == {"v1": "online"}
    home.note_camera("door", 5.0)
    for gone in ("v1", "camera-0", "camera-1", "nobody"):
        home.forget_node(gone, 5.0)
    messages = home.messages_due(SETTLED + 10)
    (config,) = configs(messages)
    assert presences(messages) == {"v1": ""}
    removed = {key for key, component in config.components.items() if isinstance(component, Removed)}
    of_camera = {f"vp-home_cam0_-left-{name}" for name in ("label", "labels", "camera", "capture")}
    assert removed == {"vp-home_v1-problem", *of_camera}
    home.note_board("v1", 1, 20.0)
    (config,) = configs(home.messages_due(SETTLED + 20))
    assert not isinstance(config.components["vp-home_v1-problem"], Removed)


def test_regions_that_a_camera_node_no_longer_has_are_removed_but_not_because_of_its_will() -> None:
    home = announcer()
    home.note_camera_node("camera-0", ["left", "right"], 0.0)
    home.note_camera_node("camera-1", ["right"], 0.0)
    home.messages_due(SETTLED)
    home.note_camera_node("camera-0", ["cam0"], 5.0, is_online=False)
    assert home.messages_due(SETTLED + 10) == []
    home.note_camera_node("camera-0", ["middle"], 20.0)
    (config,) = configs(home.messages_due(30.0))
    removed = {key for key, component in config.components.items() if isinstance(component, Removed)}
    assert removed == {f"vp-home_left-{name}" for name in ("label", "labels", "camera", "capture")}
    assert {key for key in config.components if key.endswith("-labels")} - removed == {
        "vp-home_middle-labels",
        "vp-home_right-labels",
    }


def test_what_a_fusion_node_before_us_announced_and_nobody_names_is_removed() -> None:
    home = announcer()
    former = discovery("home", "fusion", entities_of("home", {"cam0"}, {"v0": 0, "v9": 9}, VALIDITY), {"x": "image"})
    home.adopt(former.payload)
    home.note_board("v0", 0, 1.0)
    home.note_camera("cam0", 1.0)
    assert home.messages_due(SETTLED - 0.1) == []
    messages = home.messages_due(SETTLED)
    (config,) = configs(messages)
    assert presences(messages) == {"v9": ""}
    removed = {key: one.platform for key, one in config.components.items() if isinstance(one, Removed)}
    assert removed == {"vp-home_v9-problem": "binary_sensor", "x": "image"}
    home.adopt(b"no discovery message")


def test_a_board_is_one_entity_whether_it_has_a_variant_or_waits_for_one() -> None:
    home = announcer()
    home.note_board("v0", None, 0.0)
    for now, variant, name in ((SETTLED, 2, "board (v0)"), (20.0, None, "variant 2 (v0)"), (40.0, None, "board (v0)")):
        (config,) = configs(home.messages_due(now))
        (entity,) = config.components.values()
        assert isinstance(entity, BinarySensor)
        assert entity.name == name
        home.note_board("v0", variant, now)
    assert configs(home.messages_due(55.0)) == []


def test_presence_is_published_when_it_changes_and_every_minute() -> None:
    home = announcer()
    home.note_board("v0", 0, 0.0)
    home.note_presence("v0", Presence.ONLINE)
    home.note_presence("stranger", Presence.ONLINE)
    assert presences(home.messages_due(SETTLED)) == {"v0": "online"}
    home.note_presence("v0", Presence.ONLINE)
    assert home.messages_due(10.0) == []
    home.note_presence("v0", Presence.SILENT)
    assert home.next_due() == 0.0
    assert presences(home.messages_due(11.0)) == {"v0": "silent"}
    assert home.next_due() == 60.0
    assert home.messages_due(59.9) == []
    assert presences(home.messages_due(60.0)) == {"v0": "silent"}
    assert home.next_due() == 120.0


def test_messages_without_a_connection_are_due_again_in_a_second() -> None:
    home = announcer()
    home.note_board("v0", 0, 0.0)
    home.note_presence("v0", Presence.ONLINE)
    home.publish_due(SETTLED, lambda _: None, is_connected=lambda: False)
    assert home.messages_due(SETTLED + 0.9) == []
    sent: list[Outgoing] = []

    def publish(message: Outgoing) -> bool:
        sent.append(message)
        return True

    home.publish_due(SETTLED + 1.0, publish, is_connected=lambda: True)
    assert len(configs(sent)) == 1
    assert presences(sent) == {"v0": "online"}
    home.publish_due(SETTLED + 2.0, publish, is_connected=lambda: True)
    assert len(sent) == 2


def test_a_presence_that_is_cleared_without_a_connection_is_cleared_with_the_next_one_and_once() -> None:
    home = announcer()
    sent: list[Outgoing] = []

    def publish(message: Outgoing) -> bool:
        sent.append(message)
        return True

    home.note_board("v0", 0, 0.0)
    home.note_presence("v0", Presence.ONLINE)
    home.publish_due(SETTLED, publish, is_connected=lambda: True)
    home.forget_node("v0", 20.0)
    home.publish_due(20.0, lambda _: None, is_connected=lambda: False)
    sent.clear()
    for now in range(21, 400):
        home.publish_due(float(now), publish, is_connected=lambda: True)
    assert [one.payload for one in sent if one.topic.endswith("/presence")] == [b""]


def test_all_is_told_again_to_a_broker_that_may_have_forgotten_it() -> None:
    home = announcer()
    home.note_connection(0.2)
    home.note_board("v0", 0, 1.0)
    home.note_presence("v0", Presence.ONLINE)
    assert home.messages_due(SETTLED) == []
    # What the broker retains has come.
    assert len(configs(home.messages_due(SETTLED + 0.2))) == 1
    for connected, told in ((5.0, SETTLED + 10.2), (50.0, 53.0)):
        home.note_connection(connected)
        assert home.messages_due(told - 0.1) == []
        messages = home.messages_due(told)
        assert (len(configs(messages)), presences(messages)) == (1, {"v0": "online"})
    # Home Assistant that has just started is not ready sooner.
    home.note_birth(100.0, 9.0)
    home.note_connection(101.0)
    assert configs(home.messages_due(108.9)) == []
    assert len(configs(home.messages_due(109.0))) == 1


def test_a_discovery_message_that_is_too_large_is_tried_once_a_minute_said_once_and_delays_no_presence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    home = announcer()
    tried: list[tuple[float, Outgoing]] = []
    for number in range(3):
        home.note_board(f"v{number}", number, 0.0)
        home.note_presence(f"v{number}", Presence.ONLINE)

    def publish(message: Outgoing) -> bool | None:
        tried.append((now, message))
        return None if message.topic.startswith("homeassistant/") and now < 180 else True

    for tenth in range(3000):
        now = tenth / 10
        if tenth == 500:
            home.note_presence("v1", Presence.SILENT)
        home.publish_due(now, publish, is_connected=lambda: True)
    assert [now for now, message in tried if configs([message])] == [
        SETTLED,
        SETTLED + 60,
        SETTLED + 120,
        SETTLED + 180,
    ]
    said = [(now, presences([message])) for now, message in tried if presences([message])]
    every_minute = [SETTLED, 60.0, 120.0, 180.0, 240.0]
    assert [now for now, one in said if "v0" in one] == every_minute
    assert (50.0, {"v1": "silent"}) in said
    assert len(said) == 3 * len(every_minute) + 1
    (record,) = caplog.records
    assert "Home Assistant does not hear of 0 cameras and 3 boards" in record.message


def test_a_flood_of_names_is_bounded() -> None:
    home = announcer()
    for number in range(2000):
        home.note_board(f"v{number}", number, 0.0)
        home.note_camera(f"c{number}", 0.0)
        home.note_presence(f"v{number}", Presence.ONLINE)
    messages = home.messages_due(SETTLED)
    (config,) = configs(messages)
    assert len(config.components) == 256 * 5
    assert len(presences(messages)) == 256
