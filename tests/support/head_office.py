"""A head office with two cells: the Mosquittos of all three, from the folders that `vp site provision` wrote."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.cuttable_link import CuttableLink
from tests.support.provisioned import Client, until
from tests.support.tiny import write_bundle
from tests.support.wheels import write_wheel
from vp_mqtt.bundle.signing import generate
from vp_mqtt.local.mosquitto import find_mosquitto
from vp_mqtt.local.ports import free_port
from vp_mqtt.site.accounts import accounts, folder_of
from vp_mqtt.site.head_accounts import head_accounts
from vp_mqtt.site.head_plan import Head, read_head
from vp_mqtt.site.head_provision import cell_folder, head_folder, provision_head
from vp_mqtt.site.provision import Provisioned

CELLS = ("north", "south")

SHOP = """
name = "shop"
bundle = "{bundle}"
bundle_key = "key.pub"
[broker]
host = "127.0.0.1"
state = "{state}"
[fusion]
board = "pi-0"
[[cameras]]
name = "door"
board = "pi-0"
[[boards]]
name = "pi-0"
variants = [0, 1]
"""

HEAD = """
name = "office"
bundles = true
[broker]
host = "127.0.0.1"
port = {port}
state = "{state}"
"""


class HeadOffice:
    """The brokers of a head office and of its cells, whose links to it can be cut."""

    def __init__(self) -> None:
        # Not pytest's folder: Mosquitto, started by root, runs as another user, who needs access.
        self.folder = Path(tempfile.mkdtemp(prefix="vp-head-"))
        self.folder.chmod(0o755)
        self.ports = {name: free_port() for name in ("head", *CELLS)}
        self.file, self.root = self.folder / "cells.toml", self.folder / "provisioned"
        write_wheel(self.folder)
        generate(self.folder / "key")
        state = self.folder / "mosquitto"
        bundle = write_bundle(self.folder / "bundle")
        self.bundle = bundle
        (self.folder / "shop.toml").write_text(SHOP.format(bundle=bundle, state=state))
        cells = "".join(f'[[cells]]\nplan = "shop.toml"\nname = "{name}"\n' for name in CELLS)
        self.file.write_text(HEAD.format(port=self.ports["head"], state=state) + cells)
        self._stack = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.links: dict[str, CuttableLink] = {}

    @property
    def head(self) -> Head:
        return read_head(self.file)

    def provision(self, *rotate: str) -> tuple[Provisioned, list[str]]:
        return provision_head(self.head, self.root, rotate=frozenset(rotate), now=dt.datetime.now(dt.UTC))

    def start_broker(self, name: str) -> None:
        """Install a broker's folder, as its install script does, and start Mosquitto on it."""
        own = head_folder(self.root) if name == "head" else cell_folder(self.root, name)
        installed = self.folder / f"etc-{name}"
        shutil.rmtree(installed, ignore_errors=True)
        shutil.copytree(own / "broker", installed)
        state = self.folder / f"state-{name}"
        state.mkdir(exist_ok=True)
        text = (installed / "mosquitto.conf").read_text(encoding="utf-8")
        text = re.sub(r"^listener \d+", f"listener {self.ports[name]} 127.0.0.1", text, flags=re.MULTILINE)
        text = re.sub("^persistence_location .*", f"persistence_location {state}/", text, flags=re.MULTILINE)
        (installed / "mosquitto.conf").write_text(text, encoding="utf-8")
        self._start(name, installed, "mosquitto.conf", state)

    def start_bridge(self, cell: str) -> None:
        """Install the folder of a cell's bridge, and start Mosquitto on it, with a link that can be cut."""
        installed = self.folder / f"etc-bridge-{cell}"
        shutil.copytree(cell_folder(self.root, cell) / "bridge", installed)
        text = (installed / "bridge.conf").read_text(encoding="utf-8")
        text = text.replace("/run/vp-bridge/socket", str(installed / "socket"))
        # Soon back, for the test's sake.
        text = re.sub("^restart_timeout .*", "restart_timeout 1 2", text, flags=re.MULTILINE)
        link = self.links[cell] = self._stack.enter_context(CuttableLink(self.ports["head"]))
        text = text.replace(f":{self.ports['head']}", f":{link.port}").replace(":8883", f":{self.ports[cell]}")
        (installed / "bridge.conf").write_text(text, encoding="utf-8")
        self._start(f"bridge-{cell}", installed, "bridge.conf")

    def _start(self, name: str, installed: Path, configuration: str, *others: Path) -> None:
        if os.geteuid() == 0:
            for path in (installed, *others, *installed.iterdir()):
                shutil.chown(path, "mosquitto", "mosquitto")
        program = find_mosquitto()
        assert program is not None, "the tests need a real Mosquitto: apt-get install mosquitto"
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [str(program), "-c", configuration], cwd=installed, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: " running" in self.log(name), f"Mosquitto runs: {self.log(name)}")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def at_head(self, name: str) -> Client:
        """Connect to the head office's broker with a person's account, or with that of a cell's bridge."""
        account = next(one for one in head_accounts(self.head) if one.name == name)
        own = head_folder(self.root)
        if account.role == "cell":
            return self._connect("head", own / "bridges", name, name, own / "people" / "watch" / "ca.crt")
        return self._connect("head", own / folder_of(account), account.file, name)

    def at_cell(self, cell: str, name: str) -> Client:
        """Connect to a cell's broker with an account of the cell."""
        account = next(one for one in accounts(self.head.cell(cell).plan) if one.name == name)
        return self._connect(cell, cell_folder(self.root, cell) / folder_of(account), account.file, name)

    def _connect(self, broker: str, folder: Path, file: str, name: str, ca: Path | None = None) -> Client:
        if ca is not None:
            shutil.copyfile(ca, folder / "ca.crt")
        password = (folder / f"{file}.password").read_text().strip()
        client = Client(("127.0.0.1", self.ports[broker]), folder, file, username=name, password=password)
        self._stack.callback(client.close)
        return client

    def vp(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder of the plan, or in another one."""
        return subprocess.run(
            [sys.executable, "-m", "vp_mqtt", *arguments],
            cwd=folder or self.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for process in self._processes.values():
            process.kill()
            process.wait()
        for log in sorted(self.folder.glob("*.log")):
            sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}")
        shutil.rmtree(self.folder, ignore_errors=True)
