"""What a device's time goes into, and what would change it: `python -m benchmarks.latency.device_path [--json]`.

Measures on one core, in turns: ONNX Runtime's session options; the first run of a model against later ones; decoding
and resizing; one decode shared by variants against one each; the ways to send a small message with paho; and after how
many votes a label is certain. It needs Mosquitto.
"""

from __future__ import annotations

import json
import select
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import cv2
import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.emulation.cpu_affinity import on_core
from benchmarks.latency.minimal_node import bare_client
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.pictures import decode, encode_jpeg, prepare, resize_square
from vp_mqtt.local.broker_process import StartError
from vp_mqtt.local.mosquitto import Mosquitto
from vp_mqtt.local.ports import HOST
from vp_mqtt.nodes.sources import DEFAULT_SAMPLES, open_source
from vp_mqtt.protocol import votes
from vp_mqtt.site.machine import cores, machine
from vp_mqtt.site.photos import photo_like
from vp_mqtt.site.timing import times_in_turns

Calls = Mapping[str, Callable[[], object]]
Found = dict[str, dict[str, float]]

SIZE = (640, 480)
QUALITY = 90
VOTE_BYTES = 20
ANSWER_S = 5.0


def _medians(calls: Calls, runs: int) -> dict[str, float]:
    times = times_in_turns(list(calls.values()), runs)
    return {name: round(one.ms, 3) for name, one in zip(calls, times, strict=True)}


def _session(model: bytes, change: Callable[[onnxruntime.SessionOptions], None]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    change(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def session_options(model: bytes, resolution: int, runs: int) -> dict[str, float]:
    """Return ms for a picture with ONNX Runtime's session options, one changed at a time."""
    levels, modes = onnxruntime.GraphOptimizationLevel, onnxruntime.ExecutionMode

    def entry(name: str, value: str) -> Callable[[onnxruntime.SessionOptions], None]:
        return lambda options: options.add_session_config_entry(name, value)

    changes: dict[str, Callable[[onnxruntime.SessionOptions], None]] = {
        "as it comes": lambda _: None,
        "no spinning (ours)": entry("session.intra_op.allow_spinning", "0"),
        "no layout of 8 channels (extended level)": lambda o: setattr(
            o, "graph_optimization_level", levels.ORT_ENABLE_EXTENDED
        ),
        "no optimisation": lambda o: setattr(o, "graph_optimization_level", levels.ORT_DISABLE_ALL),
        "parallel execution": lambda o: setattr(o, "execution_mode", modes.ORT_PARALLEL),
        "no memory pattern": lambda o: setattr(o, "enable_mem_pattern", False),
        "no arena": lambda o: setattr(o, "enable_cpu_mem_arena", False),
        "denormals as zero": entry("session.set_denormal_as_zero", "1"),
    }
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, resolution, resolution)).astype(np.float32)
    calls: dict[str, Callable[[], object]] = {}
    for name, change in changes.items():
        session = _session(model, change)
        feed = {session.get_inputs()[0].name: picture}
        calls[name] = lambda session=session, feed=feed: session.run(None, feed)  # type: ignore[misc]
    session = _session(model, lambda _: None)
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, picture)
    binding.bind_output(session.get_outputs()[0].name)
    calls["input and output bound"] = lambda: session.run_with_iobinding(binding)
    return _medians(calls, runs)


def warm_up(model: bytes, resolution: int, rounds: int = 7) -> dict[str, float]:
    """Return ms for the first run of a model that was just loaded, the second, and the tenth: medians over loads."""
    picture = np.zeros((1, 3, resolution, resolution), dtype=np.float32)
    runs: list[list[float]] = []
    for _ in range(rounds):
        session = _session(model, lambda _: None)
        feed = {session.get_inputs()[0].name: picture}
        times = []
        for _ in range(10):
            start = time.perf_counter()
            session.run(None, feed)
            times.append((time.perf_counter() - start) * 1000)
        runs.append(times)
    columns = list(zip(*runs, strict=True))
    return {
        name: round(statistics.median(columns[index]), 3)
        for name, index in (("first run", 0), ("second", 1), ("tenth", 9))
    }


def preparing(bundle: Bundle, resolution: int, runs: int) -> dict[str, float]:
    """Return ms for what lies between a JPEG of 640 x 480 and a model's input."""
    picture = photo_like(*SIZE, seed=0)
    jpeg = encode_jpeg(picture, QUALITY)
    square = resize_square(picture, resolution)
    side = (resolution, resolution)
    preprocessing = bundle.manifest.preprocessing

    def by_numpy() -> object:
        scaled = (square[..., ::-1].astype(np.float32) - 127.5) / 127.5
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])

    calls: Calls = {
        "copy of the JPEG's bytes": lambda: bytes(bytearray(jpeg)),
        "decode": lambda: decode(jpeg),
        "decode, reduced if it may be (ours)": lambda: decode(jpeg, resolution),
        "resize by area (ours)": lambda: cv2.resize(picture, side, interpolation=cv2.INTER_AREA),
        "resize, bicubic": lambda: cv2.resize(picture, side, interpolation=cv2.INTER_CUBIC),
        "resize, bilinear": lambda: cv2.resize(picture, side, interpolation=cv2.INTER_LINEAR),
        "to the input, blobFromImage (ours)": lambda: cv2.dnn.blobFromImage(
            square, 1 / 127.5, mean=(127.5,) * 3, swapRB=True
        ),
        "to the input, numpy": by_numpy,
        "all of ours": lambda: prepare(decode(jpeg, resolution), resolution, preprocessing),
    }
    return _medians(calls, runs)


def shared_decode(bundle: Bundle, runs: int) -> dict[str, float]:
    """Return ms for all variants on one board, one after the other: a decode each, or one for all."""
    jpeg = encode_jpeg(photo_like(*SIZE, seed=0), QUALITY)
    preprocessing, classes = bundle.manifest.preprocessing, len(bundle.manifest.classes)
    variants = [
        (
            v.resolution,
            runtimes.load(
                "onnxruntime", bundle.model_bytes(v.index), resolution=v.resolution, classes=classes, threads=1
            ),
        )
        for v in bundle.manifest.variants
    ]
    largest = max(resolution for resolution, _ in variants)

    def each() -> None:
        for resolution, predict in variants:
            predict(prepare(decode(jpeg, resolution), resolution, preprocessing))

    def once() -> None:
        picture = decode(jpeg, largest)
        for resolution, predict in variants:
            predict(prepare(picture, resolution, preprocessing))

    return _medians({"a decode each (ours)": each, "one decode": once}, runs)


def decided_early(bundle: Bundle, source: str) -> dict[str, float]:
    """Return the share of frames whose label is certain after so many votes, the smallest variants' first."""
    manifest = bundle.manifest
    classes, weights = len(manifest.classes), [variant.weight for variant in manifest.variants]
    order = sorted(manifest.variants, key=lambda variant: (variant.resolution, variant.index))
    predicts = [
        runtimes.load("onnxruntime", bundle.model_bytes(v.index), resolution=v.resolution, classes=classes, threads=1)
        for v in order
    ]
    certain: Counter[int] = Counter()
    for captured in open_source(source).captures():
        tally = Tally(weights, classes)
        for count, (variant, predict) in enumerate(zip(order, predicts, strict=True), start=1):
            probabilities = predict(prepare(captured.picture, variant.resolution, manifest.preprocessing))
            tally.add(variant.index, votes.select(probabilities, manifest.k, manifest.short_digest))
            if tally.is_decided([other.index for other in order[count:]]):
                certain[count] += 1
                break
    shares = np.cumsum([certain[votes] for votes in range(1, len(order) + 1)]) / certain.total()
    return {f"after {votes} of {len(order)}": round(float(share), 4) for votes, share in enumerate(shares, start=1)}


class _Direct:
    """A paho client without its thread: whoever publishes writes to the socket itself."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._lock = threading.RLock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while (sock := self._client.socket()) is not None:
            readable, _, _ = select.select([sock], [], [], 0.5)
            with self._lock:
                if readable:
                    self._client.loop_read()
                self._client.loop_misc()

    def publish(self, topic: str, payload: bytes) -> None:
        with self._lock:
            self._client.publish(topic, payload)


def sending(frames: int) -> dict[str, float]:
    """Return ms from publishing a message of a vote's size to its arrival at another client, medians."""
    broker = Mosquitto()
    try:
        broker.start()
    except StartError as error:
        raise SystemExit(f"Mosquitto did not start: {error}") from None
    arrived = threading.Event()
    at = 0.0

    def take(*_: object) -> None:
        nonlocal at
        at = time.perf_counter()
        arrived.set()

    try:
        clients = {name: bare_client(name) for name in ("receiver", "thread", "direct")}
        ready = threading.Event()
        clients["receiver"].on_message = take
        clients["receiver"].on_connect = lambda client, *_: client.subscribe("vote")
        clients["receiver"].on_subscribe = lambda *_: ready.set()
        for client in clients.values():
            client.connect(HOST, broker.port)
        clients["receiver"].loop_start()
        clients["thread"].loop_start()
        ways: dict[str, Callable[[str, bytes], object]] = {
            "paho's own thread sends (ours)": clients["thread"].publish,
            "the publishing thread sends": _Direct(clients["direct"]).publish,
        }
        ready.wait(ANSWER_S)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(frames):
            for name, publish in ways.items():
                arrived.clear()
                start = time.perf_counter()
                publish("vote", bytes(VOTE_BYTES))
                if not arrived.wait(ANSWER_S):
                    raise SystemExit("a message did not arrive")
                times[name].append((at - start) * 1000)
                time.sleep(0.01)
        return {name: round(statistics.median(own), 3) for name, own in times.items()}
    finally:
        for client in clients.values():
            client.disconnect()
        broker.stop()


def main(
    *,
    bundle: Annotated[str, typer.Option(help="a bundle's folder, or the name of one in the box")] = "caltech101",
    runs: Annotated[int, typer.Option(min=1, help="of each call; the median counts")] = 40,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure."""
    cv2.setNumThreads(1)
    family = open_bundle(bundle)
    small, large = (choose(family.manifest.variants, key=lambda variant: variant.resolution) for choose in (min, max))
    found: Found = {}
    with on_core(cores()[-1]):
        for variant in (small, large):
            model, side = family.model_bytes(variant.index), variant.resolution
            found[f"ONNX Runtime, {side} pixels"] = session_options(model, side, runs)
            found[f"warm-up, {side} pixels"] = warm_up(model, side)
            found[f"{SIZE[0]} x {SIZE[1]} JPEG to {side} pixels"] = preparing(family, side, runs)
        found[f"all {len(family.manifest.variants)} variants on one core"] = shared_decode(family, runs)
    found["one way of a vote"] = sending(5 * runs)
    decided = decided_early(open_bundle(DEFAULT_SAMPLES), "samples")
    if as_json:
        about: dict[str, Any] = {"bundle": bundle, "ms": found, "decided": decided, "machine": machine()}
        print(json.dumps(about))
        return
    for title, times in found.items():
        table = Table(title, "ms")
        for name, ms in times.items():
            table.add_row(name, f"{ms:.3f}")
        Console(highlight=False).print(table)
    table = Table(f"votes, '{DEFAULT_SAMPLES}'", "labels that are certain")
    for name, share in decided.items():
        table.add_row(name, f"{share:.1%}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
