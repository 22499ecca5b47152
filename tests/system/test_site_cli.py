"""`vp site init` and `vp site check`, as a user calls them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.wheels import LOCKED, NAME, write_wheel

LONG = "x" * 60
TWO_LONG_NAMES = f"""[[cameras]]
name = "{LONG}a"
board = "pi-0"
[[cameras]]
name = "{LONG}b\""""
ROOT = Path(__file__).parents[2]
FLAGS = ["--name", "home", "--broker", "127.0.0.1", "--boards", "pi-0, pi-1,pi-2", "--camera", "pi-cam"]


def vp(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "site", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_wheel(tmp_path)
    done = vp(tmp_path, "init", *FLAGS)
    assert done.returncode == 0, done.stderr
    return tmp_path


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "site.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "site.toml").write_text(text.replace(old, new), encoding="utf-8")


def test_init_writes_a_plan_without_problems(folder: Path) -> None:
    done = vp(folder, "check", "--offline", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"site": "home", "ok": True, "problems": [], "hints": []})


def test_init_says_what_each_board_runs_and_what_is_to_do(folder: Path) -> None:
    (folder / "site.toml").unlink()
    boards = [f"pi-{n}" for n in range(7)]
    done = vp(folder, "init", *FLAGS, "--boards", ",".join(boards), "--camera", "pi-9", "--fusion", "pi-0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "board pi-0: variant 0, fusion node",
        *(f"board pi-{n}: variant {n}" for n in range(1, 7)),
        "board pi-9: camera",
        (
            "to do: board 'pi-6': variant 6 is not in the bundle 'caltech101', which has 0 to 5; "
            "further boards can share a variant's frames: replicas, docs/sharing.md"
        ),
        "wrote site.toml; review it, then: vp site check site.toml && vp site provision site.toml",
    ]
    done = vp(folder, "init", ".", "--force", *FLAGS)
    assert (done.returncode, done.stderr) == (2, "vp: .: this is a folder; name the file to write: site.toml\n")


def test_init_never_overwrites_unasked_and_reports_what_is_missing(folder: Path) -> None:
    before = (folder / "site.toml").read_bytes()
    done = vp(folder, "init", *FLAGS)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (folder / "site.toml").read_bytes() == before
    (folder / "site.toml").unlink()
    done = vp(folder, "init", "--name", "home")
    assert done.returncode == 2
    assert "--broker is missing" in done.stderr
    done = vp(folder, "init", *FLAGS, "--name", "no/name")
    assert done.returncode == 2
    assert "name" in done.stderr
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("variants = [1]", "variants = [5]", "variant 5 runs on 'pi-1' and 'pi-2'"),
        ("variants = [1]", "variants = [9]", "board 'pi-1': variant 9 is not in the bundle 'caltech101'"),
        ('"pi-1"', '"pi-0"', "two boards are called 'pi-0'"),
        ('bundle = "caltech101"', 'bundle = "nowhere"', "nowhere"),
        ('[[people]]\nname = "watch"', '[[people]]\nname = "variant-1"', "'variant-1' is the name of a node"),
        ('board = "pi-cam"\nsource', 'board = "pi-nine"\nsource', "there is no board 'pi-nine'"),
        ("# bundle_key = ", "bundle_key = ", "vp keygen"),
        ('# package = "vp_mqtt-0.1.0-py3-none-any.whl"', 'package = "vp-mqtt"', "not what an index has under a name"),
        ('# package = "vp_mqtt-0.1.0-py3-none-any.whl"', 'package = "other.whl"', "there is no file"),
        ('[[cameras]]\nname = "cam0"', TWO_LONG_NAMES, "would share the account 'camera-xxx"),
    ],
)
def test_check_reports_what_is_wrong(folder: Path, old: str, new: str, reported: str) -> None:
    edit(folder, old, new)
    done = vp(folder, "check", "--offline")
    assert done.returncode == 1, done.stderr
    assert reported in done.stdout
    refused = vp(folder, "provision")
    assert refused.returncode == 2
    assert refused.stderr.startswith("vp: ")
    assert not (folder / "provisioned").exists()


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("deadline_ms", "dedline_ms", "dedline_ms: there is no such key"),
        ("port = 8883", "port = 88830", "broker.port"),
        ("[broker]", "[broker", "not valid TOML"),
        ('host = "127.0.0.1"', 'host = "a b"', "neither a host name nor an IP address"),
        ("[broker]", '[broker]\nstate = "/"', "belongs to the system"),
    ],
)
def test_a_file_that_is_not_a_plan_is_reported_in_one_line(folder: Path, old: str, new: str, reported: str) -> None:
    edit(folder, old, new)
    done = vp(folder, "check", "--offline")
    assert done.returncode == 2
    assert reported in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_boards_need_a_wheel_that_locks_its_dependencies(folder: Path) -> None:
    (folder / NAME).unlink()
    done = vp(folder, "check", "--offline")
    assert done.returncode == 1
    assert "no wheel of vp-mqtt for the boards; build one in a clone of vp-mqtt: pip wheel --no-deps ." in done.stdout
    write_wheel(folder, locked=None)
    assert "does not say which dependencies it needs" in vp(folder, "check", "--offline").stdout
    (folder / NAME).write_bytes(b"no zip")
    assert "cannot be used" in vp(folder, "check", "--offline").stdout
    wheel = write_wheel(folder)
    assert vp(folder, "provision").returncode == 0
    written = (folder / "provisioned" / "boards" / "pi-0" / "requirements.txt").read_text()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert written == f"./{NAME} --hash=sha256:{digest}\n{LOCKED}"


def test_check_reports_whether_the_broker_can_be_reached(folder: Path, broker: Mosquitto) -> None:
    edit(folder, "port = 8883", f"port = {broker.port}")
    assert vp(folder, "check").returncode == 0
    broker.stop()
    done = vp(folder, "check")
    assert done.returncode == 1
    assert "is Mosquitto running there?" in done.stdout
    edit(folder, 'host = "127.0.0.1"', 'host = "nobody.invalid"')
    assert "'nobody.invalid' is not known" in vp(folder, "check").stdout


def test_weak_passwords_are_found_and_kept(folder: Path) -> None:
    assert vp(folder, "provision").returncode == 0
    password = folder / "provisioned" / "people" / "watch" / "watch.password"
    password.write_text("watch123\n")
    done = vp(folder, "check", "--offline")
    assert done.returncode == 1
    assert "weak password" in done.stdout
    assert "watch123" not in done.stdout + done.stderr
    done = vp(folder, "provision")
    assert done.returncode == 0
    assert "weak password" in done.stderr
    assert password.read_text() == "watch123\n"


def test_show_settings_prints_no_secrets(folder: Path) -> None:
    assert vp(folder, "provision").returncode == 0
    settings = folder / "provisioned" / "boards" / "pi-1" / "settings"
    shown = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "node", "--config", "node-1.toml", "--show-settings"],
        cwd=settings,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "variant-1" in shown.stdout
    assert (settings / "node-1.password").read_text().strip() not in shown.stdout
