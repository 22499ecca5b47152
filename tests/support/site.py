"""A whole site for the tests: real nodes as processes, and a probe that can receive and publish everything."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.tiny import CLASSES
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import Kind, Topics

SITE = "test"
VARIANTS = range(6)
# Nodes stop by themselves, so that their coverage is recorded; those that take longer are killed.
_STOP_S = 3
_COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0), "grey": (0, 0, 0)}


def picture(colour: str, width: int = 64, height: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture that the tiny bundle's variants all recognise."""
    return np.full((height, width, 3), _COLOURS[colour], dtype=np.uint8)


def _kind(topic: str) -> Kind | None:
    try:
        return topics.parse(topic).kind
    except topics.TopicError:
        return None


class Probe:
    """A plain MQTT client that records every message of the site, and publishes arbitrary ones."""

    def __init__(self, port: int, **login: str) -> None:
        self.topics = Topics(SITE)
        self.received: list[Received] = []
        self.properties: list[Properties | None] = []
        self._change = threading.Condition()
        self._subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        if login:
            self.client.username_pw_set(login["username"], login["password"])
        self.client.on_connect = lambda client, *_: client.subscribe("vp/#", qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._take
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._subscribed.wait(5)

    def _take(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        with self._change:
            self.received.append(Received(message.topic, bytes(message.payload), correlation, time.monotonic()))
            self.properties.append(message.properties)
            self._change.notify_all()

    def until(self, condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
        """Wait until the condition, checked after every message, is true, and return its value."""
        with self._change:
            result = self._change.wait_for(condition, timeout)
        assert result, f"not within {timeout} s: {what}"
        return result

    def of(self, kind: Kind) -> list[Received]:
        """Return the messages of a kind; others, and those on unknown topics, are left out."""
        return [message for message in list(self.received) if _kind(message.topic) is kind]

    def labels(self) -> list[LabelMessage]:
        return [LabelMessage.decode(message.payload) for message in self.of(Kind.LABEL)]

    def announces(self) -> list[AnnounceMessage]:
        return [AnnounceMessage.decode(message.payload) for message in self.of(Kind.ANNOUNCE)]

    def states(self) -> dict[str, str]:
        """Return the newest state of every node."""
        statuses = (StatusMessage.decode(message.payload) for message in self.of(Kind.STATUS) if message.payload)
        return {status.node: str(status.state) for status in statuses}

    def stats(self, node: str) -> dict[str, int]:
        """Return a node's newest counters, none before the first."""
        found = [m for m in self.of(Kind.STATS) if m.topic == self.topics.stats(node)]
        return StatsMessage.decode(found[-1].payload).counts if found else {}

    def publish(self, topic: str, payload: bytes, correlation: bytes | None = None, qos: int = 1) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation is not None:
            properties.CorrelationData = correlation
        info = self.client.publish(topic, payload, qos=qos, properties=properties)
        info.wait_for_publish(10)

    def announce(self, frame: FrameId, camera: str = "cam0", truth: str | None = None) -> None:
        message = AnnounceMessage.of(Announce(frame, time.time(), truth))
        self.publish(self.topics.announce(camera), message.encode(), frame.encode())

    def publish_frame(self, frame: FrameId, colour: str = "red", camera: str = "cam0") -> None:
        """Publish a frame and its announce, as a camera does."""
        self.publish(self.topics.frame(camera), encode_jpeg(picture(colour), 90), frame.encode())
        self.announce(frame, camera, colour)

    def label_of(self, frame: FrameId, timeout: float = 20) -> LabelMessage:
        """Wait for the label of a frame."""
        found = self.until(
            lambda: [label for label in self.labels() if label.frame == str(frame)], f"label of {frame}", timeout
        )
        label: LabelMessage = found[0]
        return label

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Site:
    """Nodes as processes, on a running broker."""

    def __init__(self, url: str, port: int, bundle: Path, folder: Path) -> None:
        self.url = url
        self.bundle = bundle
        self.probe = Probe(port)
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        until = time.monotonic() + _STOP_S
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0))
            process.kill()
            process.wait()
        self.probe.close()
        if error is not None:
            for name in self._processes:
                sys.stderr.write(f"--- log of {name}\n{self.log(name)}")

    def start(self, name: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """Start `vp ARGUMENTS` under this name."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "vp_mqtt", *arguments, "--name", name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "VP_BROKER": self.url,
                    "VP_SITE": SITE,
                    "VP_STATS_EVERY": "0.2",
                    "VP_RUNTIME": "onnxruntime",
                }
                | (environment or {}),
                start_new_session=True,
            )

    def start_fusion(self, *arguments: str) -> None:
        self.start("fusion", "fusion", "--bundle", str(self.bundle), *arguments)

    def start_variant(self, variant: int, *arguments: str) -> None:
        bundle = () if "--bundle" in arguments else ("--bundle", str(self.bundle))
        self.start(f"v{variant}", "node", "--variant", str(variant), *bundle, *arguments)

    def start_all(self, variants: Iterable[int] = VARIANTS, *fusion_arguments: str) -> None:
        """Start the fusion node and variants, and wait until all are online and the fusion node knows it."""
        variants = list(variants)
        self.start_fusion(*fusion_arguments)
        for variant in variants:
            self.start_variant(variant)
        self.await_online("fusion", *(f"v{variant}" for variant in variants))
        for variant in variants:
            self.await_log("fusion", f"variant {variant} is online")

    def await_online(self, *names: str, timeout: float = 40) -> None:
        self.await_state("online", *names, timeout=timeout)

    def await_state(self, state: str, *names: str, timeout: float = 30) -> None:
        self.probe.until(
            lambda: all(self.probe.states().get(name) == state for name in names), f"{names} {state}", timeout
        )

    def await_log(self, name: str, text: str, timeout: float = 30, times: int = 1) -> None:
        """Wait until a node has logged a text `times` times."""
        until = time.monotonic() + timeout
        while self.log(name).count(text) < times:
            assert time.monotonic() < until, f"{name} has not logged '{text}' within {timeout} s:\n{self.log(name)}"
            time.sleep(0.02)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def signal(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def processor_time(self, name: str) -> float:
        """Return how long the process has run, in seconds of one core."""
        times = psutil.Process(self._processes[name].pid).cpu_times()
        return float(times.user + times.system)

    def kill(self, name: str) -> None:
        """Kill a node, and wait until its will is published."""
        self._processes[name].kill()
        self._processes[name].wait()
        self.await_state("offline", name)

    def wait(self, name: str, timeout: float) -> int:
        """Wait for the end of a node's process and return its exit code."""
        return self._processes[name].wait(timeout)


def write_pictures(folder: Path, per_class: int = 3) -> Path:
    """Write a folder of CLASS/IMAGE that the tiny bundle's variants all recognise."""
    for colour in CLASSES:
        (folder / colour).mkdir(parents=True)
        for number in range(per_class):
            (folder / colour / f"{number}.jpg").write_bytes(encode_jpeg(picture(colour), 95))
    return folder
