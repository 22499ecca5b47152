"""The commands' flags: a user's error is reported in one line, with exit code 2."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import error_line
from vp_mqtt.cli import app
from vp_mqtt.cli.settings_options import PANELS
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import is_secret
from vp_mqtt.config.roles import ROLES
from vp_mqtt.config.settings import CommonSettings
from vp_mqtt.nodes import signals

SECRET = "hunter2-Geheim"
ROLE_COMMANDS = ["camera", "node", "fusion", "watch", "web"]
REQUIRED = {"node": ["--variant", "0"]}
MODELS = {"camera": "camera", "node": "variant", "fusion": "fusion", "watch": "watch", "web": "web"}

each_command = pytest.mark.parametrize("command", ROLE_COMMANDS)


@pytest.fixture
def vp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `vp ARGUMENTS` in this process; for what ends before a node would start."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(signals, "hold", lambda: pytest.fail("a node would start"))

    def run(*arguments: str, main: Callable[[], None] = app.main, program: str = "vp") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


VP = Callable[..., tuple[int, str, str]]


# Errors


@each_command
def test_an_invalid_address_is_reported_in_one_line(command: str, vp: VP) -> None:
    reported = error_line(vp(command, *REQUIRED.get(command, []), "--broker", "localhost"))
    assert reported.startswith("--broker: ")
    assert "mqtt://HOST:1883" in reported


@each_command
def test_an_invalid_address_in_the_environment_is_reported_in_one_line(
    command: str, vp: VP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VP_BROKER", "localhost")
    assert error_line(vp(command, *REQUIRED.get(command, []))).startswith("VP_BROKER: ")


@each_command
def test_a_file_that_is_not_toml_is_reported_in_one_line(command: str, vp: VP, tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text("site = home\n")
    reported = error_line(vp(command, *REQUIRED.get(command, []), "--config", str(config)))
    assert reported.startswith(f"--config {config}: not valid TOML: ")


@each_command
def test_a_file_that_is_missing_is_reported_in_one_line(command: str, vp: VP, tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    reported = error_line(vp(command, *REQUIRED.get(command, []), "--config", str(config)))
    assert reported == f"--config {config}: No such file or directory"


def test_a_node_without_its_variant_is_reported_in_one_line(vp: VP) -> None:
    assert error_line(vp("node")).startswith(
        "--variant is missing: index of the variant that this node runs; auto: one"
    )


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["node", "--variant", "two"], "--variant: "),
        (["node", "--variant", "-1"], "--variant: "),
        (["fusion", "--deadline-ms", "soon"], "--deadline-ms: "),
        (["fusion", "--suspect-after", "0"], "--suspect-after: "),
        (["fusion", "--unknown", "on"], "--unknown: 'on' is neither 'auto' nor 'off' nor a number from 0 to 1"),
        (["camera", "--size", "640"], "--size: '640' is not a size; write WIDTHxHEIGHT, such as 640x480"),
        (["camera", "--fps", "0"], "--fps: "),
        (["watch", "--camera", "a/b"], "--camera: "),
        (["watch", "--broker", "two\nlines"], "--broker: "),
        (["fusion", "--site", "+"], "--site: "),
        (["demo", "--broker", "rabbit"], "--broker rabbit: write mosquitto, embedded or auto"),
        (["demo", "--kill", "first"], "--kill first: write the indices of variants, such as 0,3"),
    ],
)
def test_a_wrong_value_is_reported_in_one_line(arguments: list[str], reported: str, vp: VP) -> None:
    assert error_line(vp(*arguments)).startswith(reported)


@each_command
@pytest.mark.parametrize("arguments", [["--nonsense"], ["--broker"], ["surplus"]])
def test_an_unknown_flag_is_reported_with_exit_code_2_and_no_traceback(
    command: str, arguments: list[str], vp: VP
) -> None:
    code, out, err = vp(command, *REQUIRED.get(command, []), *arguments)
    assert (code, out) == (2, "")
    assert arguments[0] in err
    assert "Traceback" not in err


def test_an_unknown_command_is_reported_with_exit_code_2(vp: VP) -> None:
    code, _, err = vp("nonsense")
    assert code == 2
    assert "nonsense" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("program", "main", "arguments"),
    [
        ("vp-camera", app.camera_main, ["--fps", "x"]),
        ("vp-node", app.node_main, ["--variant", "x"]),
        ("vp-fusion", app.fusion_main, ["--deadline-ms", "x"]),
    ],
)
def test_the_short_commands_report_errors_in_the_same_way(
    program: str, main: Callable[[], None], arguments: list[str], vp: VP
) -> None:
    reported = error_line(vp(*arguments, main=main, program=f"/usr/bin/{program}"), program)
    assert reported.startswith(f"{arguments[0]}: ")


def test_a_password_has_no_flag(vp: VP) -> None:
    code, _, err = vp("fusion", "--password", SECRET)
    assert code == 2
    assert SECRET not in err
    code, out, _ = vp("fusion", "--help")
    assert code == 0
    assert "--password-file" in out
    assert not re.search(r"--password\b(?!-)", out)


# The same, as processes: nothing is patched, and a node gets as far as to open its bundle or source


# Output


@each_command
def test_the_settings_are_shown_with_their_sources(
    command: str, vp: VP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "site.toml"
    config.write_text('broker = "mqtt://from-file"\nsite = "from-file"\nkeepalive = 20\n')
    monkeypatch.setenv("VP_SITE", "from-environment")
    monkeypatch.setenv("VP_KEEPALIVE", "21")
    arguments = [*REQUIRED.get(command, []), "--config", str(config), "--keepalive", "22", "--show-settings"]
    code, out, err = vp(command, *arguments)
    assert (code, err) == (0, "")
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert shown.keys() == ROLES[MODELS[command]].model_fields.keys()
    assert shown["broker"] == "mqtt://from-file  (file)"
    assert shown["site"] == "from-environment  (environment)"
    assert shown["keepalive"] == "22  (flag)"
    assert shown["log_level"] == "info  (default)"


def test_the_file_may_be_named_in_the_environment(vp: VP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "site.toml"
    config.write_text('[camera]\nsize = "640x480"\nloop = true\n')
    monkeypatch.setenv("VP_CONFIG", str(config))
    code, out, _ = vp("camera", "--show-settings", "--once")
    assert code == 0
    assert re.search(r"^size +640x480  \(file\)$", out, re.MULTILINE)
    assert re.search(r"^loop +false  \(flag\)$", out, re.MULTILINE)


def test_the_password_is_not_shown(vp: VP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_PASSWORD", SECRET)
    code, out, err = vp("fusion", "--show-settings")
    assert code == 0
    assert SECRET not in out + err
    assert re.search(r"^password +\*{10}  \(environment\)$", out, re.MULTILINE)


@pytest.mark.parametrize(("command", "role"), MODELS.items())
def test_the_help_of_a_command_lists_every_setting_but_secrets(command: str, role: str, vp: VP) -> None:
    code, out, err = vp(command, "--help")
    assert (code, err) == (0, "")
    model: type[CommonSettings] = ROLES[role]
    for field in model.model_fields:
        flag = "--" + field.replace("_", "-")
        assert (re.search(rf"{flag}\b(?!-)", out) is None) == is_secret(field), flag


def test_the_help_has_its_settings_below_headings(vp: VP) -> None:
    _, out, _ = vp("node", "--help")
    assert re.findall(r"^╭─ ([\w ]+?) ─", out, re.MULTILINE) == [
        "Options", "Model", "Site", "Broker", "Account and TLS", "Logging"
    ]  # fmt: skip
    assert re.search(r"--variant .*\(required\)", out)


def test_every_setting_has_one_heading() -> None:
    listed = [setting for settings in PANELS.values() for setting in settings]
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for model in ROLES.values() for name in model.model_fields if not is_secret(name)}


def test_every_setting_has_a_description() -> None:
    for model in ROLES.values():
        assert all(field.description for field in model.model_fields.values())
    assert CameraSettings.model_fields["loop"].default is True
