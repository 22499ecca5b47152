from __future__ import annotations

import subprocess

import pytest


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests take milliseconds: one that needs a process or a broker belongs in tests/system."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a unit test starts a process: move it to tests/system")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
