"""What nodes report to systemd, over a real datagram socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.site import Site
from vp_mqtt.protocol.frames import FrameId

_TIMEOUT_S = 2.0
# A decoder that hangs at its third picture, as a driver may.
_HANGING = """
import time
from vp_mqtt.inference import pictures
_decode, _calls = pictures.decode, []
def _hanging(*arguments, **named):
    _calls.append(arguments)
    if len(_calls) == 3:
        time.sleep(1000)
    return _decode(*arguments, **named)
pictures.decode = _hanging
"""
# A network's thread that stays in the first message, the node's own status.
_DEAF = """
import time
from vp_mqtt.nodes.base import Node
Node._receive = lambda *_: time.sleep(1000)
"""


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(_TIMEOUT_S * 1e6)),
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.environment["NOTIFY_SOCKET"])

    def next(self, timeout: float) -> str | None:
        """Return the next message, None if none comes within so many seconds."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(1000).decode()
        except TimeoutError:
            return None

    def pings(self, seconds: float) -> int:
        """Count the pings within so many seconds."""
        end = time.monotonic() + seconds
        messages = []
        while time.monotonic() < end:
            messages.append(self.next(max(0.01, end - time.monotonic())))
        assert set(messages) <= {"WATCHDOG=1", None}
        return messages.count("WATCHDOG=1")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listener = Systemd(tmp_path)
    yield listener
    listener.close()


def test_a_node_is_ready_once_online_and_healthy_while_idle_and_while_the_broker_is_away(
    site: Site, broker: Mosquitto, systemd: Systemd
) -> None:
    site.start("v0", "node", "--variant", "0", "--bundle", str(site.bundle), environment=systemd.environment)
    assert systemd.next(30) == "READY=1"
    site.await_online("v0")
    assert systemd.pings(2 * _TIMEOUT_S) >= 2
    broker.stop()
    assert systemd.pings(2 * _TIMEOUT_S) >= 2


def test_a_node_that_finds_no_broker_is_not_ready(site: Site, systemd: Systemd) -> None:
    site.start(
        "lost",
        *("node", "--variant", "0", "--bundle", str(site.bundle), "--broker", "mqtt://127.0.0.1:9"),
        environment=systemd.environment,
    )
    site.await_log("lost", "trying until it is there", timeout=30)
    assert systemd.next(2) is None


def test_pings_end_when_the_work_hangs(site: Site, systemd: Systemd, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_HANGING, encoding="utf-8")
    environment = systemd.environment | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    site.start("v0", "node", "--variant", "0", "--bundle", str(site.bundle), environment=environment)
    site.await_online("v0")
    assert systemd.next(30) == "READY=1"
    for sequence in range(3):
        assert systemd.pings(_TIMEOUT_S) >= 1
        site.probe.publish_frame(FrameId(1, sequence), "red")
    # It may be half of the timeout until that is noticed.
    systemd.pings(_TIMEOUT_S)
    assert systemd.pings(2 * _TIMEOUT_S) == 0


def test_pings_end_when_the_network_hangs(site: Site, systemd: Systemd, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_DEAF, encoding="utf-8")
    environment = systemd.environment | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    site.start("v0", "node", "--variant", "0", "--bundle", str(site.bundle), environment=environment)
    assert systemd.next(30) == "READY=1"
    systemd.pings(_TIMEOUT_S)
    assert systemd.pings(_TIMEOUT_S) == 0


def test_a_node_that_ends_reports_it(site: Site, systemd: Systemd) -> None:
    site.start_fusion()
    site.start(
        "cam",
        *("camera", "--source", "samples", "--frames", "3", "--fps", "5"),
        environment=systemd.environment,
    )
    assert systemd.next(30) == "READY=1"
    assert site.wait("cam", 30) == 0
    messages = iter(lambda: systemd.next(1), None)
    assert set(messages) <= {"WATCHDOG=1", "STOPPING=1"}
