from __future__ import annotations

from pathlib import Path

import pytest

from vp_mqtt.site import new_plan
from vp_mqtt.site.plan import read_plan


@pytest.mark.parametrize(
    ("source", "mode"), [("0", 0o644), ("rtsp://cam/stream", 0o644), ("rtsp://admin:Geheim@cam/stream", 0o600)]
)
def test_a_plan_with_a_password_is_its_owners_only(source: str, mode: int, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    answers = {"name": "home", "broker": "broker", "camera": "pi-cam", "source": source, "fusion": "pi-cam"}
    new_plan.write(file, answers | {"bundle": "fashion-mnist"}, ["pi-0"])
    assert read_plan(file).cameras[0].source == source
    assert file.stat().st_mode & 0o777 == mode
