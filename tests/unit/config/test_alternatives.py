"""Settings that give one thing in two ways: the source of higher precedence counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import describe, load
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.errors import UserError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


@pytest.mark.parametrize(
    ("flags", "environment", "table", "source", "origin"),
    [
        ({"source_file": "given"}, {}, 'source = "samples"', "door", ("default", "flag")),
        ({"source_file": "given"}, {"source": "samples"}, "", "door", ("default", "flag")),
        ({"source": "1"}, {"source_file": "given"}, "", "1", ("flag", "default")),
        ({"source": "1"}, {"source": "2"}, 'source_file = "nowhere"', "1", ("flag", "default")),
        ({}, {"source": "2"}, 'source_file = "given"', "2", ("environment", "default")),
        ({}, {"source_file": "given"}, 'source = "samples"', "door", ("default", "environment")),
        ({"source_file": "given"}, {"source": "2"}, 'source = "3"', "door", ("default", "flag")),
    ],
)
def test_a_source_is_overridden_also_by_one_that_stands_in_a_file_and_the_other_way_round(
    *,
    flags: dict[str, object],
    environment: dict[str, str],
    table: str,
    source: str,
    origin: tuple[str, str],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(config.parent)
    Path("given").write_text("door")
    config.write_text(f"[camera]\n{table}\n")
    for field, value in environment.items():
        monkeypatch.setenv(f"VP_{field.upper()}", value)
    loaded = load(CameraSettings, flags, config)
    assert loaded.read_source() == source
    origins = {field: by for field, _, by in describe(loaded, flags, config)}
    assert (origins["source"], origins["source_file"]) == origin


def test_a_password_in_the_environment_overrides_the_file_that_the_settings_name(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.parent / "kept").write_text("from the file")
    config.write_text('password_file = "kept"\n')
    assert load(FusionSettings, {}, config).read_password() == "from the file"
    monkeypatch.setenv("VP_PASSWORD", "from the environment")
    assert load(FusionSettings, {}, config).read_password() == "from the environment"


def test_one_source_that_gives_a_thing_in_two_ways_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config.parent / "given"
    file.write_text("door")

    def refusal(flags: dict[str, object]) -> str:
        with pytest.raises(UserError) as caught:
            load(CameraSettings, flags, config)
        return str(caught.value)

    config.write_text('[camera]\nsource = "0"\nsource_file = "given"\n')
    in_file = f"give either --config {config}: source or --config {config}: source_file, not both"
    assert refusal({}) == in_file
    assert refusal({"source": "0", "source_file": str(file)}) == "give either --source or --source-file, not both"
    config.write_text("")
    monkeypatch.setenv("VP_SOURCE", "0")
    monkeypatch.setenv("VP_SOURCE_FILE", str(file))
    assert refusal({}) == "give either VP_SOURCE or VP_SOURCE_FILE, not both"
    assert load(CameraSettings, {"source": "1"}, config).read_source() == "1"
