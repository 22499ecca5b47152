"""`vp web` before it listens: its passwords, what it needs, and where it may listen."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import argon2
import pytest

from vp_mqtt.cli import app, web
from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.config.loading import load
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.web.security import passwords
from vp_mqtt.web.security.passwords import read_passwords
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.server import known_classes, listening_socket, url_of


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, typed: str = "") -> object:
    monkeypatch.setattr(sys, "argv", ["vp", "web", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(SystemExit) as caught:
        app.main()
    return caught.value.code


def test_a_password_is_set_from_a_pipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "web.passwords"
    flags = ("--set-password", "viewer", "--passwords-file", str(path))
    assert run(monkeypatch, *flags, typed="correct horse battery\n") == 0
    assert "correct horse" not in capsys.readouterr().out
    found = read_passwords(path)
    assert found is not None
    assert found.role_of("correct horse battery") is PageRole.VIEWER


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set-password", "boss"), "write viewer or operator"),
        (("--set-password", "viewer"), "10 to 1000 characters"),
        (("--listen", "0.0.0.0:0"), "without a password"),
        (("--listen", "everywhere"), "ADDRESS:PORT"),
        (("--operators", "alice"), "--trusted-proxy"),
        (("--trusted-proxy", "proxy.example"), "not an IP address"),
        (("--allowed-hosts", "https://cameras.example"), "without http://"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run(monkeypatch, *arguments, typed="short\n") == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert says in complaint


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_NEEDED", ("there_is_no_such_package",))
    with pytest.raises(UserError, match=r"pip install '\.\[web\]'"):
        web.require_web("vp web")


@pytest.mark.parametrize(
    ("text", "host", "is_local"),
    [
        ("127.0.0.1:8321", "127.0.0.1", True),
        ("localhost:8321", "127.0.0.1", True),
        ("[::1]:8321", "::1", True),
        ("0.0.0.0:8321", "0.0.0.0", False),
        ("192.168.1.10:8321", "192.168.1.10", False),
    ],
)
def test_an_address_is_of_this_machine_alone_or_not(text: str, host: str, *, is_local: bool) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, address.is_local) == (host, 8321, is_local)


@pytest.mark.parametrize("text", ["", "8321", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "host:80", "127.0.0.1:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        ListenAddress.parse(text)


def test_an_address_that_is_taken_is_said() -> None:
    settings = load(WebSettings, {"listen": "127.0.0.1:0"})
    with listening_socket(settings) as listening:
        url = url_of(listening)
        assert url.startswith("http://127.0.0.1:")
        taken = load(WebSettings, {"listen": url.removeprefix("http://").rstrip("/")})
        with pytest.raises(UserError, match="choose another port"):
            listening_socket(taken)


def test_the_classes_of_the_built_in_bundles_are_known() -> None:
    assert any("Ankle boot" in classes for classes in known_classes().values())
