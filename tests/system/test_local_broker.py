from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as mqtt
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.broker import Mosquitto
from vp_mqtt.errors import UserError
from vp_mqtt.local import broker_process, mosquitto, ports
from vp_mqtt.local.broker import BrokerInfo, LocalBroker
from vp_mqtt.local.ports import connect_code, is_free

Kind = Literal["embedded", "mosquitto"]
KINDS: list[Kind] = ["mosquitto", "embedded"]

each_kind = pytest.mark.parametrize("kind", KINDS)

# Starts a broker, prints where it is, and on Ctrl-C prints whether it still answers.
PARENT = """
import signal, sys, time
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.local.ports import connect_code
# A shell that puts the tests into the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
with LocalBroker.find(sys.argv[1]) as broker:
    process = broker._process
    try:
        print(process.port, process.guard_pid, process._folder, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)
        print(connect_code(process.port), flush=True)
"""


def until(condition: Callable[[], bool], timeout: float = 30) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(processes: list[Any]) -> bool:
    """Ended, even where the init process leaves orphans as zombies."""
    running = [process for process in processes if process.is_running()]
    return all(process.status() == psutil.STATUS_ZOMBIE for process in running)


def family(broker: LocalBroker) -> list[Any]:
    """The guard and the broker itself."""
    guard = psutil.Process(broker._process.guard_pid)
    return [guard, *guard.children(recursive=True)]


def port_of(broker: LocalBroker) -> int:
    return int(broker.url.rpartition(":")[2])


def fake_mosquitto(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "mosquitto"
    program.write_text(f'#!/bin/sh\nif [ "$1" = -h ]; then echo "mosquitto version 9.8.7"; exit 3; fi\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def hide_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosquitto, "find_mosquitto", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@each_kind
def test_passes_messages_on_with_their_mqtt_5_properties(kind: Kind) -> None:
    got: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _data, message: got.put(message)
    client.on_subscribe = lambda *_: subscribed.set()
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = b"\x00\x01frame"
    properties.ContentType = "image/jpeg"
    properties.MessageExpiryInterval = 30
    properties.UserProperty = [("bundle", "abc")]
    with LocalBroker.find(kind) as broker:
        client.connect("127.0.0.1", port_of(broker))
        client.loop_start()
        client.subscribe("vp/test/#", qos=1)
        assert subscribed.wait(5)
        client.publish("vp/test/frame", b"x" * 100_000, qos=1, properties=properties)
        message = got.get(timeout=30)
        client.disconnect()
        client.loop_stop()
    assert message.topic == "vp/test/frame"
    assert message.payload == b"x" * 100_000
    received: Any = message.properties
    assert received.CorrelationData == b"\x00\x01frame"
    assert received.ContentType == "image/jpeg"
    assert 25 <= received.MessageExpiryInterval <= 30
    assert received.UserProperty == [("bundle", "abc")]


@each_kind
def test_names_itself_with_the_version_of_program_or_package(kind: Kind) -> None:
    info = LocalBroker.find(kind).info
    if kind == "embedded":
        assert info == BrokerInfo("iotcore", importlib.metadata.version("iotcore"))
    else:
        assert info.name == "mosquitto"
        assert info.version.split(".")[0].isdigit()


def test_auto_prefers_mosquitto_and_falls_back_to_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LocalBroker.find().info.name == "mosquitto"
    monkeypatch.setattr(mosquitto, "find_mosquitto", lambda: None)
    with LocalBroker.find() as broker:
        assert broker.info.name == "iotcore"
        assert connect_code(port_of(broker)) == 0


@each_kind
def test_listens_on_loopback_only(kind: Kind) -> None:
    with LocalBroker.find(kind) as broker:
        links = [link for process in family(broker) for link in process.net_connections(kind="inet")]
        listening = {tuple(link.laddr) for link in links if link.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", port_of(broker))}
        # Datagram sockets have no state: there should be none.
        assert all(link.type == socket.SOCK_STREAM for link in links)


@each_kind
def test_stops_and_leaves_nothing_behind_even_after_an_error(kind: Kind) -> None:
    def run() -> None:
        with LocalBroker.find(kind) as broker:
            started.extend(family(broker))
            ports.append(port_of(broker))
            folders.append(broker._process._folder)
            assert folders[0].is_dir()
            raise ZeroDivisionError

    started: list[Any] = []
    ports: list[int] = []
    folders: list[Path] = []
    with pytest.raises(ZeroDivisionError):
        run()
    assert len(started) == 2
    assert not any(process.is_running() for process in started)
    assert is_free(ports[0])
    assert not folders[0].exists()


@each_kind
def test_a_broker_that_ignores_the_request_to_stop_is_killed(kind: Kind) -> None:
    with LocalBroker.find(kind) as broker:
        started = family(broker)
        started[1].suspend()
    assert not any(process.is_running() for process in started)


@each_kind
def test_ends_with_its_parent_even_if_that_is_killed(kind: Kind) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, kind], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port, guard, folder = parent.stdout.readline().split()
        started = [psutil.Process(int(guard)), *psutil.Process(int(guard)).children()]
        assert len(started) == 2
        assert connect_code(int(port)) == 0
        parent.kill()
    assert until(lambda: gone(started))
    assert until(lambda: not Path(folder).exists())


@each_kind
def test_ctrl_c_in_the_terminal_does_not_reach_it(kind: Kind) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, kind], stdout=subprocess.PIPE, text=True, process_group=0
    ) as parent:
        assert parent.stdout is not None
        guard = int(parent.stdout.readline().split()[1])
        # What a terminal does: to every process of the foreground group at once.
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline().strip() == "0"
    assert parent.returncode == 0
    assert not psutil.pid_exists(guard)


def test_outlives_the_thread_that_started_it() -> None:
    broker = LocalBroker.find("mosquitto")
    thread = threading.Thread(target=broker.__enter__)
    thread.start()
    thread.join()
    try:
        time.sleep(0.3)
        assert connect_code(port_of(broker)) == 0
    finally:
        broker.__exit__(None, None, None)


@each_kind
def test_a_port_taken_in_the_meantime_makes_it_try_another(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        in_turn = iter([taken, taken])
        free = ports.free_port
        monkeypatch.setattr(ports, "free_port", lambda: next(in_turn, None) or free())
        with LocalBroker.find(kind) as broker:
            assert port_of(broker) != taken
            assert connect_code(port_of(broker)) == 0
        assert next(in_turn, None) is None


@each_kind
def test_gives_up_when_every_port_is_taken(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        monkeypatch.setattr(ports, "free_port", lambda: taken)
        with pytest.raises(UserError, match=r"did not start: .*[Aa]ddress already in use"), LocalBroker.find(kind):
            pass


def test_without_any_broker_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_all(monkeypatch)
    with pytest.raises(UserError, match=r"pip install iotcore.*apt-get install mosquitto"):
        LocalBroker.find()


def test_without_the_wanted_broker_it_names_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_all(monkeypatch)
    with pytest.raises(UserError, match=r"^[^\n]*apt-get install mosquitto[^\n]*$"):
        LocalBroker.find("mosquitto")
    with pytest.raises(UserError, match=r"^[^\n]*pip install iotcore[^\n]*$"):
        LocalBroker.find("embedded")


def test_finds_mosquitto_that_is_not_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_mosquitto(monkeypatch, tmp_path, "exit 1")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(mosquitto, "_SYSTEM_PATH", str(tmp_path))
    assert LocalBroker.find().info == BrokerInfo("mosquitto", "9.8.7")
    monkeypatch.setattr(mosquitto, "_SYSTEM_PATH", "/nowhere")
    assert LocalBroker.find().info.name == "iotcore"


def test_a_broker_that_ends_at_once_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_mosquitto(monkeypatch, tmp_path, "echo first; echo boom >&2; exit 1")
    with (
        pytest.raises(UserError, match=r"mosquitto 9.8.7 did not start: ended at once: first \| boom"),
        LocalBroker.find(),
    ):
        pass


def test_a_broker_that_never_answers_is_given_up_and_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_mosquitto(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; echo thinking; exec sleep 60")
    monkeypatch.setattr(broker_process, "START_S", 1.0)
    with pytest.raises(UserError, match=r"did not answer on port \d+ within 1 s: thinking"), LocalBroker.find():
        pass
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_mosquitto_for_tests_keeps_its_port_over_kill_freeze_and_restart() -> None:
    with Mosquitto("max_packet_size 30000\nallow_anonymous false") as broker:
        url, first = broker.url, broker.pid
        assert connect_code(broker.port) == 0x87
        broker.freeze()
        with pytest.raises(TimeoutError):
            connect_code(broker.port, timeout=0.3)
        broker.thaw()
        assert connect_code(broker.port) == 0x87
        broker.kill()
        with pytest.raises(ConnectionRefusedError):
            connect_code(broker.port)
        broker.extra = ""
        broker.start()
        assert broker.url == url
        assert broker.pid != first
        assert connect_code(broker.port) == 0
        broker.freeze()
        folder, last = broker.folder, broker.pid
    assert not folder.exists()
    assert not psutil.pid_exists(last)
