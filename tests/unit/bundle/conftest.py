from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.support.tiny import write_bundle


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    memory = MemoryBroker()
    memory.use_in(monkeypatch, "fetch", "initial", "publish", "read_back")
    return memory


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture
def folder(tmp_path: Path, bundle: Path) -> Path:
    """A bundle of the test's own, to be damaged."""
    return shutil.copytree(bundle, tmp_path / "bundle")
