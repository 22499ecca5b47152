"""Discovery as Home Assistant sees it at the broker: after a start, after its birth, and removed."""

from __future__ import annotations

import os
import subprocess
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import Mosquitto
from tests.support.command_line import run_vp
from tests.support.site import SITE, Site
from tests.support.statuses import status_of
from tests.unit.integrations.test_home_assistant import Removed, decode
from vp_mqtt.integrations.home_assistant import BIRTH_TOPIC, config_topic
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import State
from vp_mqtt.protocol.topics import Topics

DOOR = status_of("camera-door", "camera", state=State.STOPPED, camera="door")


def test_a_site_shows_up_is_told_again_after_a_birth_and_is_removed(site: Site) -> None:
    configs: list[mqtt.MQTTMessage] = []
    home = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    home.on_connect = lambda client, *_: client.subscribe("homeassistant/device/+/config", qos=1)
    home.on_message = lambda _client, _data, message: configs.append(message)
    home.connect("127.0.0.1", int(site.url.rpartition(":")[2]))
    home.loop_start()
    try:
        site.start_all([0, 2], "--home-assistant")
        site.probe.publish_frame(FrameId(1, 0))
        site.probe.label_of(FrameId(1, 0))

        def entities() -> set[str]:
            payload = bytes(configs[-1].payload) if configs else b""
            components = decode(payload).components if payload else {}
            return {key for key, one in components.items() if not isinstance(one, Removed)}

        camera = ("label", "labels", "camera", "capture")
        names = (*(f"cam0-{kind}" for kind in camera), "v0-problem", "v2-problem")
        wanted = {f"vp-{SITE}_{name}" for name in names}
        # Every stats message wakes the probe, which looks again.
        site.probe.until(lambda: entities() == wanted, "all entities", 40)
        # A camera whose node has a status is there before its first frame, until the status is cleared.
        door = {f"vp-{SITE}_door-{name}" for name in camera}
        site.probe.publish(Topics(SITE).status("camera-door"), DOOR.encode())
        site.probe.until(lambda: entities() == wanted | door, "the door's camera", 20)
        site.probe.publish(Topics(SITE).status("camera-door"), b"")
        site.probe.until(lambda: entities() == wanted, "the door's camera removed", 20)
        published = len(configs)
        site.probe.publish(BIRTH_TOPIC, b"online")
        site.probe.until(lambda: len(configs) > published, "discovery again", 40)
        assert entities() == wanted
        site.kill("fusion")
        command = [sys.executable, "-m", "vp_mqtt", "home-assistant-remove", "--site", SITE]
        environment = {**os.environ, "VP_BROKER": site.url}
        subprocess.run(command, check=True, timeout=30, env=environment, stdout=subprocess.DEVNULL)
        site.probe.until(lambda: configs[-1].payload == b"", "removal", 20)
        assert configs[-1].topic == config_topic(SITE)
    finally:
        home.disconnect()
        home.loop_stop()


def test_a_broker_that_has_forgotten_everything_is_told_again(broker: Mosquitto, site: Site) -> None:
    configs: list[mqtt.MQTTMessage] = []
    home = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    home.reconnect_delay_set(1, 1)
    home.on_connect = lambda client, *_: client.subscribe(config_topic(SITE), qos=1)
    home.on_message = lambda _client, _data, message: configs.append(message)
    home.connect("127.0.0.1", broker.port)
    home.loop_start()
    try:
        site.start_all([0], "--home-assistant")

        def shows_board() -> bool:
            return bool(configs) and f"vp-{SITE}_v0-problem" in decode(bytes(configs[-1].payload)).components

        site.probe.until(shows_board, "the board", 40)
        broker.stop()
        configs.clear()
        broker.start()
        site.probe.until(shows_board, "the board again", 40)
    finally:
        home.disconnect()
        home.loop_stop()


def test_a_removal_that_the_broker_refuses_is_no_success() -> None:
    broker = Mosquitto()
    rules = broker.folder / "rules"
    rules.write_text("topic read #\n", encoding="utf-8")
    broker.extra = f"acl_file {rules}"
    with broker:
        code, out, err = run_vp("home-assistant-remove", "--broker", broker.url, "--site", "test")
    assert (code, out) == (2, "")
    assert "may not publish to homeassistant/device/vp-test/config" in err
