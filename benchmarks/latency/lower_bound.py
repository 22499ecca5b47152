"""A lower bound of the response time on this machine: the necessary steps, measured alone."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt

from benchmarks.child_process import module_command
from benchmarks.emulation.cpu_affinity import on_core
from benchmarks.latency import minimal_node
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture, encode_jpeg
from vp_mqtt.local.ports import HOST
from vp_mqtt.site.timing import quantiles

_START_S = 60.0
_ANSWER_S = 10.0
_WARM_UP = 5


@dataclass(eq=False)
class LowerBoundTimes:
    """Times of each step, in ms, frame by frame.

    Attributes:
        hops: from sending a frame to a minimal node until a vote-sized answer arrives at a third client.
        steps: JPEG decode, resize and model of every variant, by its index.
        encode: JPEG encode, which the camera does first; empty where it passes JPEGs through.
        label_hop: one way of a label-sized message, which comes last.
    """

    hops: list[float] = field(default_factory=list)
    steps: dict[int, list[tuple[float, float, float]]] = field(default_factory=dict)
    encode: list[float] = field(default_factory=list)
    label_hop: list[float] = field(default_factory=list)

    def sums(self, variant: int) -> list[float]:
        """Return the sum of hops, decode, resize and one variant's model, frame by frame, in ms."""
        return [hops + sum(steps) for hops, steps in zip(self.hops, self.steps[variant], strict=True)]

    def as_dict(self, variant: int) -> dict[str, Any]:
        """Return the lower bound of one variant's response time, and its parts, for JSON."""
        names = ("decode_ms", "resize_ms", "model_ms")
        own = zip(names, zip(*self.steps[variant], strict=True), strict=True)
        whole = [
            least + before + after
            for least, before, after in zip(
                self.sums(variant), self.encode or [0.0] * len(self.hops), self.label_hop, strict=True
            )
        ]
        return {
            "variant": variant,
            "frames": len(self.hops),
            **{f"{name}_ms": value for name, value in quantiles(self.sums(variant)).items()},
            "hops_ms": quantiles(self.hops),
            **{name: quantiles(times) for name, times in own},
            "with_label_hop_ms": quantiles(whole),
            "encode_ms": quantiles(self.encode) if self.encode else None,
            "label_hop_ms": quantiles(self.label_hop),
        }


class LowerBound:
    """Measures the lower bound; everything ends with the context."""

    def __init__(self, *, port: int, bundle: str, runtime: str, variants: Sequence[int], core: int, log: Path) -> None:
        """Prepare, without starting anything.

        Args:
            port: port of a broker on this machine.
            bundle: the family: a folder, or the name of a bundled one.
            runtime: name of the runtime.
            variants: indices of the variants to measure, the one whose lower bound counts first.
            core: the core that the minimal node runs on.
            log: file for the output of the minimal node's process.
        """
        self._port = port
        self._arguments = [str(port), bundle, runtime, *map(str, variants)]
        self._variants = variants
        self._core = core
        self._log = log
        self._arrived = threading.Event()
        self._at = 0.0
        self._answer = b""
        self.times = LowerBoundTimes(steps={variant: [] for variant in variants})

    def __enter__(self) -> Self:
        """Start the minimal node, and wait until it answers.

        Raises:
            UserError: it did not start.
        """
        with on_core(self._core), self._log.open("wb") as output:
            self._node = subprocess.Popen(
                module_command("benchmarks.latency.minimal_node", *self._arguments),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._sender, self._receiver = (
            minimal_node.minimal_client("floor-sender"),
            minimal_node.minimal_client("floor-receiver"),
        )
        self._receiver.on_message = self._receive
        topics = [
            (topic, 0) for topic in (minimal_node.VOTE, minimal_node.TIMES, minimal_node.LABEL, minimal_node.READY)
        ]
        self._receiver.on_connect = lambda client, *_: client.subscribe(topics)
        for client in (self._receiver, self._sender):
            client.connect(HOST, self._port)
            client.loop_start()
        until = time.monotonic() + _START_S
        while not self._arrived.wait(0.1):
            if self._node.poll() is not None or time.monotonic() > until:
                self._end()
                words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise UserError(f"the minimal node did not start: {words[-1] if words else 'no output'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._node.communicate()
        for client in (self._sender, self._receiver):
            client.disconnect()
            client.loop_stop()

    def _receive(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._at = time.perf_counter()
        self._answer = bytes(message.payload)
        self._arrived.set()

    def _round_trip(self, topic: str, payload: bytes) -> float:
        """Publish, wait for the answer, and return how long that took, in ms."""
        self._arrived.clear()
        start = time.perf_counter()
        self._sender.publish(topic, payload)
        if not self._arrived.wait(_ANSWER_S):
            raise UserError(f"the minimal node did not answer within {_ANSWER_S:g} s")
        return (self._at - start) * 1000

    def measure(
        self, frames: Sequence[Picture] | Sequence[bytes], *, quality: int, count: int, fps: float, label_bytes: int
    ) -> None:
        """Measure with so many more frames, at a camera's pace, since an idle machine answers more slowly.

        Args:
            frames: pictures to send in turn, or their JPEGs, in which case nothing is encoded.
            quality: JPEG quality of encoded pictures, 1..100.
            count: number of frames.
            fps: frames per second.
            label_bytes: size of a label message's payload, in bytes.

        Raises:
            UserError: an answer did not come.
        """
        label = bytes(label_bytes)
        due = time.monotonic()
        for number in range(-_WARM_UP, count):
            due += 1 / fps
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.perf_counter()
            frame = frames[number % len(frames)]
            jpeg = frame if isinstance(frame, bytes) else encode_jpeg(frame, quality)
            encode = (time.perf_counter() - start) * 1000
            hops = self._round_trip(minimal_node.FRAME, jpeg)
            self._round_trip(minimal_node.WORK, jpeg)
            times = minimal_node.decode_times(self._answer)
            label_hop = self._round_trip(minimal_node.LABEL, label)
            if number < 0:
                continue
            if jpeg is not frame:
                self.times.encode.append(encode)
            self.times.hops.append(hops)
            self.times.label_hop.append(label_hop)
            for index, variant in enumerate(self._variants):
                decode, resize, model = times[index * minimal_node.STEPS : (index + 1) * minimal_node.STEPS]
                self.times.steps[variant].append((decode, resize, model))
