"""Passwords in settings that others on the machine can see, and the file that keeps them from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.exposure import exposed
from vp_mqtt.config.loading import describe, load
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.errors import UserError

SECRET = "hunter2-Geheim"
SOURCE = f"rtsp://admin:{SECRET}@cam/stream"


def test_a_password_in_a_flag_is_warned_of_with_what_to_do_instead() -> None:
    (warning,) = exposed(CameraSettings, {"source": SOURCE, "fps": "5"}, None)
    assert warning.startswith("--source holds a password or token")
    assert "use VP_SOURCE or --source-file instead" in warning
    assert SECRET not in warning
    (warning,) = exposed(FusionSettings, {"broker": f"wss://broker/{SECRET}"}, None)
    assert warning.endswith("use VP_BROKER instead")


def test_harmless_flags_are_not_warned_of() -> None:
    flags = {"source": "rtsp://admin@cam/?channel=1", "broker": "mqtt://someone@broker", "loop": True}
    assert list(exposed(CameraSettings, flags, None)) == []


def test_a_password_in_a_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    config = tmp_path / "camera.toml"
    config.write_text(f'[camera]\nsource = "{SOURCE}"\n')
    config.chmod(0o644)
    (warning,) = exposed(CameraSettings, {}, config)
    assert warning.endswith("chmod 600 it")
    config.chmod(0o600)
    assert list(exposed(CameraSettings, {}, config)) == []


def test_the_source_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_bytes(b"\xef\xbb\xbf" + SOURCE.encode() + b"\r\n")
    assert load(CameraSettings, {"source_file": file}).read_source() == SOURCE
    assert load(CameraSettings, {"source": "0"}).read_source() == "0"
    assert load(CameraSettings, {}).read_source() == "0"
    file.write_text("\n")
    with pytest.raises(UserError, match="it is empty"):
        load(CameraSettings, {"source_file": file}).read_source()
    with pytest.raises(UserError, match="give either --source"):
        load(CameraSettings, {"source_file": file, "source": "0"})


def test_show_settings_hides_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_SOURCE", SOURCE)
    shown = describe(load(CameraSettings, {}), {}, None)
    assert ("source", "rtsp://***@cam/***", "environment") in shown
    assert SECRET not in str(shown)


def test_a_password_in_place_of_its_file_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_PASSWORD_FILE", SECRET)
    with pytest.raises(UserError) as caught:
        load(FusionSettings, {})
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("VP_PASSWORD_FILE: No such file or directory (it is to name a file")
