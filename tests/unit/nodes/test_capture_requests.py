from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.nodes.capture_requests import CaptureRequests


def test_a_request_is_open_until_it_is_answered() -> None:
    requests = CaptureRequests()
    states = [requests.is_open]
    assert requests.add(5.0)
    assert requests.add(5.1)
    states.append(requests.is_open)
    requests.answer()
    assert [*states, requests.is_open] == [False, True, False]


@given(st.lists(st.floats(0, 3), max_size=200))
def test_so_many_at_once_and_one_a_second_for_long(steps: list[float]) -> None:
    requests, now, accepted = CaptureRequests(at_once=3, per_s=1.0), 0.0, 0
    for step in steps:
        now += step
        accepted += requests.add(now)
    assert min(len(steps), 3) <= accepted <= 3 + now


def test_after_a_flood_requests_are_accepted_again() -> None:
    requests = CaptureRequests(at_once=2, per_s=1.0)
    assert [requests.add(10.0) for _ in range(4)] == [True, True, False, False]
    assert not requests.add(10.9)
    assert requests.add(11.1)
