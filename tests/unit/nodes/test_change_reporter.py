"""The log lines about variants and the leading bundle."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.fusing import manifest
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes.change_reporter import ChangeReporter

OLD, NEW = manifest((1.0, 1.0), 3, name="old"), manifest((1.0, 1.0), 3, name="new")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        yield caplog


@pytest.fixture
def handover() -> Handover:
    both = Handover(suspect_after=2)
    both.add(OLD)
    both.add(NEW)
    return both


def lines(reporter: ChangeReporter, log: pytest.LogCaptureFixture) -> list[str]:
    log.clear()
    reporter.report()
    return log.messages


def test_what_has_not_changed_is_not_reported(handover: Handover, log: pytest.LogCaptureFixture) -> None:
    reporter = ChangeReporter(handover)
    assert not reporter.report()
    handover.set_node("a", (OLD.short_digest, 0), 1.0)
    assert lines(reporter, log) == ["variant 0 is online"]
    assert lines(reporter, log) == []


def test_variants_that_come_go_fall_silent_and_vote_again(handover: Handover, log: pytest.LogCaptureFixture) -> None:
    reporter = ChangeReporter(handover)
    for variant in (1, 0):
        handover.set_node(f"v{variant}", (OLD.short_digest, variant), 1.0)
    assert lines(reporter, log) == ["variant 0 is online", "variant 1 is online"]
    handover.suspect(1)
    assert lines(reporter, log) == ["variant 1 is silent: no longer waited for"]
    handover.leader.liveness.note_vote("cam", 1, 2.0)
    assert lines(reporter, log) == ["variant 1 votes again"]
    handover.suspect(1)
    lines(reporter, log)
    handover.set_node("v1", None, 3.0)
    assert lines(reporter, log) == ["variant 1 is gone"]


def test_silence_is_reported_once_with_the_camera_where_it_began(
    handover: Handover, log: pytest.LogCaptureFixture
) -> None:
    reporter = ChangeReporter(handover)
    handover.set_node("v1", (OLD.short_digest, 1), 1.0)
    reporter.report()
    for camera in ("gate", "yard"):
        for _ in range(3):
            handover.leader.liveness.note_missed(camera, 1)
        reporter.report()
    assert log.messages[1:] == ["variant 1 is silent on frames of gate: no longer waited for"]
    handover.leader.liveness.note_vote("gate", 1, 2.0)
    assert lines(reporter, log) == []
    handover.leader.liveness.note_vote("yard", 1, 2.0)
    assert lines(reporter, log) == ["variant 1 votes again"]


def test_a_variant_that_comes_and_goes_for_ever_does_not_fill_the_log(
    handover: Handover, log: pytest.LogCaptureFixture
) -> None:
    reporter = ChangeReporter(handover)
    handover.set_node("v1", (OLD.short_digest, 1), 1.0)
    reporter.report()
    log.clear()
    for _ in range(100):
        handover.suspect(1)
        reporter.report()
        handover.leader.liveness.note_vote("cam", 1, 2.0)
        reporter.report()
    assert len(log.messages) == 9 + 9 + 1
    assert log.messages[-1].startswith("variant 1 is silent again and again: too slow for --deadline-ms?")


def test_a_variant_that_runs_another_bundle_is_not_gone(handover: Handover, log: pytest.LogCaptureFixture) -> None:
    reporter = ChangeReporter(handover)
    for variant in (0, 1):
        handover.set_node(f"v{variant}", (OLD.short_digest, variant), 1.0)
    reporter.report()
    handover.set_node("v1", (NEW.short_digest, 1), 2.0)
    assert not handover.update_leader()
    assert lines(reporter, log) == ["variant 1 runs 'new' now"]


def test_another_leader_is_reported_once(handover: Handover, log: pytest.LogCaptureFixture) -> None:
    reporter = ChangeReporter(handover)
    assert not reporter.report()
    handover.set_node("v0", (NEW.short_digest, 0), 1.0)
    assert handover.update_leader()
    assert reporter.report()
    assert log.messages[0] == f"most of the boards run 'new' ({NEW.short_digest.hex()}) now"
    assert not reporter.report()
