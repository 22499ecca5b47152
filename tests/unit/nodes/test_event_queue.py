"""The queues of events: fair among sources, bounded, and the node's own events first."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.nodes.event_queue import Entry, EventQueue


def read(queue: EventQueue[str], at_most: int = 1) -> list[str]:
    events = []
    while some := queue.get(0, at_most=at_most):
        assert len(some) <= at_most
        events += some
    return events


def test_sources_of_a_lane_are_read_in_turn() -> None:
    queue: EventQueue[str] = EventQueue(max_sources=9)
    for event in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put([Entry(event[0], event, 9)])
    assert read(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_own_events_come_first_and_the_fast_lane_before_the_other() -> None:
    queue: EventQueue[str] = EventQueue(max_sources=9)
    queue.put([Entry("a", "slow", 9)])
    queue.put([Entry("a", "fast", 9, is_fast=True)])
    queue.put_first("own")
    assert read(queue) == ["own", "fast", "slow"]


def test_the_oldest_events_of_a_source_make_room() -> None:
    queue: EventQueue[str] = EventQueue(max_sources=9)
    for event in ("a1", "a2", "a3", "b1"):
        queue.put([Entry(event[0], event, 2)])
    assert (read(queue), queue.dropped) == (["a2", "b1", "a3"], 1)


def test_sources_are_bounded_in_each_lane() -> None:
    queue: EventQueue[str] = EventQueue(max_sources=2)
    for source in "abc":
        queue.put([Entry(source, source, 1), Entry(source, source.upper(), 1, is_fast=True)])
    assert (read(queue), queue.dropped) == (["A", "B", "a", "b"], 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 9))
def test_every_event_is_read_once_in_the_order_of_its_source_or_dropped(
    puts: list[tuple[str, bool]], at_most: int
) -> None:
    queue: EventQueue[str] = EventQueue(max_sources=2)
    entries = [Entry(source, f"{source}{is_fast}{n}", 3, is_fast=is_fast) for n, (source, is_fast) in enumerate(puts)]
    queue.put(entries)
    one_by_one: EventQueue[str] = EventQueue(max_sources=2)
    for entry in entries:
        one_by_one.put([entry])
    events = read(queue, at_most)
    assert (events, queue.dropped) == (read(one_by_one), one_by_one.dropped)
    assert len(events) + queue.dropped == len(puts)
    of_source: dict[str, list[int]] = {}
    for event in events:
        key = event.rstrip("0123456789")
        of_source.setdefault(key, []).append(int(event[len(key) :]))
    assert all(numbers == sorted(numbers) for numbers in of_source.values())
    assert max(Counter(event.rstrip("0123456789") for event in events).values(), default=0) <= 3


def test_who_waits_is_woken_by_an_event_and_by_closing() -> None:
    queue: EventQueue[str] = EventQueue(max_sources=1)
    found: list[str | None] = []
    reader = threading.Thread(target=lambda: found.extend([*queue.get(), *queue.get()]))
    reader.start()
    queue.put([Entry("a", "a", 1)])
    queue.put_first("b")
    reader.join(10)
    assert not reader.is_alive()
    assert set(found) == {"a", "b"}
    closing = threading.Thread(target=lambda: found.extend(queue.get() or [None]))
    closing.start()
    queue.close()
    closing.join(10)
    assert found[-1] is None
    queue.put_first("late")
    assert queue.get(0) == []
