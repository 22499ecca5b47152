"""What iotcore, amqtt and Mosquitto do of what this project needs: `python -m benchmarks.brokers.compare [--json]`.

Every check runs against a fresh broker on 127.0.0.1, over real sockets, with paho-mqtt, and with a time-out; latency
runs against all brokers at once, in turns. Needs the extra `broker`, `pip install amqtt`, Mosquitto and psutil.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import queue
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.brokers.checks import BOTH, FRAME, ONLY_5, QUIET_S, VOTE, WAIT_S, Bench, Candidate, Finding, mqtt5
from vp_mqtt.local.broker import LocalBroker, write_rumqttd
from vp_mqtt.local.broker_process import BrokerProcess, StartError
from vp_mqtt.local.mosquitto import write_mosquitto
from vp_mqtt.local.ports import HOST, free_port

CHECK_S = 60.0
CHUNK = 20
COUNT = 50_000


def _mosquitto(*, nodelay: bool) -> Callable[[Path, int, int], list[str]]:
    def write(folder: Path, port: int, ws_port: int) -> list[str]:
        extra = f"listener {ws_port} {HOST}\nprotocol websockets\n"
        return write_mosquitto(folder, port, extra if nodelay else f"set_tcp_nodelay false\n{extra}")

    return write


def _iotcore(folder: Path, port: int, ws_port: int) -> list[str]:
    command = write_rumqttd(folder, port)
    settings = folder / "rumqttd.toml"
    text = settings.read_text()
    listener = text[text.index("[v5.1]") :].replace("[v5.", "[ws.").replace(f":{port}", f":{ws_port}")
    settings.write_text(text + listener.replace('"v5"', '"ws"'))
    return command


def _amqtt(folder: Path, port: int, ws_port: int) -> list[str]:
    settings = folder / "amqtt.yaml"
    settings.write_text(f"""\
listeners:
  default: {{type: tcp, bind: "{HOST}:{port}"}}
  web: {{type: ws, bind: "{HOST}:{ws_port}"}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
""")
    return [sys.executable, "-P", "-m", "amqtt.scripts.broker_script", "-c", str(settings)]


def candidates() -> list[Candidate]:
    """Return the brokers to compare; `v5` is what `main` finds out first."""
    return [
        Candidate("mosquitto", LocalBroker.find("mosquitto").info.version, _mosquitto(nodelay=True)),
        Candidate("iotcore", importlib.metadata.version("iotcore"), _iotcore),
        Candidate("amqtt", importlib.metadata.version("amqtt"), _amqtt),
    ]


@contextlib.contextmanager
def running(candidate: Candidate) -> Iterator[Bench]:
    """Start a broker and stop it and its clients in the end."""
    bench = Bench(candidate, ws_port=free_port())
    process = BrokerProcess(lambda folder, port: candidate.write(folder, port, bench.ws_port))
    began = time.monotonic()
    process.start()
    try:
        bench.started_ms = (time.monotonic() - began) * 1000
        bench.port = process.port
        bench.pid = process.pid
        yield bench
    finally:
        for peer in bench.peers:
            peer.close()
        process.stop()


def examine(candidate: Candidate, check: Callable[[Bench], Finding]) -> dict[str, Any]:
    """Run one check against a fresh broker, and say so if that hangs or dies."""
    if check in ONLY_5 and not candidate.v5:
        return {"ok": False, "detail": "needs MQTT 5"}
    pool = ThreadPoolExecutor(1)
    try:
        with running(candidate) as bench:
            try:
                ok, detail = pool.submit(check, bench).result(timeout=CHECK_S)
            except TimeoutError:
                ok, detail = False, f"hung: no result within {CHECK_S:.0f} s"
            except Exception as error:  # noqa: BLE001 - the finding is that it fails, and how
                ok, detail = False, f"failed: {error!r}"
            if not psutil.pid_exists(bench.pid):
                ok, detail = False, f"the broker ended; {detail}"
    except StartError as error:
        ok, detail = False, f"did not start: {error}"
    finally:
        pool.shutdown(wait=False)
    return {"ok": ok, "detail": detail}


def _link(bench: Bench, topic: bytes = b"") -> socket.socket:
    """Open a bare MQTT connection, with a subscription to `topic`."""
    none = b"\x00" * bench.v5
    link = socket.create_connection((HOST, bench.port), timeout=WAIT_S)
    level, client = (b"\x05" if bench.v5 else b"\x04"), os.urandom(4).hex().encode()
    body = b"\x00\x04MQTT" + level + b"\x02\x00\x3c" + none + b"\x00\x08" + client
    link.sendall(bytes([0x10, len(body)]) + body)
    link.recv(100)
    if topic:
        body = b"\x00\x01" + none + bytes([0, len(topic)]) + topic + b"\x00"
        link.sendall(bytes([0x82, len(body)]) + body)
        link.recv(100)
    return link


def _rate(bench: Bench, topic: bytes, members: int) -> Finding:
    """Pass packets made beforehand through bare sockets: paho's own pace is below that of a broker."""
    none = b"\x00" * bench.v5
    packet = bytes([0x30, 3 + len(none) + len(VOTE)]) + b"\x00\x01t" + none + VOTE
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1 + members) as pool:
        links = [stack.enter_context(_link(bench, topic)) for _ in range(members)]
        sender = stack.enter_context(_link(bench))

        def read(link: socket.socket) -> tuple[int, float]:
            link.settimeout(QUIET_S * 2)
            size, last = 0, time.monotonic()
            with contextlib.suppress(TimeoutError):
                while part := len(link.recv(1 << 16)):
                    size, last = size + part, time.monotonic()
            return size // len(packet), last

        readers = [pool.submit(read, link) for link in links]
        began = time.monotonic()
        sender.sendall(packet * COUNT)
        shares, ends = zip(*(reader.result() for reader in readers), strict=True)
    detail = f"{sum(shares)} of {COUNT} at {sum(shares) / max(max(ends) - began, 1e-3):.0f}/s, shares {list(shares)}"
    return sum(shares) == COUNT and min(shares) > 0, detail


def throughput(bench: Bench) -> Finding:
    """Messages of 40 B at QoS 0."""
    return _rate(bench, b"t", 1)


def shared(bench: Bench) -> Finding:
    """The same, to two members of a shared subscription."""
    return _rate(bench, b"$share/g/t", 2)


def trio(bench: Bench, qos: int, tcp: str) -> Callable[[], float | None]:
    """Connect camera, node and fusion; return a function that sends one frame and returns the answer's delay in ms."""
    camera, node, fusion = (bench.peer(tcp=tcp) for _ in range(3))
    name = f"{qos}/{tcp}"
    arrived: queue.Queue[float] = queue.Queue()
    fusion.client.on_message = lambda *_: fusion.quicken(lambda: arrived.put(time.perf_counter()))
    node.client.on_message = lambda *_: node.quicken(lambda: node.client.publish(f"vote/{name}", VOTE, qos))
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


def latency(brokers: list[Candidate], rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Measure two hops on all brokers in turns, a few rounds each; p50 and p99 in ms, medians over the repeats."""
    with contextlib.ExitStack() as stack:
        benches = [stack.enter_context(running(candidate)) for candidate in brokers]
        lines = [
            ({"broker": bench.candidate.name, "qos": qos, "client": tcp}, trio(bench, qos, tcp))
            for bench in benches
            for qos in (0, 1)
            for tcp in ("plain", "nodelay", "nodelay, quickack")
        ]
        seen: list[list[list[float | None]]] = [[] for _ in lines]
        for _ in range(repeats):
            for line in seen:
                line.append([])
            for _ in range(0, rounds, CHUNK):
                for (_, one_round), line in zip(lines, seen, strict=True):
                    line[-1].extend(one_round() for _ in range(CHUNK))
    results = []
    for (labels, _), line in zip(lines, seen, strict=True):
        known = [sorted(delay for delay in repeat if delay is not None) for repeat in line]
        row: dict[str, Any] = {**labels, "lost": sum(delay is None for repeat in line for delay in repeat)}
        for quantile in (0.5, 0.99):
            values = [repeat[int(len(repeat) * quantile)] for repeat in known if repeat]
            row[f"p{quantile * 100:.0f}_ms"] = round(statistics.median(values), 2) if values else None
        results.append(row)
    return results


def main(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    rounds: Annotated[int, typer.Option(min=CHUNK, help="Frames per broker, setting and repeat.")] = 300,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats of the latency measurement.")] = 5,
    only: Annotated[str, typer.Option(help="Names of checks, comma-separated; or `latency`.")] = "",
) -> None:
    """Compare the brokers."""
    console = Console(stderr=True)
    brokers = candidates()
    wanted = [name for name in only.split(",") if name]
    result: dict[str, Any] = {
        "conditions": {
            "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.platform()}",
            "python": platform.python_version(),
            "paho": importlib.metadata.version("paho-mqtt"),
            "load": round(os.getloadavg()[0], 1),
            "date": time.strftime("%Y-%m-%d"),
        },
        "brokers": {broker.name: broker.version for broker in brokers},
        "checks": {},
    }
    for check in [mqtt5, *ONLY_5, *BOTH, throughput, shared]:
        if wanted and check != mqtt5 and check.__name__ not in wanted:
            continue
        row = result["checks"][check.__name__] = {}
        for broker in brokers:
            row[broker.name] = finding = examine(broker, check)
            if check is mqtt5:
                broker.v5 = finding["ok"]
            console.print(f"{check.__name__} {broker.name}: {finding['ok']} {finding['detail']}", markup=False)
    if not wanted or "latency" in wanted:
        version = brokers[0].version
        brokers.insert(1, Candidate("mosquitto, set_tcp_nodelay false", version, _mosquitto(nodelay=False)))
        result["latency"] = latency(brokers, rounds, repeats)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


def show(result: dict[str, Any]) -> None:
    """Print the result as tables."""
    names = list(result["brokers"])
    table = Table("check", *(f"{name} {version}" for name, version in result["brokers"].items()))
    for check, row in result["checks"].items():
        marks = {True: "yes", False: "NO", None: ""}
        table.add_row(check, *(f"{marks[row[name]['ok']]} {row[name]['detail']}" for name in names))
    console = Console()
    console.print(result["conditions"], table)
    if result.get("latency"):
        delays = Table(*result["latency"][0])
        for row in result["latency"]:
            delays.add_row(*(str(value) for value in row.values()))
        console.print(delays)


if __name__ == "__main__":
    typer.run(main)
