"""`vp bench device-path`: where a device's time goes, step by step, and what alternatives would change.

Measures on one core, in turns: ONNX Runtime's session options; the first run of a model and later ones; decoding and
resizing; one decode per variant and one shared decode; ways to send a small message with paho; and after how many votes
a label is certain. It needs Mosquitto.
"""

from __future__ import annotations

import select
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from rich.console import Console
from rich.table import Table

from benchmarks.emulation.cpu_affinity import on_core
from benchmarks.latency.minimal_node import minimal_client
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.pictures import decode, encode_jpeg, prepare, resize_square
from vp_mqtt.local.broker_process import StartError
from vp_mqtt.local.mosquitto import Mosquitto
from vp_mqtt.local.ports import HOST
from vp_mqtt.nodes.sources import DEFAULT_SAMPLES, open_source
from vp_mqtt.protocol import votes
from vp_mqtt.site.machine import describe_machine, usable_cores
from vp_mqtt.site.synthetic_photos import synthetic_photo
from vp_mqtt.site.timing import time_in_turns

Calls = Mapping[str, Callable[[], object]]
TimesByTitle = dict[str, dict[str, float]]

SIZE = (640, 480)
QUALITY = 90
VOTE_BYTES = 20
ANSWER_S = 5.0


def _medians(calls: Calls, runs: int) -> dict[str, float]:
    times = time_in_turns(list(calls.values()), runs)
    return {name: round(one.ms, 3) for name, one in zip(calls, times, strict=True)}


def _session(model: bytes, change: Callable[[onnxruntime.SessionOptions], None]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    change(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def session_options(model: bytes, resolution: int, runs: int) -> dict[str, float]:
    """Return the time for a picture, in ms, with ONNX Runtime's session options, one changed at a time."""
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


def first_runs(model: bytes, resolution: int, rounds: int = 7) -> dict[str, float]:
    """Return the times of the first, second and tenth run of a model after loading it, in ms, medians over loads."""
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


def prepare_steps(bundle: Bundle, resolution: int, runs: int) -> dict[str, float]:
    """Return the times of the steps from a JPEG of 640 x 480 to a model's input, in ms."""
    picture = synthetic_photo(*SIZE, seed=0)
    jpeg = encode_jpeg(picture, QUALITY)
    square = resize_square(picture, resolution)
    side = (resolution, resolution)
    preprocessing = bundle.manifest.preprocessing
    second = preprocessing.model_copy(update={"version": 2})

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
        "all of ours, preprocessing 2": lambda: prepare(decode(jpeg, resolution, version=2), resolution, second),
    }
    return _medians(calls, runs)


def shared_decode(bundle: Bundle, runs: int) -> dict[str, float]:
    """Return the times of all variants on one board, one after the other, in ms: a decode each, or a shared one."""
    jpeg = encode_jpeg(synthetic_photo(*SIZE, seed=0), QUALITY)
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


def decided_shares(bundle: Bundle, source: str) -> dict[str, float]:
    """Return the share of frames whose label is certain after so many votes, the smallest variants voting first."""
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


class _ThreadlessClient:
    """A paho client without its network thread: the publishing thread writes to the socket itself."""

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


def sending_times(messages: int) -> dict[str, float]:
    """Return the median times from publishing a vote-sized message to its arrival at another client, in ms.

    Raises:
        UserError: Mosquitto is missing or did not start, or a message did not arrive.
    """
    broker = Mosquitto()
    try:
        broker.start()
    except StartError as error:
        raise UserError(f"Mosquitto did not start: {error}") from None
    arrived = threading.Event()
    at = 0.0

    def note_arrival(*_: object) -> None:
        nonlocal at
        at = time.perf_counter()
        arrived.set()

    try:
        clients = {name: minimal_client(name) for name in ("receiver", "thread", "direct")}
        ready = threading.Event()
        clients["receiver"].on_message = note_arrival
        clients["receiver"].on_connect = lambda client, *_: client.subscribe("vote")
        clients["receiver"].on_subscribe = lambda *_: ready.set()
        for client in clients.values():
            client.connect(HOST, broker.port)
        clients["receiver"].loop_start()
        clients["thread"].loop_start()
        ways: dict[str, Callable[[str, bytes], object]] = {
            "paho's own thread sends (ours)": clients["thread"].publish,
            "the publishing thread sends": _ThreadlessClient(clients["direct"]).publish,
        }
        ready.wait(ANSWER_S)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(messages):
            for name, publish in ways.items():
                arrived.clear()
                start = time.perf_counter()
                publish("vote", bytes(VOTE_BYTES))
                if not arrived.wait(ANSWER_S):
                    raise UserError("a message did not arrive")
                times[name].append((at - start) * 1000)
                time.sleep(0.01)
        return {name: round(statistics.median(own), 3) for name, own in times.items()}
    finally:
        for client in clients.values():
            client.disconnect()
        broker.stop()


def measure(bundle: str, runs: int) -> dict[str, Any]:
    """Measure everything, and return what `vp bench device-path --json` prints.

    Args:
        bundle: a bundle's folder, or the name of a bundled one.
        runs: runs of each call, at least 1; the median counts.

    Raises:
        UserError: the bundle is not usable, or Mosquitto is missing.
    """
    cv2.setNumThreads(1)
    family = open_bundle(bundle)
    small, large = (choose(family.manifest.variants, key=lambda variant: variant.resolution) for choose in (min, max))
    found: TimesByTitle = {}
    with on_core(usable_cores()[-1]):
        for variant in (small, large):
            model, side = family.model_bytes(variant.index), variant.resolution
            found[f"ONNX Runtime, {side} pixels"] = session_options(model, side, runs)
            found[f"first runs, {side} pixels"] = first_runs(model, side)
            found[f"{SIZE[0]} x {SIZE[1]} JPEG to {side} pixels"] = prepare_steps(family, side, runs)
        found[f"all {len(family.manifest.variants)} variants on one core"] = shared_decode(family, runs)
    found["one way of a vote"] = sending_times(5 * runs)
    decided = decided_shares(open_bundle(DEFAULT_SAMPLES), "samples")
    return {"bundle": bundle, "ms": found, "decided": decided, "machine": describe_machine()}


def print_report(report: dict[str, Any]) -> None:
    """Print what `measure` returned as tables."""
    console = Console(highlight=False)
    for title, times in report["ms"].items():
        table = Table(title, "ms")
        for name, ms in times.items():
            table.add_row(name, f"{ms:.3f}")
        console.print(table)
    table = Table(f"votes, '{DEFAULT_SAMPLES}'", "labels that are certain")
    for name, share in report["decided"].items():
        table.add_row(name, f"{share:.1%}")
    console.print(table)
