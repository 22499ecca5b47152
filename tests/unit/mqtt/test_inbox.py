from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.mqtt.inbox import Inbox

WAIT = 10.0


def emptied(inbox: Inbox[int]) -> list[int]:
    items = []
    while (item := inbox.get(0)) is not None:
        items.append(item)
    return items


def test_with_one_item_per_source_the_newest_wins() -> None:
    inbox: Inbox[int] = Inbox(per_source=1)
    for item in (1, 2, 3):
        inbox.put("cam", item)
    assert emptied(inbox) == [3]
    assert inbox.dropped == 2


def test_a_full_source_drops_its_oldest_items_and_counts_them() -> None:
    inbox: Inbox[int] = Inbox(per_source=3)
    for item in range(5):
        inbox.put("cam", item)
    assert inbox.dropped == 2
    assert emptied(inbox) == [2, 3, 4]
    inbox.put("cam", 5)
    assert inbox.dropped == 2


def test_sources_take_turns_so_that_a_flood_delays_no_other_source() -> None:
    inbox: Inbox[int] = Inbox(per_source=10)
    for item in range(4):
        inbox.put("loud", item)
    inbox.put("quiet", 100)
    inbox.put("third", 200)
    assert inbox.get(0) == 0
    inbox.put("loud", 4)
    assert emptied(inbox) == [100, 200, 1, 2, 3, 4]
    assert inbox.dropped == 0


def test_items_of_more_sources_than_allowed_are_dropped_and_counted() -> None:
    inbox: Inbox[int] = Inbox(per_source=2, max_sources=2)
    for number, source in enumerate(("a", "b", "c", "a")):
        inbox.put(source, number)
    assert inbox.dropped == 1
    assert emptied(inbox) == [0, 1, 3]
    inbox.put("c", 9)
    assert emptied(inbox) == [9]
    assert inbox.dropped == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from("abcd"), st.none()), max_size=60), st.integers(1, 3), st.integers(1, 3))
def test_every_item_is_read_in_the_order_of_its_source_or_counted_as_dropped(
    events: list[str | None], per_source: int, max_sources: int
) -> None:
    inbox: Inbox[tuple[str, int]] = Inbox(per_source=per_source, max_sources=max_sources)
    out: list[tuple[str, int]] = []
    for number, source in enumerate(events):
        if source is not None:
            inbox.put(source, (source, number))
        elif (item := inbox.get(0)) is not None:
            out.append(item)
    waiting = []
    while (item := inbox.get(0)) is not None:
        waiting.append(item)
    assert len(waiting) <= per_source * max_sources
    out += waiting
    assert len(out) + inbox.dropped == sum(source is not None for source in events)
    for name in "abcd":
        numbers = [number for source, number in out if source == name]
        assert numbers == sorted(set(numbers))


def test_get_returns_none_on_timeout() -> None:
    inbox: Inbox[int] = Inbox(per_source=1)
    assert inbox.get(0) is None
    assert inbox.get(0.01) is None


def waiting_getter(inbox: Inbox[int]) -> tuple[threading.Thread, list[int | None]]:
    """Start a thread that waits for an item without a timeout, and return once it waits."""
    got: list[int | None] = []
    started = threading.Event()
    wait = inbox._condition.wait

    def watched(timeout: float | None = None) -> bool:
        started.set()
        return wait(timeout)

    inbox._condition.wait = watched  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: got.append(inbox.get()), daemon=True)
    thread.start()
    assert started.wait(WAIT)
    # It holds the lock until it waits: once we have the lock, it does.
    with inbox._condition:
        pass
    return thread, got


def test_put_wakes_a_waiting_get() -> None:
    inbox: Inbox[int] = Inbox(per_source=1)
    thread, got = waiting_getter(inbox)
    inbox.put("cam", 7)
    thread.join(WAIT)
    assert got == [7]


def test_what_a_reader_waits_for_is_not_replaced_before_it_gets_to_run() -> None:
    inbox: Inbox[str] = Inbox(per_source=1)
    read: list[str | None] = []
    reader = threading.Thread(target=lambda: read.extend([inbox.get(10), inbox.get(10), inbox.get(0)]))
    reader.start()
    until = time.monotonic() + 10
    while not inbox._waiting and time.monotonic() < until:
        time.sleep(0.001)
    with inbox._condition:
        # All of them arrive before the reader gets to run.
        for item in ("1", "2", "3"):
            inbox.put("cam", item)
    reader.join(10)
    assert (read, inbox.dropped) == (["1", "3", None], 1)


def test_close_wakes_a_waiting_get() -> None:
    inbox: Inbox[int] = Inbox(per_source=1)
    thread, got = waiting_getter(inbox)
    inbox.close()
    thread.join(WAIT)
    assert got == [None]


def test_a_closed_inbox_returns_nothing() -> None:
    inbox: Inbox[int] = Inbox(per_source=1)
    inbox.put("cam", 1)
    inbox.close()
    assert inbox.get() is None
    inbox.put("cam", 2)
    assert inbox.get() is None


@pytest.mark.parametrize("per_source", [1, 4])
def test_items_from_several_threads_are_read_or_counted_as_dropped(per_source: int) -> None:
    inbox: Inbox[int] = Inbox(per_source=per_source)
    each = 500
    begin = threading.Barrier(5)

    def put(source: str) -> None:
        begin.wait(WAIT)
        for number in range(each):
            inbox.put(source, number)

    threads = [threading.Thread(target=put, args=(name,), daemon=True) for name in "abcd"]
    for thread in threads:
        thread.start()
    begin.wait(WAIT)
    received = 0
    while any(thread.is_alive() for thread in threads):
        received += inbox.get(0.01) is not None
    received += len(emptied(inbox))
    assert received + inbox.dropped == 4 * each


def bounded(max_bytes: int, per_source: int = 1) -> Inbox[bytes]:
    return Inbox(per_source=per_source, max_bytes=max_bytes, size_of=len)


def sizes(inbox: Inbox[bytes]) -> list[int]:
    found = []
    while (item := inbox.get(0)) is not None:
        found.append(len(item))
    return found


def test_items_that_are_too_large_together_make_room_where_most_memory_is_taken() -> None:
    inbox = bounded(100)
    inbox.put("small", bytes(10))
    for number in range(50):
        inbox.put(f"large {number}", bytes(40))
    assert sizes(inbox) == [10, 40, 40]
    assert inbox.dropped == 48
    inbox.put("another", bytes(100))
    assert sizes(inbox) == [100]


def test_a_source_with_many_items_makes_room_before_one_with_a_few() -> None:
    inbox = bounded(100, per_source=100)
    inbox.put("quiet", bytes(20))
    for _ in range(50):
        inbox.put("loud", bytes(9))
    inbox.put("quiet", bytes(21))
    assert sizes(inbox) == [20, 9, 21, 9, 9, 9, 9, 9]


def test_an_item_that_is_too_large_alone_is_dropped_and_leaves_no_trace() -> None:
    inbox = bounded(100)
    inbox.put("cam", bytes(101))
    assert inbox.get(0) is None
    assert inbox.dropped == 1
    inbox.put("cam", bytes(100))
    inbox.put("cam", bytes(99))
    assert sizes(inbox) == [99]
    assert inbox.dropped == 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60))), st.integers(1, 3), st.integers(0, 150))
def test_what_waits_never_exceeds_the_limit_and_every_item_is_read_or_counted(
    puts: list[tuple[int, int]], per_source: int, max_bytes: int
) -> None:
    inbox = bounded(max_bytes, per_source=per_source)
    for source, size in puts:
        inbox.put(str(source), bytes(size))
    found = sizes(inbox)
    assert sum(found) <= max_bytes
    assert len(found) + inbox.dropped == len(puts)


def test_a_source_that_rests_waits_while_the_others_have_their_turns() -> None:
    rests = {"slow": time.monotonic() + 60.0}
    inbox: Inbox[int] = Inbox(per_source=2, rests_until=lambda source: rests.get(source, 0.0))
    inbox.put("slow", 1)
    inbox.put("quick", 2)
    inbox.put("quick", 3)
    assert emptied(inbox) == [2, 3]
    rests["slow"] = 0.0
    assert emptied(inbox) == [1]


def test_a_source_is_read_as_soon_as_it_has_rested() -> None:
    rested = time.monotonic() + 0.05
    inbox: Inbox[int] = Inbox(per_source=1, rests_until=lambda _: rested)
    inbox.put("slow", 1)
    assert inbox.get(0) is None
    assert inbox.get(WAIT) == 1
    assert time.monotonic() >= rested
