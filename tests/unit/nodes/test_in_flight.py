from __future__ import annotations

import threading
import time
from typing import cast

import pytest

from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.nodes.in_flight import InFlight


class FakeSent:
    """A message of which the test says whether it has arrived."""

    is_pending = True
    is_delivered = False

    def arrive(self) -> None:
        self.is_pending, self.is_delivered = False, True

    def get_lost(self) -> None:
        self.is_pending = False


def add(flights: InFlight, now: float) -> FakeSent:
    sent = FakeSent()
    flights.add(cast(Sent, sent), 1_500_000, now)
    return sent


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    return caplog


def test_no_more_than_the_limit_is_in_flight() -> None:
    flights = InFlight(2)
    first = add(flights, 0)
    assert not flights.is_full(0)
    second = add(flights, 0)
    assert flights.is_full(0.1)
    first.arrive()
    assert not flights.is_full(0.2)
    second.get_lost()
    add(flights, 0.2)
    assert not flights.is_full(0.3)


def fly(flights: InFlight, start: float, end: float) -> FakeSent:
    sent = add(flights, start)
    for tenth in range(int(start * 10), int(end * 10) + 1):
        flights.is_full(tenth / 10)
    return sent


def test_two_slow_frames_in_a_row_are_warned_of_once(log: pytest.LogCaptureFixture) -> None:
    flights = InFlight(1)
    for number, seconds in enumerate([30, 0.5, 30, 30, 30, 0.5, 30, 30]):
        fly(flights, 100 * number, 100 * number + seconds).arrive()
        flights.is_full(100 * number + 60)
        assert ("slow" in log.text) == (number >= 3)
    assert log.text.count("the link to the broker is slow: a frame of 1500 kB takes 30.0 s") == 1


def test_frames_whose_connection_breaks_again_and_again_are_warned_of_once(log: pytest.LogCaptureFixture) -> None:
    flights = InFlight(1)
    for number in range(4):
        fly(flights, 100 * number, 100 * number + 18).get_lost()
        flights.is_full(100 * number + 60)
        assert ("break" in log.text) == (number >= 1)
    line = (
        "connections break while a frame of 1500 kB is on its way, after 18.0 s (see --size, --quality and --keepalive)"
    )
    assert log.text.count(line) == 1


def test_one_broken_connection_and_frames_seen_late_say_nothing_of_the_link(log: pytest.LogCaptureFixture) -> None:
    flights = InFlight(1)
    for number in range(6):
        sent = fly(flights, 100 * number, 100 * number + (30 if number % 2 else 0.5))
        sent.get_lost() if number % 2 else sent.arrive()
        flights.is_full(100 * number + 60)
    for number in range(6, 9):
        # At one frame in 50 s nobody looked earlier.
        add(flights, 100 * number).arrive()
        flights.is_full(100 * number + 50)
    assert not log.records


def test_waiting_ends_when_all_have_arrived_at_a_signal_and_in_time() -> None:
    flights = InFlight(1)
    sent = add(flights, 0)
    started = time.monotonic()
    flights.wait(threading.Event(), 0.05)
    assert time.monotonic() - started >= 0.05
    stopping = threading.Event()
    stopping.set()
    flights.wait(stopping, 60)
    threading.Timer(0.05, sent.arrive).start()
    flights.wait(threading.Event(), 60)
    assert time.monotonic() - started < 5
