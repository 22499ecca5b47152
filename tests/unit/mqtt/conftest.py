"""Fixtures for sessions: a scripted broker, the log, and no back-off between attempts to connect."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.scripted_broker import ScriptedBroker
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt import session


@pytest.fixture(autouse=True)
def no_backoff_and_no_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "backoff", lambda _: 0.01)
    monkeypatch.setattr(session, "diagnose", lambda _: None)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=LOGGER.name)
    return caplog


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as running:
        yield running
