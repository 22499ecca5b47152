"""The plan of a head office with several cells, and what `vp site provision` writes for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.head_office import CELLS, HeadOffice
from vp_mqtt.cli.site import app
from vp_mqtt.errors import UserError
from vp_mqtt.site.head_plan import head_problems, is_head, read_head
from vp_mqtt.site.render import queue_limits

RUNNER = CliRunner()


@pytest.fixture
def office() -> Iterator[HeadOffice]:
    with HeadOffice() as made:
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_cells_that_are_alike_share_a_plan(office: HeadOffice) -> None:
    text = office.file.read_text(encoding="utf-8")
    office.file.write_text(text.replace('name = "north"', 'name = "north"\nbroker = ["10.1.0.1", "10.1.0.2"]'))
    north, south = read_head(office.file).cells
    assert (north.name, south.name) == CELLS
    assert north.plan.broker.hosts == ("10.1.0.1", "10.1.0.2")
    assert south.plan.broker.hosts == ("127.0.0.1",)
    assert is_head(office.file)
    assert not is_head(office.folder / "shop.toml")
    assert head_problems(office.head) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "south"', 'name = "north"', "two cells are called 'north'"),
        ('name = "south"', 'name = "office"', "a cell is called 'office' like the head office"),
        ('name = "south"', 'name = "watch"', "[[people]] 'watch' is the name of a cell"),
        ("bundles = true", 'bundles = true\npeople = [{ name = "h", role = "home-assistant" }]', "belongs to a cell"),
    ],
)
def test_what_is_wrong_with_a_head_office_is_said(office: HeadOffice, old: str, new: str, said: str) -> None:
    office.file.write_text(office.file.read_text(encoding="utf-8").replace(old, new))
    assert said in "\n".join(head_problems(office.head))
    with pytest.raises(UserError):
        office.provision()
    assert not office.root.exists()


def test_bundles_travel_down_only_to_cells_that_ask_for_a_signature(office: HeadOffice) -> None:
    shop = office.folder / "shop.toml"
    shop.write_text(shop.read_text(encoding="utf-8").replace('bundle_key = "key.pub"\n', ""))
    assert "its plan has no bundle_key" in head_problems(office.head)[0]
    office.file.write_text(office.file.read_text(encoding="utf-8").replace("bundles = true", "labels = false"))
    office.provision()
    assert "bundle" not in (office.root / "head" / "broker" / "access").read_text(encoding="utf-8")
    bridge = (office.root / "cells" / "north" / "bridge" / "bridge.conf").read_text(encoding="utf-8")
    assert "/bundle/" not in bridge
    assert "/label" not in bridge


def test_the_commands_of_one_site_take_the_plan_of_a_head_office(office: HeadOffice) -> None:
    file = str(office.file)
    checked = RUNNER.invoke(app, ["check", file, "--offline", "--json"])
    assert json.loads(checked.stdout) == {"site": "office", "ok": True, "problems": [], "hints": []}
    assert RUNNER.invoke(app, ["check", file]).exit_code == 1
    first = RUNNER.invoke(app, ["provision", file])
    assert "wrote cells/south/bridge/install.sh" in first.stdout
    assert "copy head/broker/, cells/*/broker/, cells/*/bridge/ and cells/*/boards/*" in first.stdout
    assert "nothing to change" in RUNNER.invoke(app, ["provision", file]).stdout
    for arguments, said in (
        (["status", file], "name a --cell"),
        (["status", file, "--cell", "east"], "there is no cell 'east'"),
        (["cells", file, "--account", "nobody"], "there is no such account"),
        (["cells", str(office.folder / "shop.toml")], r"no \[\[cells\]\]"),
    ):
        with pytest.raises(UserError, match=said):
            RUNNER.invoke(app, arguments, catch_exceptions=False)


def test_a_bridge_gets_all_addresses_of_both_brokers_in_mosquittos_form(office: HeadOffice) -> None:
    text = office.file.read_text(encoding="utf-8")
    text = text.replace('name = "north"', 'name = "north"\nbroker = ["cell.local", "fd00::2"]')
    office.file.write_text(text.replace('host = "127.0.0.1"', 'host = ["fd00::1", "mqtt.example.com"]'))
    office.provision()
    bridge = (office.root / "cells" / "north" / "bridge" / "bridge.conf").read_text(encoding="utf-8").splitlines()
    port = office.ports["head"]
    assert "address cell.local:8883 fd00::2:8883" in bridge
    assert bridge.count(f"address fd00::1:{port} mqtt.example.com:{port}") == 2


def test_what_is_wrong_with_a_shared_plan_is_said_once(office: HeadOffice) -> None:
    shop = office.folder / "shop.toml"
    shop.write_text(shop.read_text(encoding="utf-8").replace("variants = [0, 1]", "variants = [0, 9]"))
    assert [problem for problem in head_problems(office.head) if "variant 9" in problem] == [
        (
            "cell 'north': board 'pi-0': variant 9 is not in the bundle 'tiny', which has 0 to 5; "
            "further boards can share a variant's frames: replicas, docs/sharing.md"
        ),
    ]


def test_a_second_run_changes_nothing_and_rotating_a_cell_both_ends_of_its_bridge(office: HeadOffice) -> None:
    office.provision()
    before = contents(office.root)
    done, gone = office.provision()
    assert (done.changes.written, done.changes.removed, done.weak, gone) == ((), (), (), [])
    written = set(office.provision("north")[0].changes.written)
    assert written == {
        *(f"head/bridges/north.{suffix}" for suffix in ("crt", "key", "password")),
        "head/broker/passwords",
        *(f"cells/north/bridge/{file}" for file in ("head.crt", "head.key", "bridge.conf")),
    }
    password = (office.root / "head" / "bridges" / "north.password").read_text(encoding="utf-8").strip()
    assert f"remote_password {password}" in contents(office.root)["cells/north/bridge/bridge.conf"].decode()
    assert contents(office.root)["cells/south/bridge/bridge.conf"] == before["cells/south/bridge/bridge.conf"]


def test_one_board_or_the_bridge_of_a_cell_is_rotated(office: HeadOffice) -> None:
    office.provision()
    written = office.provision("north/pi-0", "south/bridge")[0].changes.written
    assert {path.split("/")[1] for path in written if "/boards/" in path} == {"north"}
    assert "cells/south/bridge/cell.key" in written
    assert "cells/south/broker/passwords" in written
    before = contents(office.root)
    for wrong in ("pi-0", "east/pi-0", "north/pi-9"):
        with pytest.raises(UserError, match="there is no"):
            office.provision("broker", wrong)
    assert contents(office.root) == before


def test_a_cell_that_is_removed_loses_its_account_and_keeps_its_folder(office: HeadOffice) -> None:
    office.provision()
    text = office.file.read_text(encoding="utf-8")
    office.file.write_text(text.replace('[[cells]]\nplan = "shop.toml"\nname = "south"\n', ""))
    done, gone = office.provision()
    assert gone == [str(office.root / "cells" / "south")]
    assert "head/bridges/south.key" in done.changes.removed
    assert "south" not in contents(office.root)["head/broker/access"].decode()
    assert "south" not in contents(office.root)["head/broker/passwords"].decode()


def test_secrets_are_their_owners_only_and_every_cell_has_an_authority_of_its_own(office: HeadOffice) -> None:
    office.provision()
    for path in office.root.rglob("*"):
        is_secret = path.suffix in {".key", ".password"} or path.name in {"passwords", "bridge.conf", "camera.toml"}
        assert not path.is_file() or (path.stat().st_mode & 0o077 == 0) == is_secret, path
    files = contents(office.root)
    authorities = {files[f"{folder}/authority/ca.crt"] for folder in ("head", "cells/north", "cells/south")}
    assert len(authorities) == 3
    assert files["cells/north/bridge/head-ca.crt"] == files["head/authority/ca.crt"]


def test_the_bridges_script_installs_every_file_that_its_configuration_names(office: HeadOffice) -> None:
    office.provision()
    folder = office.root / "cells" / "north" / "bridge"
    script = (folder / "install.sh").read_text(encoding="utf-8")
    named = re.findall(r"^bridge_\w*file (\S+)", (folder / "bridge.conf").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) == {"ca.crt", "cell.crt", "cell.key", "head-ca.crt", "head.crt", "head.key"}
    for file in {*named, "bridge.conf", "vp-bridge.service"}:
        assert (folder / file).is_file()
        assert f" {file} " in script


@pytest.mark.parametrize(("retained", "queued", "size"), [(9, "100", "33554432"), (100_000, "200000", "204800000")])
def test_all_that_a_broker_retains_fits_into_a_clients_queue(retained: int, queued: str, size: str) -> None:
    assert queue_limits(retained) == {"queued": queued, "queued_bytes": size}
