"""The wheel: what it holds, and that it works where nothing of a checkout is."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vp_mqtt.site.package import requirements

ROOT = Path(__file__).parents[2]

BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"

IMPORT_ALL = """\
import importlib, pkgutil, sys
import vp_mqtt
names = [module.name for module in pkgutil.walk_packages(vp_mqtt.__path__, "vp_mqtt.")
         if not module.name.startswith("vp_mqtt.training") and not module.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), vp_mqtt.__file__, *sorted({"torch", "benchmarks", "tests"} & sys.modules.keys()), sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    importlib.import_module("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-c", BUILD, str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    return folder / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel where nothing of the checkout is, and return the folder of its programs.

    Its dependencies are those that the tests run with.
    """
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=100)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    return folder / "bin"


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(program), *arguments]
    return subprocess.run(
        command, cwd=program.parent, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def test_what_boards_install_is_in_the_wheel_by_version_and_hash(wheel: Path) -> None:
    text = requirements(wheel).decode()
    assert text.startswith(f"./{wheel.name} --hash=sha256:")
    assert text.endswith((ROOT / "requirements" / "board.txt").read_text(encoding="utf-8"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"vp_mqtt", next(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in names if "benchmark" in name or "test" in name.split("/")]
    assert "vp_mqtt/py.typed" in names
    assert "vp_mqtt/assets/bundles/fashion-mnist/manifest.json" in names


@pytest.mark.parametrize("program", ["vp-node", "vp-camera", "vp-fusion", "vp"])
def test_every_program_helps(scripts: Path, program: str) -> None:
    done = run(scripts / program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: {program} " in done.stdout


def test_no_module_outside_training_imports_torch_or_anything_of_a_checkout(scripts: Path) -> None:
    done = run(scripts / "python", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    count, place, *unwanted = done.stdout.splitlines()
    assert unwanted == []
    assert int(count) > 50
    assert Path(place).is_relative_to(scripts.parent)


def test_the_commands_for_boards_are_there(scripts: Path) -> None:
    shown = run(scripts / "vp", "bench", "--help").stdout
    assert "speed" in shown
    assert "plan" in shown
    assert "latency" not in shown
    done = run(scripts / "vp", "bench", "speed", "--runs", "1", "--size", "64x48", "--json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("bench", "latency"), ("bench", "latency", "--json"), ("baseline", "cut")])
def test_a_measurement_says_that_it_needs_a_checkout(scripts: Path, arguments: tuple[str, ...]) -> None:
    done = run(scripts / "vp", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"{arguments[0]} {arguments[1]}: most measurements are only in a clone of vp-mqtt" in done.stderr
