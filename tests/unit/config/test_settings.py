"""What each setting accepts: values at its bounds, and none beyond."""

from __future__ import annotations

import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import load
from vp_mqtt.config.roles import ROLES
from vp_mqtt.config.settings import (
    CommonSettings,
    FusionSettings,
    PushSettings,
    RemoveSettings,
    VariantSettings,
    WatchSettings,
)
from vp_mqtt.errors import UserError

REQUIRED: dict[type[CommonSettings], dict[str, object]] = {VariantSettings: {"variant": "0"}}


@pytest.mark.parametrize(
    ("model", "field", "accepted", "refused"),
    [
        (FusionSettings, "keepalive", ["2", "3600"], ["1", "3601"]),
        (FusionSettings, "give_up_after", ["0", "1000000"], ["-0.001", "1000000.1"]),
        (FusionSettings, "stats_every", ["0.001", "3600"], ["0", "3600.1"]),
        (FusionSettings, "deadline_ms", ["0.001", "60000"], ["0", "60000.1"]),
        (FusionSettings, "suspect_after", ["1", "1000"], ["0", "1001"]),
        (FusionSettings, "valid_for", ["0.001", "86400"], ["0", "86400.1"]),
        (VariantSettings, "variant", ["0", "5", "auto"], ["-1", "1.5", "x", "AUTO ", ""]),
        (FusionSettings, "unknown", ["auto", "off", "0", "1", "0.95"], ["-0.1", "1.1", "nan", "on", "inf"]),
        (VariantSettings, "variant", ["0", "1000"], ["-1"]),
        (VariantSettings, "k", ["1", "255"], ["0", "256"]),
        (VariantSettings, "threads", ["1", "64"], ["0", "65"]),
        (VariantSettings, "max_frame_bytes", ["1000", "250000000"], ["999", "250000001"]),
        (CameraSettings, "fps", ["0.001", "1000"], ["0", "1000.1"]),
        (CameraSettings, "size", ["16x8192", "8192x16"], ["15x16", "16x15", "8193x16", "16x8193"]),
        (CameraSettings, "quality", ["1", "100"], ["0", "101"]),
        (CameraSettings, "in_flight", ["1", "100"], ["0", "101"]),
        (CameraSettings, "frames", ["0", "1"], ["-1"]),
        (PushSettings, "chunk_bytes", ["64", "900000"], ["63", "900001"]),
        (PushSettings, "ready_within", ["0", "3600"], ["-0.001", "3600.1"]),
        (PushSettings, "give_up_after", ["0", "1000000"], ["-0.001", "1000000.1"]),
        (RemoveSettings, "give_up_after", ["0", "1000000"], ["-0.001", "1000000.1"]),
        (WatchSettings, "give_up_after", ["0", "1000000"], ["-0.001", "1000000.1"]),
        (WatchSettings, "camera", ["+", "cam0"], ["++", "+cam", "", "a/b"]),
        (CameraSettings, "metrics", ["0", "65535", "0.0.0.0:1", "[::1]:9321"], ["65536", "-1", "pi4:9321", "", "x"]),
        (FusionSettings, "name", ["n" * 64], ["n" * 65, "", "-n"]),
    ],
)
def test_values_within_bounds_only(
    model: type[CommonSettings], field: str, accepted: list[str], refused: list[str]
) -> None:
    for value in accepted:
        load(model, {**REQUIRED.get(model, {}), field: value})
    for value in refused:
        with pytest.raises(UserError, match="--"):
            load(model, {**REQUIRED.get(model, {}), field: value})


@pytest.mark.parametrize(
    ("model", "defaults"),
    [
        (
            FusionSettings,
            {
                "keepalive": 10,
                "give_up_after": 0,
                "stats_every": 5,
                "log_json": False,
                "log_level": "info",
                "bundle": "auto",
                "fallback": "caltech101",
                "deadline_ms": 250,
                "suspect_after": 3,
                "valid_for": 5,
                "home_assistant": False,
            },
        ),
        (VariantSettings, {"k": None, "threads": 1, "runtime": "auto", "max_frame_bytes": 8_000_000}),
        (CameraSettings, {"fps": 10, "quality": 90, "loop": True, "in_flight": 2, "frames": 0}),
        (WatchSettings, {"camera": "+", "give_up_after": 5}),
        (RemoveSettings, {"give_up_after": 5}),
        (PushSettings, {"sign": None, "chunk_bytes": 131_072, "ready_within": 15, "give_up_after": 10}),
    ],
)
def test_defaults(model: type[CommonSettings], defaults: dict[str, object]) -> None:
    loaded = load(model, REQUIRED.get(model, {}))
    assert {field: getattr(loaded, field) for field in defaults} == defaults


def test_settings_do_not_change() -> None:
    loaded = load(FusionSettings, {})
    with pytest.raises(ValueError, match="frozen"):
        loaded.site = "other"


def test_every_role_has_its_table() -> None:
    assert {"camera", "variant", "fusion", "watch", "push"} <= ROLES.keys()
    assert all(model.role == role for role, model in ROLES.items())


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("pi4", "variant-3-pi4"),
        ("Pi 4 (attic)", "variant-3-Pi-4--attic"),
        ("h\u00f6hle.local", "variant-3-h-hle-local"),
        ("--", "variant-3-host"),
        ("", "variant-3-host"),
        ("h" * 100, "variant-3-" + "h" * 54),
    ],
)
def test_a_nodes_name_is_made_from_its_role_index_and_host(
    host: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert load(VariantSettings, {"variant": "3"}).node_name("3") == name


def test_broker_options(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("files")
    files = {field: folder / field for field in ("ca_file", "cert_file", "key_file")}
    for path in files.values():
        path.touch()
    monkeypatch.setenv("VP_PASSWORD", "secret")
    flags: dict[str, object] = {
        "broker": "mqtts://broker",
        "username": "someone",
        "keepalive": "17",
        "give_up_after": "1.5",
    }
    options = load(FusionSettings, flags | files).broker_options()
    assert (options.url, options.username, options.password) == ("mqtts://broker", "someone", "secret")
    assert {field: getattr(options, field) for field in files} == files
    assert (options.keepalive_s, options.give_up_after_s) == (17, 1.5)


@pytest.mark.parametrize(("given", "host", "is_local"), [(9321, "127.0.0.1", True), ("0.0.0.0:9321", "0.0.0.0", False)])
def test_metrics_are_for_this_machine_alone_unless_an_address_is_given(
    given: object, host: str, *, is_local: bool
) -> None:
    address = load(CameraSettings, {"metrics": given}).metrics_address
    assert address is not None
    assert (address.host, address.port, address.is_local) == (host, 9321, is_local)
    assert load(CameraSettings, {}).metrics_address is None


def test_settings_of_roles_that_do_not_run_have_no_validators() -> None:
    class Other(WatchSettings):
        pass

    assert not Other.__pydantic_complete__
    Other()
    assert Other.__pydantic_complete__
