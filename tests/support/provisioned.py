"""A provisioned site: its Mosquitto and its nodes, started from the folders that `vp site provision` wrote."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support.site import write_pictures
from tests.support.tiny import write_bundle
from tests.support.wheels import write_wheel
from vp_mqtt.local.mosquitto import find_mosquitto
from vp_mqtt.local.ports import free_port
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import LabelMessage, StatusMessage
from vp_mqtt.site.accounts import Account, accounts, folder_of
from vp_mqtt.site.plan import SitePlan, read_plan
from vp_mqtt.site.provision import Provisioned, provision

SITE = "yard"
PATIENCE_S = 60.0


def until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE_S) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)


def plan_text(*, host: str, port: int, state: Path, bundle: Path, pictures: Path, boards: int) -> str:
    """Return the plan of a site whose board 0 holds the fusion node, and whose camera has its own board."""
    variants = "".join(f'[[boards]]\nname = "pi-{index}"\nvariants = [{index}]\n' for index in range(boards))
    return f"""
name = "{SITE}"
bundle = "{bundle}"
deadline_ms = 2000
[broker]
host = "{host}"
port = {port}
bind = "{host}"
state = "{state}"
[fusion]
board = "pi-0"
[web]
board = "pi-cam"
[[cameras]]
name = "gate"
board = "pi-cam"
source = "{pictures}"
fps = 10
[[people]]
name = "alice"
role = "operator"
[[people]]
name = "bob"
[[people]]
name = "carol"
frames = true
[[people]]
name = "hass"
role = "home-assistant"
{variants}
[[boards]]
name = "pi-cam"
"""


class ProvisionedSite:
    """The site, its broker, and whichever nodes are started.

    Args:
        host: the address that the broker listens on.
        boards: how many boards run a variant.
        namespace: gives the network namespace of a board, or of "broker"; None for the machine's own network.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", boards: int = 6, namespace: Callable[[str], str | None] = lambda _: None
    ) -> None:
        # Not pytest's folder: Mosquitto, started by root, runs as another user, who needs access.
        self.folder = Path(tempfile.mkdtemp(prefix="vp-site-"))
        self.folder.chmod(0o755)
        self.host, self.port = host, free_port()
        self._namespace = namespace
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._clients: list[Client] = []
        state = self.folder / "state"
        state.mkdir()
        self._hand_to_mosquitto(state)
        self.file = self.folder / "site.toml"
        write_wheel(self.folder)
        self.root = self.folder / "provisioned"
        self.file.write_text(
            plan_text(
                host=host,
                port=self.port,
                state=state,
                bundle=write_bundle(self.folder / "bundle"),
                pictures=write_pictures(self.folder / "pictures"),
                boards=boards,
            )
        )
        self.provision()

    @property
    def plan(self) -> SitePlan:
        return read_plan(self.file)

    def provision(self, *rotate: str, now: dt.datetime | None = None) -> Provisioned:
        now = now or dt.datetime.now(dt.UTC)
        return provision(self.plan, self.folder, self.root, rotate=frozenset(rotate), now=now)

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Return bytes and mode of every file of the provisioned folder."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {p.relative_to(self.root).as_posix(): (p.read_bytes(), p.stat().st_mode & 0o777) for p in files}

    def edit(self, old: str, new: str) -> None:
        """Replace a text in the plan."""
        text = self.file.read_text(encoding="utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new), encoding="utf-8")

    def account(self, name: str) -> Account:
        return next(account for account in accounts(self.plan) if account.name == name)

    def settings_folder(self, name: str) -> Path:
        return self.root / folder_of(self.account(name))

    @staticmethod
    def _hand_to_mosquitto(*paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                shutil.chown(path, "mosquitto", "mosquitto")

    def _inside(self, place: str, command: Sequence[str]) -> list[str]:
        namespace = self._namespace(place) if place else None
        return [*(["ip", "netns", "exec", namespace] if namespace else []), *command]

    def start_broker(self) -> None:
        """Install the broker's folder, as its install script does, and start Mosquitto on it."""
        installed = self.folder / "etc"
        shutil.rmtree(installed, ignore_errors=True)
        shutil.copytree(self.root / "broker", installed)
        self._hand_to_mosquitto(installed, *installed.iterdir())
        program = find_mosquitto()
        assert program is not None, "the tests need a real Mosquitto: apt-get install mosquitto"
        log = self.folder / "broker.log"
        log.unlink(missing_ok=True)
        self._start("broker", self._inside("broker", [str(program), "-c", "mosquitto.conf"]), installed, {})
        until(lambda: " running" in self.log("broker"), f"Mosquitto runs: {self.log('broker')}")

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        process = self._processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def start(self, name: str, *more: str, **environment: str) -> None:
        """Start a node on its settings, in a copy of its board's folder."""
        account = self.account(name)
        role = {"variant": "node"}.get(account.role, account.role)
        command = [sys.executable, "-m", "vp_mqtt", role, "--config", f"{account.file}.toml", *more]
        variables = {
            "VP_STATS_EVERY": "0.5",
            "VP_RUNTIME": "onnxruntime",
            # What systemd gives each board's units.
            "CACHE_DIRECTORY": str(self.folder / "cache" / (account.board or "")),
            **environment,
        }
        variables = {key: value for key, value in variables.items() if key != "VP_RUNTIME" or role == "node"}
        # As install.sh does: newly provisioned files reach the board when they are copied there.
        installed = self.folder / "installed" / (account.board or name)
        shutil.copytree(self.settings_folder(name), installed, dirs_exist_ok=True)
        self._start(name, self._inside(account.board or "", command), installed, variables)

    def _start(self, name: str, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def vp(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder of an account's settings, on its board."""
        board = self.account(name).board or ""
        return subprocess.run(
            self._inside(board, [sys.executable, "-m", "vp_mqtt", *arguments]),
            cwd=self.settings_folder(name),
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "CACHE_DIRECTORY": str(self.folder / "cache" / board),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def vp_status_bundles(self) -> set[str]:
        """Return the names of the bundles that the site's boards run, as `vp site status` reports them."""
        reported = json.loads(self.vp("alice", "site", "status", str(self.file), "--wait", "3", "--json").stdout)
        return {node["bundle"].split()[0] for node in reported["nodes"] if node["bundle"]}

    def reinstall_broker(self) -> None:
        """Copy the broker's folder again, and make Mosquitto reload it."""
        installed = self.folder / "etc"
        shutil.copytree(self.root / "broker", installed, dirs_exist_ok=True)
        self._hand_to_mosquitto(installed, *installed.iterdir())
        seen = self.log("broker").count("Reloading config")
        self._processes["broker"].send_signal(signal.SIGHUP)
        until(lambda: self.log("broker").count("Reloading config") > seen, "the broker reloads its files")

    def wait(self, name: str, timeout: float = 30) -> int:
        return self._processes.pop(name).wait(timeout)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def connect(self, name: str, **other: str) -> Client:
        """Connect a plain client with an account's certificate and password."""
        folder, account = self.settings_folder(name), self.account(name)
        password = other.get("password") or (folder / f"{account.file}.password").read_text().strip()
        client = Client(
            (self.host, self.port), folder, account.file, username=other.get("username", name), password=password
        )
        self._clients.append(client)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        # pytest shows this for failed tests.
        for log in sorted(self.folder.glob("*.log")):
            sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')}")
        shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """A plain MQTT client that records how the broker acknowledged its messages."""

    def __init__(self, address: tuple[str, int], folder: Path, file: str, *, username: str, password: str) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._acknowledged: dict[int, ReasonCode] = {}
        self._subscribed = threading.Event()
        self.answer: list[ReasonCode] = []
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self._mqtt.tls_set(str(folder / "ca.crt"), str(folder / f"{file}.crt"), str(folder / f"{file}.key"))
        self._mqtt.username_pw_set(username, password)
        self._mqtt.on_connect = lambda _c, _d, _f, reason, _p: self.answer.append(reason)
        self._mqtt.on_subscribe = lambda *_: self._subscribed.set()
        self._mqtt.on_publish = lambda _c, _d, mid, reason, _p: self._acknowledged.update({mid: reason})
        self._mqtt.on_message = lambda _c, _d, m: self.received.append((m.topic, bytes(m.payload)))
        self._mqtt.connect(*address)
        self._mqtt.loop_start()
        until(lambda: self.answer, "an answer to CONNECT")

    def may_publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> bool:
        info = self._mqtt.publish(topic, payload, qos=1, retain=retain)
        until(lambda: info.mid in self._acknowledged, f"an acknowledgement of {topic}")
        return not self._acknowledged[info.mid].is_failure

    def subscribe(self, topic: str) -> None:
        self._subscribed.clear()
        # No own messages come back: what is received is what this account may read.
        self._mqtt.subscribe(topic, options=SubscribeOptions(qos=1, noLocal=True))
        assert self._subscribed.wait(PATIENCE_S)

    def topics(self) -> set[str]:
        return {topic for topic, _ in list(self.received)}

    def labels(self) -> list[LabelMessage]:
        return [LabelMessage.decode(payload) for topic, payload in list(self.received) if topic.endswith("/label")]

    def states(self) -> dict[str, str]:
        found = {}
        for topic, payload in list(self.received):
            if topic.endswith("/status") and payload:
                found[topics.parse(topic).source] = str(StatusMessage.decode(payload).state)
        return found

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
