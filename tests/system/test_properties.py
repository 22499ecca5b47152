"""MQTT properties that stop paho's network thread, or end its connections, and do neither to a node."""

from __future__ import annotations

import time

from tests.support.broker import Mosquitto
from tests.support.raw_client import raw_client
from tests.support.scripted_broker import publish_packet, text
from tests.support.site import SITE, Site
from vp_mqtt.protocol.frames import FrameId

_USER_PROPERTY = b"\x26\0\0\0\0"
# MQTT allows a byte order mark (1.5.4), and Mosquitto passes it on; paho takes it for malformed.
_CONTENT_TYPE_WITH_BOM = b"\x03" + text("\ufefftext".encode())
_FRAME = f"vp/{SITE}/camera/evil/frame".encode()
_STATUS = f"vp/{SITE}/node/evil/status".encode()
_REFUSED = "refused: more than 1024 bytes of properties"


def test_no_property_delays_a_node_or_ends_its_connection(site: Site, broker: Mosquitto) -> None:
    site.start_all([0])
    # The probe is a paho client without our defence.
    for topic in (f"vp/{SITE}/camera/+/label", f"vp/{SITE}/node/+/stats"):
        site.probe.client.subscribe(topic, qos=1)
    site.probe.client.unsubscribe("vp/#")
    site.probe.publish("other", b"")  # once it is acknowledged, the broker has unsubscribed the probe
    with raw_client(broker.port) as attacker:
        attacker.sendall(publish_packet(_FRAME, b"x", _USER_PROPERTY * 140_000))
        attacker.sendall(publish_packet(_FRAME, b"x", _CONTENT_TYPE_WITH_BOM))
        attacker.sendall(publish_packet(_STATUS, b"x", _CONTENT_TYPE_WITH_BOM))
        for sequence in range(5):
            attacker.sendall(publish_packet(_STATUS, b"{}", _USER_PROPERTY * 13_000) * 4)
            # Of these, the broker knows that the fusion node takes them.
            attacker.sendall(publish_packet(_STATUS, b"{}", _USER_PROPERTY * 1_000) * 4)
            started = time.monotonic()
            site.probe.publish_frame(FrameId(1, sequence), "green")
            assert site.probe.label_of(FrameId(1, sequence)).label == "green"
            assert time.monotonic() - started < 2
        site.probe.until(lambda: site.probe.stats("fusion").get(_REFUSED, 0) >= 20, "refused by fusion")
        site.probe.until(lambda: site.probe.stats("v0").get("refused") == 2, "refused by the variant")
    assert site.probe.stats("v0")[_REFUSED] == 1
    for name in ("fusion", "v0"):
        assert "lost the broker" not in site.log(name)
