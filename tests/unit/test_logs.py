from __future__ import annotations

import logging

import pytest

from vp_mqtt import logs
from vp_mqtt.logs import LOGGER, Refusals


def test_each_source_and_reason_is_counted_always_and_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, logger="vp")
    monkeypatch.setattr(LOGGER, "propagate", True)
    refusals = Refusals()
    for source in ("a", "b"):
        for reason in ("too large", "not a picture"):
            for _ in range(5):
                refusals.add(source, reason)
    assert refusals.counts == {"refused": 20, "refused: too large": 10, "refused: not a picture": 10}
    assert len(caplog.messages) == 4


def test_sources_named_by_strangers_fill_neither_memory_nor_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGER, "propagate", True)
    refusals = Refusals()
    for number in range(3000):
        refusals.add(f"stranger {number}", "not a picture")
    assert refusals.counts["refused"] == 3000
    assert len(refusals._seen) == len(caplog.messages) == logs._MAX_REMEMBERED
