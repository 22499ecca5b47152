"""A head office and its cells in network namespaces, from the folders that `vp site provision` writes. Needs root."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.child_process import module_command
from benchmarks.emulation.network import BROKER_ADDRESS, BoardNetwork
from vp_mqtt.errors import UserError
from vp_mqtt.local.mosquitto import find_mosquitto
from vp_mqtt.nodes.sources import SAMPLES
from vp_mqtt.site.accounts import BOARDS, accounts, folder_of
from vp_mqtt.site.head_plan import Head, read_head
from vp_mqtt.site.head_provision import cell_folder, head_folder, provision_head

CELLS = ("north", "south")
BOARD = "pi-0"
_BUNDLE = "fashion-mnist"
_PICTURES = 4
_START_S = 60.0

_CELL = """
name = "{name}"
bundle = "{bundle}"
[broker]
host = "10.78.{index}.2"
state = "{state}"
[fusion]
board = "{board}"
state_labels = 3
state_window = 5
state_dwell = 0
[[cameras]]
name = "door"
board = "{board}"
source = "{pictures}"
fps = {fps}
[[boards]]
name = "{board}"
variants = [4, 5]
"""


class Office:
    """The brokers, bridges and nodes; everything ends with the context."""

    def __init__(self, *, fps: float, frames_per_picture: int) -> None:
        """Prepare, without starting anything.

        Args:
            fps: frames per second of the camera of each cell.
            frames_per_picture: for so many frames each picture is shown, so that states change.
        """
        self._stack = ExitStack()
        self._fps = fps
        self._frames_per_picture = frames_per_picture
        self.networks = {name: BoardNetwork(index) for index, name in enumerate(CELLS)}
        self.bridges: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Provision and start everything. Within `private_network`.

        Raises:
            NoNetworkError: this machine does not allow it.
            UserError: a broker or a node did not start.
        """
        with ExitStack() as stack:
            # Mosquitto, started by root, runs as another user.
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mosquitto-cells-")))
            self.folder.chmod(0o755)
            for network in self.networks.values():
                stack.enter_context(network)
            self.head = self._provision()
            self._start_brokers(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _provision(self) -> Head:
        pictures = self.folder / "pictures"
        pictures.mkdir()
        samples = sorted((SAMPLES / _BUNDLE).rglob("*.*"))
        step = max(1, len(samples) // _PICTURES)
        for number, sample in enumerate(samples[::step][:_PICTURES]):
            for copy in range(self._frames_per_picture):
                shutil.copyfile(sample, pictures / f"{number:02}-{copy:04}{sample.suffix}")
        with zipfile.ZipFile(self.folder / "vp_mqtt-0.0.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("vp_mqtt/site/files/requirements.txt", "")
        text = f'name = "office"\n[broker]\nhost = "{BROKER_ADDRESS}"\nstate = "{self.folder}/state-head"\n'
        for index, name in enumerate(CELLS):
            state = self.folder / f"state-{name}"
            plan = _CELL.format(
                name=name, bundle=_BUNDLE, index=index, state=state, board=BOARD, pictures=pictures, fps=self._fps
            )
            (self.folder / f"{name}.toml").write_text(plan, encoding="utf-8")
            text += f'[[cells]]\nplan = "{name}.toml"\n'
        file = self.folder / "cells.toml"
        file.write_text(text, encoding="utf-8")
        head = read_head(file)
        self.root = self.folder / "provisioned"
        provision_head(head, self.root, now=dt.datetime.now(dt.UTC))
        return head

    def _start_brokers(self, stack: ExitStack) -> None:
        self._mosquitto(stack, "head", head_folder(self.root) / "broker", "mosquitto.conf", ())
        for name, network in self.networks.items():
            folder = cell_folder(self.root, name)
            self._mosquitto(stack, name, folder / "broker", "mosquitto.conf", network.prefix)
            bridge = self._mosquitto(stack, f"bridge-{name}", folder / "bridge", "bridge.conf", network.prefix)
            self.bridges[name] = bridge

    def _mosquitto(
        self, stack: ExitStack, name: str, source: Path, file: str, prefix: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        installed, state = self.folder / f"etc-{name}", self.folder / f"state-{name}"
        shutil.copytree(source, installed)
        state.mkdir()
        configuration = installed / file
        text = configuration.read_text(encoding="utf-8").replace("/run/vp-bridge/socket", str(installed / "socket"))
        configuration.write_text(text, encoding="utf-8")
        for path in (installed, state, *installed.iterdir()):
            shutil.chown(path, "mosquitto", "mosquitto")
        program = find_mosquitto()
        if program is None:
            raise UserError("Mosquitto is not installed: apt-get install mosquitto")
        process = self.start(stack, name, [*prefix, str(program), "-c", file], installed)
        self._await(lambda: " running" in self.log(name), f"{name}: {self.log(name)}")
        return process

    def start_nodes(self) -> None:
        """Start the nodes of every cell, within its namespace."""
        for name, network in self.networks.items():
            board = cell_folder(self.root, name) / BOARDS / BOARD / "settings"
            nodes = [one for one in accounts(self.head.cell(name).plan) if one.is_node]
            for node in nodes:
                role = "node" if node.role == "variant" else node.role
                command = [*network.prefix, sys.executable, "-m", "vp_mqtt", role, "--config", f"{node.file}.toml"]
                self.start(self._stack, f"{name}-{node.name}", command, board, CACHE_DIRECTORY=str(self.folder / name))

    def start_recorder(self, cell: str) -> None:
        """Record, within a cell, what is said there; see `recorded`."""
        operator = next(one for one in accounts(self.head.cell(cell).plan) if one.role == "operator")
        folder = cell_folder(self.root, cell) / folder_of(operator)
        command = module_command("benchmarks.cells.recorder", f"{operator.file}.toml", cell)
        self.start(self._stack, f"recorded-{cell}", [*self.networks[cell].prefix, *command], folder)

    def recorded(self, cell: str) -> list[str]:
        """Return the lines that the recorder of a cell has written."""
        return (self.folder / f"recorded-{cell}.out").read_text(encoding="utf-8").splitlines()

    def start(
        self, stack: ExitStack, name: str, command: Sequence[str], folder: Path, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a process that ends with the context."""
        out = stack.enter_context((self.folder / f"{name}.out").open("wb"))
        log = stack.enter_context((self.folder / f"{name}.log").open("wb"))
        root = str(Path(__file__).parents[2])
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root, **environment},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=log,
        )
        stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def log(self, name: str) -> str:
        """Return what a process has written to standard error."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    @staticmethod
    def _await(condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _START_S
        while not condition():
            if time.monotonic() > end:
                raise UserError(f"did not start: {what}")
            time.sleep(0.05)
