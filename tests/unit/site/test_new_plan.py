from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny import write_bundle
from vp_mqtt.site import new_plan
from vp_mqtt.site.plan import read_plan
from vp_mqtt.site.problems import problems


@pytest.mark.parametrize(
    ("source", "mode"), [("0", 0o644), ("rtsp://cam/stream", 0o644), ("rtsp://admin:Geheim@cam/stream", 0o600)]
)
def test_a_plan_with_a_password_is_its_owners_only(source: str, mode: int, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    answers = {"name": "home", "broker": "broker", "camera": "pi-cam", "source": source, "fusion": "pi-cam"}
    new_plan.write(file, answers | {"bundle": "fashion-mnist"}, ["pi-0"])
    assert read_plan(file).cameras[0].source == source
    assert file.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("bundle", "boards", "variants"),
    [
        ("caltech101", 4, [0, 1, 4, 5]),
        ("fashion-mnist", 6, [0, 1, 2, 3, 4, 5]),
        ("own", 2, [4, 5]),
        ("caltech101", 7, [0, 1, 2, 3, 4, 5, 6]),
        ("not-exported-yet", 3, [0, 1, 2]),
    ],
)
def test_fewer_boards_than_variants_run_the_strongest(
    bundle: str, boards: int, variants: list[int], tmp_path: Path
) -> None:
    write_bundle(tmp_path / "own")
    answers = {"name": "home", "broker": "broker", "camera": "pi-cam", "source": "0", "fusion": "pi-cam"}
    new_plan.write(tmp_path / "site.toml", answers | {"bundle": bundle}, [f"pi-{n}" for n in range(boards)])
    assert [variant for board in read_plan(tmp_path / "site.toml").boards for variant in board.variants] == variants


@pytest.mark.parametrize(
    ("broker", "hosts"), [("one", ("one",)), ("one, 10.0.0.2,fd00::3", ("one", "10.0.0.2", "fd00::3"))]
)
def test_a_broker_may_have_several_addresses(broker: str, hosts: tuple[str, ...], tmp_path: Path) -> None:
    answers = {"name": "home", "broker": broker, "camera": "pi-cam", "source": "0", "fusion": "pi-cam"}
    new_plan.write(tmp_path / "site.toml", answers | {"bundle": "fashion-mnist"}, ["pi-0"])
    plan = read_plan(tmp_path / "site.toml")
    assert plan.broker.hosts == hosts
    assert [problem for problem in problems(plan, tmp_path) if "wheel" not in problem] == []
