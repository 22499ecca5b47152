"""Who gets in: hosts, passwords, sessions, proxies and tokens."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.errors import UserError
from vp_mqtt.web.pages.sign_in import local_path
from vp_mqtt.web.security import passwords as passwords_module
from vp_mqtt.web.security.attempts import Attempts
from vp_mqtt.web.security.hosts import is_allowed, is_same_origin
from vp_mqtt.web.security.passwords import Passwords, read_passwords, set_password
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.security.sessions import Sessions

GOOD, OTHER = "correct horse battery", "another good phrase"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords_module, "_HASHER", hasher)


@pytest.mark.parametrize(
    ("header", "local", "elsewhere"),
    [
        ("127.0.0.1:8321", True, True),
        ("localhost", True, True),
        ("[::1]:8321", True, True),
        ("192.168.1.10:8321", False, True),
        ("[fd00::1]:8321", False, True),
        ("cameras.example", True, True),
        ("Cameras.Example.:443", True, True),
        ("evil.example", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("localhost.evil.example:8321", False, False),
        ("", False, False),
    ],
)
def test_a_page_answers_under_its_own_names_only(header: str, *, local: bool, elsewhere: bool) -> None:
    names = ("cameras.example",)
    assert is_allowed(header, names, is_local=True) is local
    assert is_allowed(header, names, is_local=False) is elsewhere


@pytest.mark.parametrize(
    ("origin", "site", "is_ours"),
    [
        (None, None, True),
        ("http://127.0.0.1:8321", "same-origin", True),
        ("http://127.0.0.1:9999", None, False),
        ("null", None, False),
        ("http://127.0.0.1:8321", "cross-site", False),
        (None, "same-site", False),
    ],
)
def test_changes_come_from_the_page_itself(origin: str | None, site: str | None, *, is_ours: bool) -> None:
    assert is_same_origin(origin, site, "127.0.0.1:8321") is is_ours


def test_passwords_are_kept_as_hashes_that_nobody_else_can_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "web.passwords"
    set_password(path, PageRole.OPERATOR, GOOD)
    set_password(path, PageRole.VIEWER, OTHER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert GOOD not in path.read_text()
    found = read_passwords(path)
    assert found is not None
    assert found.role_of(GOOD) is PageRole.OPERATOR
    assert found.role_of(OTHER) is PageRole.VIEWER
    assert found.role_of("wrong") is None
    assert found.role_of(GOOD * 1000) is None


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "web.passwords"
    set_password(path, PageRole.OPERATOR, GOOD)
    path.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_passwords(path)


@pytest.mark.parametrize("content", ["", "{}{", '{"key": "short"}', '{"operator": "plain text"}'])
def test_a_file_that_holds_no_passwords_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "web.passwords"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match="--set-password"):
        read_passwords(path)


def test_there_need_be_no_passwords(tmp_path: Path) -> None:
    assert read_passwords(tmp_path / "none") is None


@pytest.mark.parametrize("password", ["", "short", "x" * 1001])
def test_a_password_has_to_be_of_some_length(tmp_path: Path, password: str) -> None:
    with pytest.raises(UserError, match="10 to 1000"):
        set_password(tmp_path / "web.passwords", PageRole.VIEWER, password)


def test_both_roles_cannot_have_one_password(tmp_path: Path) -> None:
    set_password(tmp_path / "web.passwords", PageRole.OPERATOR, GOOD)
    with pytest.raises(UserError, match="different"):
        set_password(tmp_path / "web.passwords", PageRole.VIEWER, GOOD)


def test_a_session_outlasts_a_restart_but_not_another_password(tmp_path: Path) -> None:
    path = tmp_path / "web.passwords"
    set_password(path, PageRole.OPERATOR, GOOD)
    cookie = Sessions(read_passwords(path) or Passwords()).open(PageRole.OPERATOR)
    person = Sessions(read_passwords(path) or Passwords()).read(cookie)
    assert person is not None
    assert (person.role, person.can_sign_out) == (PageRole.OPERATOR, True)
    set_password(path, PageRole.OPERATOR, OTHER)
    assert Sessions(read_passwords(path) or Passwords()).read(cookie) is None


def test_a_viewers_cookie_makes_no_operator(tmp_path: Path) -> None:
    path = tmp_path / "web.passwords"
    set_password(path, PageRole.OPERATOR, GOOD)
    set_password(path, PageRole.VIEWER, OTHER)
    sessions = Sessions(read_passwords(path) or Passwords())
    cookie = sessions.open(PageRole.VIEWER)
    assert sessions.read(cookie.replace("viewer", "operator")) is None
    assert sessions.read(None) is None


@given(st.text(max_size=200))
def test_no_other_cookie_is_accepted(cookie: str) -> None:
    sessions = Sessions(Passwords(operator="$argon2id$x"))
    assert sessions.read(cookie) is None
    assert sessions.read(f"operator.{cookie}") is None


def test_tokens_of_two_sessions_differ() -> None:
    sessions = Sessions(Passwords(operator="$argon2id$x"))
    people = [sessions.read(sessions.open(PageRole.OPERATOR)) for _ in range(2)]
    assert len({person.csrf for person in people if person is not None}) == 2


def test_passwords_may_be_tried_five_times_a_minute_from_one_address() -> None:
    attempts = Attempts()
    for second in range(5):
        assert attempts.may_try("10.0.0.1", float(second))
        attempts.note_failure("10.0.0.1", float(second))
    assert not attempts.may_try("10.0.0.1", 10.0)
    assert attempts.may_try("10.0.0.2", 10.0)
    assert attempts.may_try("10.0.0.1", 60.5)


def test_many_addresses_together_are_bounded_too() -> None:
    attempts = Attempts()
    for number in range(60):
        attempts.note_failure(f"10.0.0.{number}", 1.0)
    assert not attempts.may_try("10.0.1.1", 2.0)
    assert attempts.may_try("10.0.1.1", 62.0)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/boards", "/boards"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
    ],
)
def test_after_signing_in_one_stays_on_the_page(target: str, place: str) -> None:
    assert local_path(target) == place


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        set_password(tmp_path / "web.passwords", PageRole.OPERATOR, GOOD)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "web.passwords").stat().st_mode) == 0o600
