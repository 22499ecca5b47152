"""`vp bench brokers`: what Mosquitto, iotcore and amqtt do of what this project needs.

Every check runs against a fresh broker on 127.0.0.1, over real sockets, with paho-mqtt, and with a time-out. Latency is
measured on all brokers at once, in turns. It needs the extra `broker`, `pip install amqtt`, Mosquitto and psutil.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from benchmarks.brokers.checks import BOTH, ONLY_5, Finding, mqtt5
from benchmarks.brokers.client import Broker, RunningBroker
from benchmarks.brokers.latency import measure_latency
from benchmarks.brokers.throughput import shared, throughput
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker import LocalBroker, write_rumqttd
from vp_mqtt.local.broker_process import BrokerProcess, StartError
from vp_mqtt.local.mosquitto import write_mosquitto
from vp_mqtt.local.ports import HOST, free_port

_CHECK_S = 60.0

Check = Callable[[RunningBroker], Finding]


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


def all_brokers() -> list[Broker]:
    """Return the brokers to compare; `compare` finds out first which of them speak MQTT 5.

    Raises:
        UserError: one of them is not installed.
    """
    return [
        Broker("mosquitto", LocalBroker.find("mosquitto").info.version, _mosquitto(nodelay=True)),
        Broker("iotcore", _version("iotcore"), _iotcore),
        Broker("amqtt", _version("amqtt"), _amqtt),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"{package} is not installed: `pip install {package}`") from None


@contextlib.contextmanager
def start(broker: Broker) -> Iterator[RunningBroker]:
    """Start a broker, and stop it and its clients at the end of the context."""
    running = RunningBroker(broker, ws_port=free_port())
    process = BrokerProcess(lambda folder, port: broker.write(folder, port, running.ws_port))
    began = time.monotonic()
    process.start()
    try:
        running.started_ms = (time.monotonic() - began) * 1000
        running.port = process.port
        running.pid = process.pid
        yield running
    finally:
        for client in running.clients:
            client.close()
        process.stop()


def examine(broker: Broker, check: Check) -> dict[str, Any]:
    """Run one check against a fresh broker, and report it if that hangs or ends."""
    if check in ONLY_5 and not broker.v5:
        return {"ok": False, "detail": "needs MQTT 5"}
    pool = ThreadPoolExecutor(1)
    try:
        with start(broker) as running:
            try:
                ok, detail = pool.submit(check, running).result(timeout=_CHECK_S)
            except TimeoutError:
                ok, detail = False, f"hung: no result within {_CHECK_S:.0f} s"
            except Exception as error:  # noqa: BLE001 - the finding is that it fails, and how
                ok, detail = False, f"failed: {error!r}"
            if not psutil.pid_exists(running.pid):
                ok, detail = False, f"the broker ended; {detail}"
    except StartError as error:
        ok, detail = False, f"did not start: {error}"
    finally:
        pool.shutdown(wait=False)
    return {"ok": ok, "detail": detail}


def compare(only: Sequence[str], rounds: int, repeats: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Compare the brokers, and return what `vp bench brokers --json` prints.

    Args:
        only: names of the checks to make, or "latency"; none: all.
        rounds: frames per broker, setting and repeat of the latency measurement.
        repeats: repeats of the latency measurement.
        report: called with a line about each finding.
    """
    brokers = all_brokers()
    found: dict[str, Any] = {
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
        if only and check != mqtt5 and check.__name__ not in only:
            continue
        row = found["checks"][check.__name__] = {}
        for broker in brokers:
            row[broker.name] = finding = examine(broker, check)
            if check is mqtt5:
                broker.v5 = finding["ok"]
            report(f"{check.__name__} {broker.name}: {finding['ok']} {finding['detail']}")
    if not only or "latency" in only:
        without = Broker("mosquitto, set_tcp_nodelay false", brokers[0].version, _mosquitto(nodelay=False))
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(start(one)) for one in (brokers[0], without, *brokers[1:])]
            found["latency"] = measure_latency(running, rounds, repeats)
    return found
