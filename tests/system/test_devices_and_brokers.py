"""The files in devices/ and broker/ work as described."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.site import Probe
from vp_mqtt.config.loading import load
from vp_mqtt.config.roles import ROLES
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind

ROOT = Path(__file__).parents[2]
DEVICES = sorted((ROOT / "devices").glob("*.toml"))


@pytest.mark.parametrize("path", DEVICES, ids=lambda path: path.stem)
def test_nodes_accept_the_settings_for_devices(path: Path) -> None:
    tables = [name for name, value in tomllib.loads(path.read_text()).items() if isinstance(value, dict)]
    assert tables
    for table in tables:
        flags = {"variant": 1} if table == "variant" and path.stem == "site" else {}
        settings = load(ROLES[table], flags, path)
        assert settings.site == "home"


def test_a_bridge_carries_labels_states_and_statuses_up_and_nothing_else_and_nothing_down() -> None:
    with Mosquitto() as head_office:
        text = (ROOT / "broker" / "bridge.conf").read_text(encoding="utf-8")
        text = re.sub("^address .*", f"address 127.0.0.1:{head_office.port}", text, flags=re.MULTILINE)
        # Their own test has TLS and accounts; this one is about topics.
        text = re.sub("^(remote_username|remote_password|bridge_cafile) .*\n", "", text, flags=re.MULTILINE)
        text = text.replace("vp/home/", "vp/test/")
        with Mosquitto(text) as site_broker:
            site, head = Probe(site_broker.port), Probe(head_office.port)
            topics = site.topics
            site.client.publish(topics.status("old"), b"{}", qos=1, retain=True)
            sent = {
                topics.frame("cam0"),
                topics.announce("cam0"),
                topics.vote("cam0", 2),
                topics.label("cam0"),
                topics.state("cam0"),
                topics.stats("v0"),
                topics.bundle(),
            }
            head.until(lambda: topics.status("old") in {m.topic for m in head.received}, "a status at the head office")
            for topic in sent:
                site.publish(topic, b"x", FrameId(1, 2).encode())
            up = {topics.label("cam0"), topics.state("cam0"), topics.stats("v0"), topics.status("old")}
            head.until(lambda: {m.topic for m in head.received} >= up, "what goes up")
            # A label with all its properties: what came before it on the one connection is here by now.
            site.publish(topics.label("last"), b"{}", FrameId(1, 3).encode())
            head.until(lambda: topics.label("last") in {m.topic for m in head.received}, "the last label")
            assert {m.topic for m in head.received} == {*up, topics.label("last"), topics.link()}
            assert [m.correlation for m in head.received if m.topic == topics.label("last")] == [FrameId(1, 3).encode()]
            head.publish(topics.label("from-above"), b"x")
            head.publish(topics.bundle(), b"x")
            site.publish(topics.label("round"), b"x")
            site.until(lambda: topics.label("round") in {m.topic for m in site.received}, "its own label")
            assert topics.label("from-above") not in {m.topic for m in site.received}
            site.close()
            head.close()


def test_the_broker_for_a_trusted_network_starts_and_passes_labels() -> None:
    text = (ROOT / "broker" / "mosquitto.conf").read_text(encoding="utf-8")
    text = re.sub("^(listener|allow_anonymous) .*\n", "", text, flags=re.MULTILINE)
    with Mosquitto(text) as broker:
        probe = Probe(broker.port)
        probe.publish(probe.topics.label("cam0"), b"{}")
        probe.until(lambda: probe.of(Kind.LABEL), "the label")
        probe.close()
