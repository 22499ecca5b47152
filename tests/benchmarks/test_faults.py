"""Short runs of `vp bench faults`, as a user makes them: what is promised holds under every kind of fault.

How late a label may be is not asserted: a slow machine would fail. The long runs tell (docs/robustness.md).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.network import BROKER_ADDRESS, BoardNetwork, NoNetworkError, private_network

_FRAMES = 24
_KEPT = ["kill-5", "messages", "clocks", "twin", "disk-full", "flood-announces", "flood-lies", "loss", "cut"]
_LOSING = ["fusion", "broker-kill"]
_NEED_ROOT = {"loss", "cut"}


def _why_no_network() -> str | None:
    try:
        with private_network(), BoardNetwork():
            return None
    except NoNetworkError as error:
        return str(error)


def _measure(name: str, bundle: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "vp_mqtt", "bench", "faults", "--only", name, "--frames", str(_FRAMES)]
    ended = subprocess.run(
        [*command, "--hold", "1", "--bundle", str(bundle), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert ended.returncode == 0, ended.stderr
    (report,) = json.loads(ended.stdout)["faults"]
    assert report["fault"] == name
    return dict(report)


_ECHO = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(10)
    # The first one also finds out addresses.
    for _ in range(2):
        begin = time.monotonic()
        client.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
        client.recv(1)
        print(time.monotonic() - begin)
"""


def test_a_link_delays_packets_of_both_directions() -> None:
    if (reason := _why_no_network()) is not None:
        pytest.skip(f"NOT SHOWN: a link needs a network of its own: {reason}")
    with private_network(), BoardNetwork() as network, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((BROKER_ADDRESS, 0))
        network.impair(Impairment(delay=0.15))

        def echo() -> None:
            for _ in range(2):
                data, sender = server.recvfrom(1)
                server.sendto(data, sender)

        thread = threading.Thread(target=echo)
        thread.start()
        command = [*network.prefix, sys.executable, "-c", _ECHO, BROKER_ADDRESS, str(server.getsockname()[1])]
        times = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
        thread.join(10)
    assert float(times[-1]) >= 0.3


@pytest.mark.parametrize("name", _KEPT)
def test_every_announced_frame_gets_exactly_one_label_in_order(name: str, bundle: Path) -> None:
    if name in _NEED_ROOT and (reason := _why_no_network()) is not None:
        pytest.skip(f"NOT SHOWN: {name} needs a network of its own: {reason}")
    report = _measure(name, bundle)
    assert report["announced"] >= _FRAMES
    assert (report["lost"], report["twice"], report["out_of_order"]) == (0, 0, 0), report
    assert report["labelled"] > 0


@pytest.mark.parametrize("name", _LOSING)
def test_no_label_comes_twice_when_fusion_node_or_broker_come_back(name: str, bundle: Path) -> None:
    report = _measure(name, bundle)
    assert (report["twice"], report["out_of_order"]) == (0, 0), report
    assert report["labelled"] > 0


def test_an_unknown_fault_is_refused_in_one_line(bundle: Path) -> None:
    command = [sys.executable, "-m", "vp_mqtt", "bench", "faults", "--only", "fire", "--bundle", str(bundle)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "there is no such fault" in ended.stderr
    assert "Traceback" not in ended.stderr
