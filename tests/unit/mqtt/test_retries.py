from __future__ import annotations

import logging

import pytest

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.failure import Failure
from vp_mqtt.mqtt.retries import BACKOFF_CAP_S, Retries, backoff

OPTIONS = BrokerOptions(url="mqtt://broker")
AWAY = Failure("it is away")
DROPPED = Failure("connection closed")


def test_backoff_is_capped_and_jittered() -> None:
    bounds: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        bounds.append((low, high))
        return low

    for attempt in (0, 1, 2, 3, 4, 10, 10_000):
        assert backoff(attempt, draw) == 0
    assert bounds == [(0, 0.25), (0, 0.5), (0, 1), (0, 2), (0, 3), (0, 3), (0, 3)]
    assert all(0 <= backoff(20) <= BACKOFF_CAP_S for _ in range(100))
    assert len({backoff(20) for _ in range(10)}) > 1


@pytest.mark.parametrize(("elapsed_s", "is_given_up"), [(4.9, False), (5.0, True)])
def test_an_absent_broker_is_given_up_when_the_time_allowed_is_over(*, elapsed_s: float, is_given_up: bool) -> None:
    retries = Retries(BrokerOptions(url="mqtt://broker", give_up_after_s=5.0))
    error = retries.note_end(AWAY, elapsed_s=elapsed_s)
    assert (error is not None) == is_given_up
    retries.note_open()
    assert retries.note_end(AWAY, elapsed_s=elapsed_s) is None


def test_a_permanent_failure_ends_the_session_unless_it_was_connected() -> None:
    refused = Failure("refused", UserError("refused"))
    retries = Retries(OPTIONS)
    assert retries.note_end(refused, elapsed_s=0) is refused.error
    retries.note_open()
    assert retries.note_end(refused, elapsed_s=0) is None


def test_attempts_start_over_only_after_a_connection_that_lasted() -> None:
    retries = Retries(OPTIONS)
    seen = []
    for is_accepted in (False, True, True):
        if is_accepted:
            retries.note_open()
        retries.note_end(DROPPED, elapsed_s=0)
        seen.append(retries.attempt)
    assert seen == [1, 2, 3]
    retries.note_open()
    retries.note_lasting()
    retries.note_end(DROPPED, elapsed_s=0)
    assert retries.attempt == 1


def test_a_broker_that_drops_us_again_and_again_is_logged_once(log: pytest.LogCaptureFixture) -> None:
    retries = Retries(OPTIONS)
    for _ in range(10):
        retries.note_open()
        retries.note_end(DROPPED, elapsed_s=0)
    assert [record.levelno for record in log.records].count(logging.WARNING) == 2
    assert log.text.count("lost the broker mqtt://broker (connection closed); reconnecting") == 1
    assert log.text.count("accepts the connection and then drops it (connection closed)") == 1
    assert log.text.count("connected to the broker") == 2
    retries.note_open()
    retries.note_lasting()
    assert log.text.count("the connection to the broker mqtt://broker lasts now") == 1
    # From now on as from the start.
    retries.note_end(DROPPED, elapsed_s=0)
    retries.note_open()
    retries.note_lasting()
    assert log.text.count("lost the broker") == 2
    assert log.text.count("connected to the broker") == 3


def test_an_absent_broker_is_logged_once(log: pytest.LogCaptureFixture) -> None:
    retries = Retries(OPTIONS)
    for _ in range(10):
        retries.note_end(AWAY, elapsed_s=0)
    assert log.text.count("broker mqtt://broker: it is away; trying until it is there") == 1
    assert len(log.records) == 1


def test_an_unexplained_failure_is_looked_into_once_and_only_before_the_first_connection() -> None:
    closed = Failure("closed", is_unexplained=True)
    retries = Retries(OPTIONS)
    assert [retries.is_puzzled(failure) for failure in (AWAY, closed, closed)] == [False, True, False]
    retries = Retries(OPTIONS)
    retries.note_open()
    assert not retries.is_puzzled(closed)


def test_the_brokers_of_a_cluster_have_their_turn_one_after_the_other() -> None:
    retries = Retries(BrokerOptions(url="mqtt://a,b"))
    turns = []
    for _ in range(4):
        turns.append((retries.broker.host, retries.round))
        retries.note_end(AWAY, elapsed_s=0)
    assert turns == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_only_when_all_brokers_refuse_does_the_session_end() -> None:
    refused = Failure("refused", UserError("refused"))
    retries = Retries(BrokerOptions(url="mqtt://a,b"))
    assert retries.note_end(refused, elapsed_s=0) is None
    assert retries.note_end(AWAY, elapsed_s=0) is None
    assert retries.note_end(refused, elapsed_s=0) is None, "the same one again"
    assert retries.note_end(refused, elapsed_s=0) is refused.error


def test_each_broker_of_a_cluster_is_looked_into_once() -> None:
    retries = Retries(BrokerOptions(url="mqtt://a,b"))
    puzzling = Failure("silence", is_unexplained=True)
    seen = []
    for _ in range(4):
        seen.append(retries.is_puzzled(puzzling))
        retries.note_end(puzzling, elapsed_s=0)
    assert seen == [True, True, False, False]
