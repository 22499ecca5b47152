"""A board's `install.sh`, in folders of its own, with a stub for each program that would change the system."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.provisioned import SITE, ProvisionedSite

_STUBS = {
    "id": "echo 0",
    "systemctl": 'echo "systemctl $*"',
    "chown": "",
    "getent": "",
    "runuser": "",
    # Files stay their owner's.
    "install": """
        count=$#
        while [ $count -gt 0 ]; do
            case "$1" in
                -o | -g) shift 2; count=$((count - 2)) ;;
                *) set -- "$@" "$1"; shift; count=$((count - 1)) ;;
            esac
        done
        exec "$INSTALL" "$@"
    """,
}


class Board:
    """A board as far as `install.sh` sees it.

    Attributes:
        root: the folder that stands for /.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._programs = root / "stubs"
        self._programs.mkdir(parents=True)
        for name, text in _STUBS.items():
            program = self._programs / name
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        (root / "etc" / "systemd" / "system").mkdir(parents=True)

    def install(self, provisioned: Path) -> list[str]:
        """Copy a provisioned folder over the one from before, run its script, and return the lines that it prints."""
        folder = self.root / "home" / "board"
        shutil.copytree(provisioned, folder, dirs_exist_ok=True)
        script = folder / "install.sh"
        script.write_text(re.sub(r"/(etc|opt|var)/", rf"{self.root}/\1/", script.read_text()))
        paths = os.pathsep.join((str(self._programs), os.environ["PATH"]))
        environment = {**os.environ, "PATH": paths, "INSTALL": shutil.which("install") or ""}
        done = subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    @property
    def settings(self) -> set[str]:
        """Names of the files of settings, of a bundle by its folder's."""
        return {path.name for path in (self.root / "etc" / "vp-mqtt").iterdir()}


@pytest.fixture
def site() -> Iterator[ProvisionedSite]:
    with ProvisionedSite() as provisioned:
        yield provisioned


def _of_node(stem: str) -> set[str]:
    return {f"{stem}.{suffix}" for suffix in ("toml", "crt", "key", "password")}


def test_what_a_board_no_longer_does_ends_there(site: ProvisionedSite, tmp_path: Path) -> None:
    board, provisioned = Board(tmp_path / "board"), site.root / "boards" / "pi-0"
    lines = board.install(provisioned)
    common = {"ca.crt", "bundle", "installed"}
    assert board.settings == _of_node("node-0") | _of_node("fusion") | common
    assert not any("disable" in line for line in lines)
    assert "systemctl restart --no-block vp-node@0.service vp-fusion.service" in lines
    own = board.root / "etc" / "vp-mqtt" / "own.toml"
    own.write_text("# not of install.sh")

    site.edit('name = "pi-0"\nvariants = [0]', 'name = "pi-0"\nvariants = [5]')
    site.edit('name = "pi-5"\nvariants = [5]', 'name = "pi-5"\nvariants = [0]')
    site.edit('[fusion]\nboard = "pi-0"', '[fusion]\nboard = "pi-1"')
    site.provision()
    lines = board.install(provisioned)
    assert board.settings == _of_node("node-5") | common | {own.name}
    assert {line for line in lines if line.startswith(("systemctl disable", "Stopped"))} == {
        "systemctl disable --now vp-node@0.service",
        "Stopped: vp-node@0.service",
        "systemctl disable --now vp-fusion.service",
        "Stopped: vp-fusion.service",
    }
    assert "systemctl restart --no-block vp-node@5.service" in lines
    # The script's folder has the keys of before, too, if it was copied over that.
    assert (board.root / "home" / "board" / "settings" / "node-0.key").exists()
    assert (board.root / "etc" / "vp-mqtt" / "bundle" / "variant-5.onnx").exists()

    assert not any("disable" in line for line in board.install(provisioned))


def test_a_board_of_another_site_forgets_the_bundles_of_the_former_one(site: ProvisionedSite, tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    board.install(site.root / "boards" / "pi-1")
    kept = board.root / "var" / "cache" / "vp-mqtt" / "bundles" / SITE / "current.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    site.edit("deadline_ms = 2000", "deadline_ms = 500")
    site.provision()
    board.install(site.root / "boards" / "pi-1")
    assert kept.exists()
    with ProvisionedSite() as other:
        board.install(other.root / "boards" / "pi-1")
    assert not kept.exists()
