"""docs/asyncapi.yaml against what nodes publish on a real broker, and what they accept from a client built from it."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support.broker import Mosquitto
from tests.support.command_line import run_vp
from tests.support.site import SITE, Site, picture
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind

ROOT = Path(__file__).parents[2]
Document = dict[str, Any]
JSON = {"announce", "label", "state", "status", "stats", "presence", "bundle"}


@pytest.fixture(scope="module")
def document() -> Document:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
    return loaded


def kind_of(topic: str, document: Document) -> str:
    """Return the channel that a topic belongs to."""
    for name, channel in document["channels"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", channel["address"]), topic):
            return str(name)
    raise AssertionError(topic)


@dataclass
class Recorder:
    """Every message of a site, with its flags and properties as the broker passes them on."""

    messages: list[mqtt.MQTTMessage] = field(default_factory=list)
    subscribed: threading.Event = field(default_factory=threading.Event)
    _change: threading.Condition = field(default_factory=threading.Condition)

    def record(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._change:
            self.messages.append(message)
            self._change.notify_all()

    def await_state(self, state: str) -> mqtt.MQTTMessage:
        """Wait until the last message says this state, and return it."""
        with self._change:
            said = f'"state":"{state}"'.encode()
            assert self._change.wait_for(lambda: self.messages and said in self.messages[-1].payload, 20), state
            return self.messages[-1]


@pytest.fixture
def recorder(broker: Mosquitto) -> Iterator[Recorder]:
    found = Recorder()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "recorder", protocol=mqtt.MQTTv5)
    client.on_message = found.record
    client.on_subscribe = lambda *_: found.subscribed.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(f"vp/{SITE}/#", options=SubscribeOptions(qos=2, retainAsPublished=True))
    assert found.subscribed.wait(5)
    yield found
    client.disconnect()
    client.loop_stop()


def check(message: mqtt.MQTTMessage, document: Document) -> str:
    """Check a message against the document; return its kind."""
    name = kind_of(message.topic, document)
    described = document["components"]["messages"][name]
    binding = described.get("bindings", {}).get("mqtt", {})
    operation = document["operations"][f"send-{name}"]["bindings"]["mqtt"]
    properties: dict[str, Any] = message.properties.json() if message.properties is not None else {}  # type: ignore[no-untyped-call]
    assert (message.qos, message.retain) == (operation["qos"], operation["retain"]), message.topic
    assert properties.get("ContentType") == binding.get("contentType") == described.get("contentType")
    assert ("CorrelationData" in properties) == ("correlationData" in binding)
    if "correlationData" in binding:
        assert len(properties["CorrelationData"]) // 2 == binding["correlationData"]["maxLength"]
    expiry = operation.get("messageExpiryInterval")
    assert ("MessageExpiryInterval" in properties) == (expiry is not None)
    if isinstance(expiry, int):
        # The broker counts down.
        assert expiry - 1 <= properties["MessageExpiryInterval"] <= expiry
    if name in JSON:
        assert set(json.loads(message.payload)) <= set(described["payload"]["properties"])
        assert set(described["payload"].get("required", [])) <= set(json.loads(message.payload))
    return name


def test_everything_that_nodes_publish_is_as_described(
    site: Site, recorder: Recorder, picture_folder: Path, document: Document
) -> None:
    site.start_all([0, 1], "--stats-every", "0.3", "--home-assistant", "--state-labels", "1")
    site.start("camera", "camera", "--source", str(picture_folder), "--fps", "10")
    code, _, err = run_vp("push", str(site.bundle), "--broker", site.url, "--site", SITE, "--taken-within", "0")
    assert code in {0, 1}, err
    # People publish the settings, with the page; the link is that of brokers.
    kinds = set(document["channels"]) - {"fusion-settings", "camera-settings", "link"}

    site.probe.publish(site.probe.topics.capture("cam0"), b"snapshot")

    def seen() -> set[str]:
        return {kind_of(message.topic, document) for message in list(recorder.messages)}

    site.probe.until(lambda: seen() >= kinds, "a message of every kind", 20)
    assert {check(message, document) for message in list(recorder.messages) if message.payload} == kinds


def test_the_will_is_as_described(site: Site, recorder: Recorder, document: Document) -> None:
    site.start_variant(0)
    site.await_online("v0")
    site.signal("v0", signal.SIGKILL)
    last = recorder.await_state("offline")
    will = document["servers"]["site"]["bindings"]["mqtt"]["lastWill"]
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", will["topic"]), last.topic)
    assert (last.qos, last.retain) == (will["qos"], will["retain"])
    assert json.loads(last.payload)["state"] == json.loads(will["message"])["state"] == "offline"
    check(last, document)


class Described:
    """A client that knows nothing but the document."""

    def __init__(self, port: int, document: Document) -> None:
        self._document = document
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "stranger", protocol=mqtt.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, name: str, payload: bytes, correlation: bytes, **parameters: str) -> None:
        binding = self._document["components"]["messages"][name]["bindings"]["mqtt"]
        operation = self._document["operations"][f"send-{name}"]["bindings"]["mqtt"]
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if "contentType" in binding:
            properties.ContentType = binding["contentType"]
        if "correlationData" in binding:
            properties.CorrelationData = correlation
        if "messageExpiryInterval" in operation:
            properties.MessageExpiryInterval = operation["messageExpiryInterval"]
        topic = self._document["channels"][name]["address"].format(site=SITE, **parameters)
        sent = self._client.publish(topic, payload, operation["qos"], operation["retain"], properties)
        sent.wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_client_built_from_the_document_is_not_refused(site: Site, broker: Mosquitto, document: Document) -> None:
    site.start_all([0, 1], "--stats-every", "0.2")
    camera = Described(broker.port, document)
    try:
        for sequence in range(3):
            frame = FrameId(9, sequence)
            example = document["components"]["messages"]["announce"]["examples"][0]["payload"]
            announce = {**example, "frame": str(frame), "truth": None}
            site.probe.received.clear()
            camera.send("frame", encode_jpeg(picture("blue"), 90), frame.encode(), camera="door")
            camera.send("announce", json.dumps(announce).encode(), frame.encode(), camera="door")
            label = site.probe.label_of(frame)
            assert (label.camera, label.label) == ("door", "blue")
            assert label.voted
        (vote, *_) = site.probe.until(
            lambda: [message for message in site.probe.of(Kind.VOTE) if message.topic.endswith("/0")], "a vote of 0"
        )
        for _ in range(10):
            camera.send("vote", vote.payload, FrameId(9, 0).encode(), camera="door", variant="0")

        def dropped() -> int:
            counts = site.probe.stats("fusion")
            return counts.get("late", 0) + counts.get("duplicate_votes", 0)

        site.probe.until(lambda: dropped() >= 10, "the votes are read, and dropped")
        assert site.probe.stats("fusion").get("refused", 0) == 0
        assert site.probe.stats("v0").get("refused", 0) == 0
    finally:
        camera.close()
