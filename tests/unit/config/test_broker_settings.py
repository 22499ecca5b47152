"""The broker's address, and the password, which is never shown."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.config.test_loading import SECRET, refused
from vp_mqtt.config.loading import describe, load
from vp_mqtt.config.settings import FusionSettings, WatchSettings
from vp_mqtt.errors import UserError


def everything_shown(loaded: FusionSettings) -> str:
    return f"{loaded!r} {loaded} {loaded.model_dump()} {loaded.model_dump_json()} {describe(loaded, {}, None)}"


@pytest.mark.parametrize(
    "address",
    [
        "mqtt://localhost",
        "mqtt://192.168.1.10:1883",
        "mqtts://broker.example.org:8883",
        "mqtt://[::1]",
        "mqtts://[fe80::1]:8883",
        "ws://broker:9001/mqtt",
        "wss://broker/some/path",
        "mqtt://broker/",
        "mqtt://user@broker",
        "mqtt://broker:65535",
    ],
)
def test_valid_addresses(address: str) -> None:
    assert load(FusionSettings, {"broker": address}).broker == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "localhost:1883",
        "192.168.1.10",
        "http://broker",
        "tcp://broker:1883",
        "mqtt:/broker",
        "mqtt:broker",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://user@",
        "mqtt://broker:0",
        "mqtt://broker:65536",
        "mqtt://broker:port",
        "mqtt://broker:-1",
        "mqtt://[::1",
        "mqtt://broker/path",
        "mqtts://broker/path",
        "two\nlines",
        "mqtt://two\nlines",
        "mqtt://broker\n",
        "mqtt://two words",
        "mqtt://broker:1883?qos=1",
        "mqtt://broker:1883#1",
    ],
)
def test_invalid_addresses_are_refused(address: str) -> None:
    assert refused(FusionSettings, {"broker": address}).startswith("--broker: ")


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=20) | st.text(max_size=20).map("mqtt://".__add__) | st.from_regex(r"mqtts?://[\w.:@/\[\]]{0,20}")
)
def test_any_text_is_a_valid_address_or_refused_in_one_line(address: str) -> None:
    try:
        assert load(FusionSettings, {"broker": address}).broker == address
    except UserError as error:
        said = str(error)
        assert said.splitlines() == [said]
        assert said.startswith("--broker: ")


@pytest.mark.parametrize(
    "address",
    [
        f"mqtt://user:{SECRET}@broker",
        f"mqtt://:{SECRET}@broker",
        f"mqtt://user:{SECRET}@broker:port",
        f"mqtt://user:{SECRET}@broker/path",
        f"mqtt://user:{SECRET}@",
        f"http://user:{SECRET}@broker",
        f"mqtt://user:{SECRET}/1@broker",
        f"mqtt://user:{SECRET}#1@broker",
        f"mqtt://user:{SECRET}?1@broker",
        f"mqtt://user:{SECRET}[@broker",
        f"user:{SECRET}@broker",
    ],
)
@pytest.mark.parametrize("origin", ["flag", "environment", "file"])
def test_a_password_in_the_address_is_refused_and_not_repeated(
    address: str, origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "site.toml"
    config.write_text(f'broker = "{address}"\n' if origin == "file" else "")
    if origin == "environment":
        monkeypatch.setenv("VP_BROKER", address)
    message = refused(FusionSettings, {"broker": address} if origin == "flag" else {}, config)
    assert SECRET not in message


def test_the_advice_for_a_password_in_the_address() -> None:
    message = refused(FusionSettings, {"broker": f"mqtt://user:{SECRET}@broker"})
    assert "VP_PASSWORD" in message
    assert "--password-file" in message


def test_the_password_comes_from_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_PASSWORD", SECRET)
    loaded = load(FusionSettings, {"username": "node"})
    assert loaded.read_password() == SECRET
    assert SECRET not in everything_shown(loaded)
    assert ("password", "**********", "environment") in describe(loaded, {}, None)


def test_the_password_file_is_read_without_its_line_end_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for written in (SECRET, SECRET + "\n", SECRET + "\r\n"):
        file.write_text(written, newline="")
        loaded = load(FusionSettings, {"password_file": str(file)})
        assert loaded.read_password() == SECRET
        assert SECRET not in everything_shown(loaded)


def test_a_password_may_begin_and_end_with_a_space(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" p\u00e4ss \n", encoding="utf-8")
    assert load(FusionSettings, {"password_file": str(file)}).read_password() == " p\u00e4ss "


def test_without_a_password_there_is_none() -> None:
    assert load(FusionSettings, {}).read_password() is None


def test_two_passwords_are_refused_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    monkeypatch.setenv("VP_PASSWORD", SECRET)
    message = refused(FusionSettings, {"password_file": str(file)})
    assert message == "give either VP_PASSWORD or --password-file, not both"


def test_other_mistakes_do_not_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VP_PASSWORD", SECRET)
    with pytest.raises(UserError) as caught:
        load(FusionSettings, {"broker": "nonsense", "deadline_ms": "soon"})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_password_of_a_wrong_type_is_refused_and_not_repeated() -> None:
    assert SECRET not in refused(FusionSettings, {"password": [SECRET]})


def test_a_missing_password_file_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "password"
    assert (
        refused(FusionSettings, {"password_file": str(file)}) == f"--password-file: {file}: No such file or directory"
    )


def test_an_unreadable_password_file_is_reported_without_its_content(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(SECRET.encode() + b"\xff")
    loaded = load(FusionSettings, {"password_file": str(file)})
    with pytest.raises(UserError) as caught:
        loaded.read_password()
    assert str(caught.value).startswith(f"--password-file {file}: ")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    file.unlink()
    with pytest.raises(UserError, match="No such file"):
        loaded.read_password()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_password(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("pä55\r\n", encoding=encoding, newline="")
    assert WatchSettings(password_file=path).read_password() == "pä55"
