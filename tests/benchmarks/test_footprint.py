"""`vp bench footprint`: what it counts, and what it prints. No test here looks at how long anything took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from benchmarks.footprint.install_size import OUR_NAME, canonical, dependencies, install_sizes
from benchmarks.footprint.packet_sizes import Packet, PacketListener, next_packet, variable_integer
from benchmarks.footprint.processes import has_mapped, usage_of
from tests.support.broker import Mosquitto
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import connected
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind, Topics

NODES = ("camera", "variant", "fusion")


def vp(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "bench", "footprint", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


# Disk


def test_dependencies_are_followed_without_extras_and_without_what_is_for_other_systems() -> None:
    known = {
        "ours": ["a>=1", "B_b", 'torch>=2; extra == "train"', 'colorama; platform_system == "Nowhere"'],
        "a": ["c[fast]", "ours"],
        "b-b": [],
        "c": ['d; extra == "fast"', 'e; extra == "slow"', "gone"],
        "d": [],
    }

    def requires(name: str) -> list[str]:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    assert dependencies("Ours", requires) == (["ours", "a", "b-b", "c", "d"], ["gone"])
    assert canonical("Opencv_Python.headless") == "opencv-python-headless"


def test_what_is_installed_has_a_size() -> None:
    sizes = install_sizes()
    assert {OUR_NAME, "numpy", "onnxruntime", "opencv-python-headless", "paho-mqtt"} <= sizes.keys()
    assert not {"torch", "onnx", "openvino", "pytest"} & sizes.keys()
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert sizes[OUR_NAME] > 100_000


# The wire


def test_variable_integers_are_read() -> None:
    for value, encoded in ((0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")):
        assert variable_integer(b"x" + encoded, 1) == (value, 1 + len(encoded))
    assert variable_integer(b"\x80", 0) is None
    with pytest.raises(ValueError, match="not an MQTT packet"):
        variable_integer(b"\xff" * 5, 0)


def test_packets_are_reported_apart() -> None:
    publish = b"\x30\x09\x00\x03a/b\x00xyz"
    assert next_packet(publish + b"\xd0\x00") == (11, Packet("a/b", 3, 11))
    assert next_packet(b"\xd0\x00" + publish) == (2, None)
    for length in range(len(publish)):
        assert next_packet(publish[:length]) is None


def test_what_is_counted_is_what_a_message_says_of_itself(broker: Mosquitto) -> None:
    topics = Topics("here")
    messages = [
        Outgoing(topics.vote("cam0", 2), b"v" * 20, correlation=FrameId(1, 2).encode()),
        Outgoing(
            topics.frame("cam0"),
            b"j" * 30_000,
            correlation=FrameId(1, 2).encode(),
            content_type="image/jpeg",
            expiry_s=2,
        ),
        Outgoing("vp/here/else", b"?"),
    ]
    sender = connected(BrokerOptions(url=broker.url), client_id="sender")
    with PacketListener(broker.port, "vp/here/#") as wire, sender as session:
        until = time.monotonic() + 10
        while len(wire.packets) < 3 and time.monotonic() < until:
            # Until the listener's subscription holds, nothing reaches it.
            wire.packets.clear()
            for message in messages:
                session.publish(message)
            time.sleep(0.2)
        sizes = wire.sizes()
    for kind, message in ((Kind.VOTE, messages[0]), (Kind.FRAME, messages[1])):
        assert sizes[kind]["payload_bytes"] == len(message.payload)
        assert sizes[kind]["packet_bytes"] == message.packet_bytes()
    assert sizes.keys() == {Kind.VOTE, Kind.FRAME}


# Processes


def test_the_usage_of_a_process_is_measured() -> None:
    own = usage_of(os.getpid())
    assert own.threads >= 1
    assert 0 < own.pss_mb <= own.rss_mb <= own.peak_mb
    assert has_mapped(os.getpid(), "onnxruntime") == ("onnxruntime" in sys.modules)
    with pytest.raises(UserError, match="cannot be looked at"):
        usage_of(2**30)
    with pytest.raises(UserError, match="cannot be looked at"):
        has_mapped(2**30, "torch")


# The command


def test_the_footprint_is_measured(bundle: Path) -> None:
    arguments = ("--bundle", str(bundle), "--frames", "20", "--fps", "100")
    done = vp(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["variant"] == 5
    assert report["install"]["mb"] > report["install"]["own_mb"] > 0
    assert set(report["import"]) == set(report["processes"]) == set(NODES)
    assert not any(report["import"][node]["torch"] for node in NODES)
    assert report["torch_is_mapped"] is False
    assert 0 < report["bare_cpu_s"] <= report["help_cpu_s"]
    # Both are noisy, and close to each other.
    assert report["libraries_cpu_s"] > 0
    assert report["start_cpu_s"] > 0
    assert report["start_to_online_s"] in report["starts_s"]
    assert report["frames"] >= 20
    for node in NODES:
        assert report["processes"][node]["rss_mb"] > 10
        assert report["processes"][node]["threads"] >= 1
    assert report["wire"]["vote"]["payload_bytes"] == 20  # k = 3
    for kind in ("frame", "announce", "vote", "label"):
        sizes = report["wire"][kind]
        assert sizes["packets"] > 0
        assert sizes["packet_bytes"] > sizes["payload_bytes"] > 0


@pytest.mark.parametrize(
    ("arguments", "report"),
    [
        (["--bundle", "none"], "no bundle at 'none'"),
        (["--variant", "9"], "variant 9: "),
        (["--runtime", "tflite"], "--runtime tflite"),
    ],
)
def test_errors_are_reported_in_one_line(arguments: list[str], report: str) -> None:
    refused = vp(*arguments)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert report in refused.stderr
