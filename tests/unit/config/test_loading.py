from __future__ import annotations

import itertools
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import describe, load
from vp_mqtt.config.settings import CommonSettings, FusionSettings, RemoveSettings, VariantSettings, WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.messages import Role

SECRET = "hunter2-Geheim"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


def refused(model: type[CommonSettings], flags: dict[str, object], config: Path | None = None) -> str:
    """Return the error message, in one line, with which these settings are refused."""
    with pytest.raises(UserError) as caught:
        load(model, flags, config)
    said = str(caught.value)
    assert said
    assert said.splitlines() == [said]
    return said


# Precedence


@pytest.mark.parametrize("origins", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize(
    ("field", "by_flag", "by_environment", "by_file", "default"),
    [
        ("site", "f", "e", ('site = "t"', "t"), "home"),
        ("deadline_ms", 1.5, 2.5, ("[fusion]\ndeadline_ms = 3.5", 3.5), 250.0),
        ("keepalive", 11, 12, ("keepalive = 13", 13), 10),
        ("log_level", "error", "debug", ('[fusion]\nlog_level = "warning"', "warning"), "info"),
        ("name", "f", "e", ('name = "t"', "t"), None),
    ],
)
def test_flag_over_environment_over_file_over_default(
    *,
    field: str,
    by_flag: object,
    by_environment: object,
    by_file: tuple[str, object],
    default: object,
    origins: tuple[bool, bool, bool],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_flag, in_environment, in_file = origins
    flags: dict[str, object] = {field: str(by_flag)} if in_flag else {}
    if in_environment:
        monkeypatch.setenv(f"VP_{field.upper()}", str(by_environment))
    config.write_text(by_file[0] if in_file else "")
    value, source = default, "default"
    if in_file:
        value, source = by_file[1], "file"
    if in_environment:
        value, source = by_environment, "environment"
    if in_flag:
        value, source = by_flag, "flag"
    loaded = load(FusionSettings, flags, config)
    assert getattr(loaded, field) == value
    assert (field, "(not set)" if value is None else str(value), source) in describe(loaded, flags, config)


def test_flags_environment_and_file_are_merged(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('site = "from-file"\nbroker = "mqtt://file"\n')
    monkeypatch.setenv("VP_BROKER", "mqtt://environment")
    monkeypatch.setenv("VP_KEEPALIVE", "20")
    loaded = load(FusionSettings, {"keepalive": "30"}, config)
    assert (loaded.site, loaded.broker, loaded.keepalive) == ("from-file", "mqtt://environment", 30)


def test_a_roles_table_overrides_the_top_of_the_file_for_that_role_only(config: Path) -> None:
    config.write_text(
        'site = "all"\nkeepalive = 20\n[camera]\nsite = "cameras"\nfps = 3\n'
        '[variant]\nk = 2\n[watch]\ncamera = "cam7"\n'
    )
    camera = load(CameraSettings, {}, config)
    assert (camera.site, camera.keepalive, camera.fps, camera.camera) == ("cameras", 20, 3.0, "cam0")
    variant = load(VariantSettings, {"variant": "1"}, config)
    assert (variant.site, variant.keepalive, variant.k) == ("all", 20, 2)
    assert load(WatchSettings, {}, config).camera == "cam7"
    assert load(FusionSettings, {}, config).site == "all"


def test_defaults_apply_without_any_source() -> None:
    loaded = load(CameraSettings, {})
    assert loaded.broker == "mqtt://127.0.0.1:1883"
    assert (loaded.site, loaded.camera, loaded.source) == ("home", "cam0", "0")
    assert (loaded.password, loaded.size, loaded.name) == (None, None, None)


def test_environment_variables_are_case_insensitive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("vp_site", "lower")
    loaded = load(FusionSettings, {})
    assert loaded.site == "lower"
    assert ("site", "lower", "environment") in describe(loaded, {}, None)


def test_an_empty_environment_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    config.write_text('name = "from-file"\n')
    for field in VariantSettings.model_fields:
        monkeypatch.setenv(f"VP_{field.upper()}", "")
    loaded = load(VariantSettings, {"variant": "1"}, config)
    assert (loaded.broker, loaded.name, loaded.variant) == ("mqtt://127.0.0.1:1883", "from-file", 1)
    assert (loaded.ca_file, loaded.password, loaded.bundle_cache) == (None, None, None)
    sources = {field: source for field, _, source in describe(loaded, {"variant": "1"}, config)}
    assert set(sources.values()) == {"flag", "file", "default"}


@pytest.mark.parametrize("field", ["ca_file", "cert_file", "password_file", "bundle_cache"])
def test_an_empty_path_is_not_the_current_folder(field: str, config: Path) -> None:
    with pytest.raises(UserError, match="must not be empty; leave it out"):
        load(FusionSettings, {field: ""})
    config.write_text(f'{field} = ""\n' if field != "bundle_cache" else f'[fusion]\n{field} = ""\n')
    with pytest.raises(UserError, match="must not be empty; leave it out"):
        load(FusionSettings, {}, config)


@pytest.mark.parametrize("level", ["INFO", "Info", "info"])
def test_the_case_of_a_choice_does_not_matter(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_LOG_LEVEL", level)
    monkeypatch.setenv("VP_RUNTIME", "OpenVINO")
    loaded = load(VariantSettings, {"variant": "1"})
    assert (loaded.log_level, loaded.runtime) == ("info", "openvino")


def test_unrelated_environment_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "wrong")
    monkeypatch.setenv("VP_NONSENSE", "1")
    monkeypatch.setenv("VP_FPS", "not for a fusion node")
    assert load(FusionSettings, {}).site == "home"


# Files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("site = home", "not valid TOML: "),
        ("[camera\n", "not valid TOML: "),
        ('site = "a"\nsite = "b"', "not valid TOML: "),
        ("a = " + "[" * 5000, "not valid TOML"),
        ('sight = "home"', "sight: there is no such setting"),
        ("fps = 3", "fps: there is no such setting; it belongs in [camera]"),
        ("deadline_ms = 3", "deadline_ms: there is no such setting; it belongs in [fusion]"),
        ("[camera]\ndeadline_ms = 3", "[camera] deadline_ms: there is no such setting"),
        ("[kamera]\nfps = 3", "kamera: there is no such setting"),
        ('"a\\nb" = 3', "there is no such setting"),
        ("[fusion]\nconfig = 3", "[fusion] config: there is no such setting"),
    ],
)
def test_an_invalid_file_is_reported_with_its_error(text: str, said: str, config: Path) -> None:
    config.write_text(text)
    message = refused(FusionSettings, {}, config)
    assert message.startswith(f"--config {config}: ")
    assert said in message


def test_an_error_in_the_table_of_another_role_is_reported(config: Path) -> None:
    config.write_text("[camera]\nfsp = 3\n")
    assert refused(FusionSettings, {}, config) == f"--config {config}: [camera] fsp: there is no such setting"


def test_an_unreadable_file_is_named(config: Path, tmp_path: Path) -> None:
    assert refused(FusionSettings, {}, config) == f"--config {config}: No such file or directory"
    assert refused(FusionSettings, {}, tmp_path) == f"--config {tmp_path}: Is a directory"
    config.write_bytes(b'site = "\xff"')
    assert refused(FusionSettings, {}, config).startswith(f"--config {config}: not valid TOML: ")


@pytest.mark.parametrize("table", ["", "[camera]\n", "[fusion]\n"])
def test_a_secret_in_a_file_is_refused_and_not_repeated(table: str, config: Path) -> None:
    config.write_text(f'{table}password = "{SECRET}"\n')
    message = refused(FusionSettings, {}, config)
    assert message.startswith(f"--config {config}: ")
    assert "password: a secret does not belong here; use VP_PASSWORD or password_file" in message
    assert SECRET not in message


# Invalid values


@pytest.mark.parametrize(
    ("model", "field", "value", "said"),
    [
        (FusionSettings, "deadline_ms", "soon", "must be a number"),
        (FusionSettings, "deadline_ms", "0", "greater than 0"),
        (FusionSettings, "deadline_ms", "nan", "at most 60000"),
        (FusionSettings, "deadline_ms", "inf", "at most 60000"),
        (FusionSettings, "suspect_after", "1.5", "whole number"),
        (FusionSettings, "site", "my/home", "must have 1 to 64 characters from"),
        (FusionSettings, "site", "+", "must have 1 to 64 characters from"),
        (FusionSettings, "site", "two\nlines", "must have 1 to 64 characters from"),
        (FusionSettings, "log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        (FusionSettings, "log_json", "perhaps", "true or false"),
        (FusionSettings, "keepalive", "1", "at least 2"),
        (FusionSettings, "broker", "localhost", "write mqtt://HOST:1883"),
        (FusionSettings, "ca_file", "/nowhere/ca.pem", "/nowhere/ca.pem: No such file or directory"),
        (CameraSettings, "fps", "-1", "greater than 0"),
        (CameraSettings, "size", "640", "'640' is not a size; write WIDTHxHEIGHT"),
        (CameraSettings, "size", "8x8", "at least 16"),
        (CameraSettings, "size", "640x9000", "at most 8192"),
        (CameraSettings, "size", "640x480x3", "is not a size"),
        (CameraSettings, "size", "-640x480", "is not a size"),
        (CameraSettings, "size", "two\nlines", "is not a size"),
        (CameraSettings, "camera", "+", "must have 1 to 64 characters from"),
        (VariantSettings, "k", "0", "at least 1"),
        (VariantSettings, "runtime", "tflite", "must be 'auto', 'onnxruntime' or 'openvino'"),
        (VariantSettings, "runtime", "ncnn", "ncnn is no longer supported: use onnxruntime or openvino"),
        (WatchSettings, "camera", "#", "must have 1 to 64 characters from"),
    ],
)
@pytest.mark.parametrize("origin", ["flag", "environment", "file"])
def test_an_invalid_value_is_reported_with_its_source(
    *,
    model: type[CommonSettings],
    field: str,
    value: str,
    said: str,
    origin: str,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags: dict[str, object] = {"variant": "0"} if model is VariantSettings else {}
    config.write_text("")
    if origin == "flag":
        flags[field] = value
    elif origin == "environment":
        monkeypatch.setenv(f"VP_{field.upper()}", value)
    else:
        escaped = value.replace("\n", "\\n")
        config.write_text(f'[{model.role}]\n{field} = "{escaped}"\n')
    flag = "--" + field.replace("_", "-")
    place = {"flag": flag, "environment": f"VP_{field.upper()}", "file": f"--config {config}: {field}"}[origin]
    message = refused(model, flags, config)
    assert message.startswith(f"{place}: ")
    assert said in message


def test_an_invalid_value_is_repeated() -> None:
    assert refused(FusionSettings, {"deadline_ms": "soon"}).endswith("(given: 'soon')")


def test_an_overridden_invalid_value_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_DEADLINE_MS", "soon")
    assert load(FusionSettings, {"deadline_ms": "5"}).deadline_ms == 5


def test_a_value_of_a_wrong_type_in_a_file_is_refused(config: Path) -> None:
    config.write_text("site = 3\n")
    assert refused(FusionSettings, {}, config).startswith(f"--config {config}: site: ")
    config.write_text("broker = [1]\n")
    assert refused(FusionSettings, {}, config).startswith(f"--config {config}: broker: ")


def test_a_missing_required_setting_is_reported() -> None:
    assert refused(VariantSettings, {}).startswith(
        "--variant is missing: index of the variant that this node runs; auto"
    )


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_text("")
    for lonely in ("cert_file", "key_file"):
        assert "--cert-file and --key-file" in refused(FusionSettings, {lonely: str(pem)})
    assert load(FusionSettings, {"cert_file": str(pem), "key_file": str(pem)}).key_file == pem


@pytest.mark.parametrize("size", ["640x480", "640X480"])
def test_a_size_is_parsed_from_every_source(size: str, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(f'[camera]\nsize = "{size}"\n')
    assert load(CameraSettings, {"size": size}).size == (640, 480)
    assert load(CameraSettings, {}, config).size == (640, 480)
    monkeypatch.setenv("VP_SIZE", size)
    assert load(CameraSettings, {}).size == (640, 480)


@pytest.mark.parametrize("origin", ["default", "flag", "environment", "file"])
@pytest.mark.parametrize("quality", [90, 50])
def test_reencodes_tells_a_given_quality_from_the_default(
    quality: int, origin: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("[camera]\nfps = 5\n" + (f"quality = {quality}\n" if origin == "file" else ""))
    if origin == "environment":
        monkeypatch.setenv("VP_QUALITY", str(quality))
    flags: dict[str, object] = {"quality": str(quality)} if origin == "flag" else {"size": "64x48"}
    loaded = load(CameraSettings, flags, config)
    assert loaded.reencodes == (origin != "default")
    assert loaded.quality == (90 if origin == "default" else quality)


# Names


@pytest.mark.parametrize("host", ["pi", "Pi 4 (attic)", "--", "", "h\u00f6hle.local", "h" * 300])
def test_a_generated_node_name_is_valid(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    name = load(VariantSettings, {"variant": "3"}).node_name("3")
    assert name.startswith("variant-3-")
    assert len(name) > len("variant-3-")
    assert load(VariantSettings, {"variant": "3", "name": name}).node_name("3") == name


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_valid_number_or_refused_in_one_line(text: str) -> None:
    try:
        assert 0 < load(FusionSettings, {"deadline_ms": text}).deadline_ms <= 60_000
    except UserError as error:
        said = str(error)
        assert said.splitlines() == [said]
        assert said.startswith("--deadline-ms: ")


def test_a_key_in_the_wrong_table_gets_no_hint(config: Path) -> None:
    config.write_text("[camera]\ndeadline_ms = 3\n")
    expected = f"--config {config}: [camera] deadline_ms: there is no such setting"
    assert refused(FusionSettings, {}, config) == expected


def test_of_several_errors_the_first_is_reported() -> None:
    assert refused(FusionSettings, {"site": "+", "deadline_ms": "soon"}).startswith("--site: ")


# Roles


class LampSettings(CommonSettings):
    """A role that is not one of the product's."""

    role: ClassVar[Role] = "lamp"

    colour: str = Field(default="white", description="colour of the light")


def test_an_additional_role_has_a_table_and_environment_variables(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('site = "all"\n[lamp]\ncolour = "red"\n[fusion]\ndeadline_ms = 5\n')
    loaded = load(LampSettings, {}, config)
    assert (loaded.site, loaded.colour) == ("all", "red")
    assert ("colour", "red", "file") in describe(loaded, {}, config)
    monkeypatch.setenv("VP_COLOUR", "green")
    assert load(LampSettings, {}, config).colour == "green"
    assert load(LampSettings, {"colour": "blue"}, config).colour == "blue"


def test_an_error_in_the_table_of_an_additional_role_is_reported(config: Path) -> None:
    config.write_text("[lamp]\ncolor = 1\n")
    assert refused(LampSettings, {}, config) == f"--config {config}: [lamp] color: there is no such setting"
    config.write_text("colour = 1\n")
    assert refused(LampSettings, {}, config).endswith("colour: there is no such setting; it belongs in [lamp]")


def test_a_role_shared_by_two_commands_has_one_table(config: Path) -> None:
    config.write_text('[watch]\ncamera = "cam7"\nkeepalive = 20\n')
    assert load(WatchSettings, {}, config).camera == "cam7"
    assert load(RemoveSettings, {}, config).keepalive == 20


def test_files_beside_the_settings_are_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = tmp_path / "etc", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
        (folder / "ca.crt").write_text(folder.name)
    (here / "bundle.pub").write_text("here")
    config = there / "site.toml"
    config.write_text('ca_file = "ca.crt"\n[camera]\nsource = "0"\n[fusion]\nbundle_key = "bundle.pub"\n')
    (there / "0").mkdir()
    monkeypatch.chdir(here)
    loaded = load(CameraSettings, {}, config)
    assert loaded.ca_file == there / "ca.crt"
    assert load(FusionSettings, {}, config).bundle_key == Path("bundle.pub")
    assert loaded.source == "0"
    (there / "ca.crt").unlink()
    assert load(CameraSettings, {}, config).ca_file == Path("ca.crt")
