"""Latency over two hops: a frame to a node, and its answer to a third client."""

from __future__ import annotations

import queue
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.brokers.checks import FRAME, VOTE
from benchmarks.brokers.client import WAIT_S, RunningBroker

_CHUNK = 20


def two_hops(running: RunningBroker, qos: int, tcp: str) -> Callable[[], float | None]:
    """Connect camera, node and fusion; return a function that sends one frame and returns the answer's delay in ms."""
    camera, node, fusion = (running.connect(tcp=tcp) for _ in range(3))
    name = f"{qos}/{tcp}"
    arrived: queue.Queue[float] = queue.Queue()
    fusion.client.on_message = lambda *_: fusion.acknowledge_quickly(lambda: arrived.put(time.perf_counter()))
    node.client.on_message = lambda *_: node.acknowledge_quickly(lambda: node.client.publish(f"vote/{name}", VOTE, qos))
    fusion.listen(f"vote/{name}", qos)
    node.listen(f"frame/{name}", qos)

    def one_round() -> float | None:
        began = time.perf_counter()
        camera.client.publish(f"frame/{name}", FRAME, qos)
        try:
            return (arrived.get(timeout=WAIT_S) - began) * 1000
        except queue.Empty:
            return None

    return one_round


def measure_latency(brokers: Sequence[RunningBroker], rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Measure two hops on all brokers in turns, a few rounds each; p50 and p99 in ms, medians over the repeats."""
    lines = [
        ({"broker": running.broker.name, "qos": qos, "client": tcp}, two_hops(running, qos, tcp))
        for running in brokers
        for qos in (0, 1)
        for tcp in ("plain", "nodelay", "nodelay, quickack")
    ]
    delays: list[list[list[float | None]]] = [[] for _ in lines]
    for _ in range(repeats):
        for line in delays:
            line.append([])
        for _ in range(0, rounds, _CHUNK):
            for (_, one_round), line in zip(lines, delays, strict=True):
                line[-1].extend(one_round() for _ in range(_CHUNK))
    results = []
    for (labels, _), line in zip(lines, delays, strict=True):
        known = [sorted(delay for delay in repeat if delay is not None) for repeat in line]
        row: dict[str, Any] = {**labels, "lost": sum(delay is None for repeat in line for delay in repeat)}
        for quantile in (0.5, 0.99):
            values = [repeat[int(len(repeat) * quantile)] for repeat in known if repeat]
            row[f"p{quantile * 100:.0f}_ms"] = round(statistics.median(values), 2) if values else None
        results.append(row)
    return results
