from __future__ import annotations

import os
from pathlib import Path

import pytest

from vp_mqtt.cli.lazy import NO_HOME, provide_home
from vp_mqtt.files import cache_folder


def no_entry(_: str) -> str:
    """Expand ~ as for a user without an entry in the list of users: not at all."""
    return "~"


@pytest.mark.parametrize("home", [None, ""])
def test_a_user_without_a_home_gets_one_that_cannot_be_used(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "CACHE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    else:
        monkeypatch.setenv("HOME", "to be removed at the end")
        monkeypatch.delenv("HOME")
    with monkeypatch.context() as patches:
        patches.setattr(os.path, "expanduser", no_entry)
        provide_home()
    assert os.environ["HOME"] == NO_HOME
    assert cache_folder() == Path(NO_HOME, ".cache", "vp-mqtt")


def test_an_empty_home_is_that_of_the_list_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    provide_home()
    assert "HOME" not in os.environ
    assert Path.home().is_absolute()


def test_a_home_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    provide_home()
    assert os.environ["HOME"] == "/home/someone"
