from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.broker import Mosquitto
from tests.support.site import Site, write_pictures
from tests.support.tiny import write_bundle
from vp_mqtt.logs import LOGGER

# Hypothesis limits an example to 200 ms by default, which a busy machine exceeds.
hypothesis.settings.register_profile("vp-mqtt", deadline=None)
hypothesis.settings.load_profile("vp-mqtt")
# For `make mutants`: the same few examples each time, and a failure need not be made simple.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=30,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a test once more if it fails: a busy machine can keep processes and threads from running for seconds.

    The summary shows its first failure, as a rerun; `--max-suite-reruns` limits them in a whole run.
    """
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(autouse=True)
def no_settings_of_the_developers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("VP_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def log_as_python_sets_it_up() -> Iterator[None]:
    """What a command in the test's own process sets up is undone: no other test logs more, or elsewhere, for it."""
    hooks = sys.excepthook, threading.excepthook
    raises = logging.raiseExceptions
    yield
    sys.excepthook, threading.excepthook = hooks
    logging.raiseExceptions = raises
    LOGGER.handlers = []
    LOGGER.propagate = True
    LOGGER.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def site(broker: Mosquitto, bundle: Path, tmp_path: Path) -> Iterator[Site]:
    with Site(broker.url, broker.port, bundle, tmp_path) as running:
        yield running
