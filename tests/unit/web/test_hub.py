"""What browsers are sent: everything first, then what changes, the newest only, rendered once for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from vp_mqtt.web.hub import Fragment, Fragments, Hub

PERIOD_S = 0.01


class Counter:
    """A page whose parts change when told."""

    def __init__(self) -> None:
        self.parts: dict[str, Fragment] = {"a": Fragment("one"), "b": Fragment("same")}
        self.rendered = 0

    def render(self) -> Fragments:
        self.rendered += 1
        return dict(self.parts)


async def events(stream: AsyncIterator[dict[str, str]], number: int) -> list[tuple[str, str]]:
    """Return the next events, but for beats."""
    found: list[tuple[str, str]] = []
    async for event in stream:
        if event["event"] != "beat":
            found.append((event["event"], event["data"]))
        if len(found) == number:
            return found
    return found


def test_everything_comes_first_and_then_what_changes() -> None:
    async def scenario() -> None:
        page = Counter()
        stream = Hub(page.render, period_s=PERIOD_S).stream()
        assert await events(stream, 2) == [("a", "one"), ("b", "same")]
        page.parts["a"] = Fragment("two")
        assert await events(stream, 1) == [("a", "two")]

    asyncio.run(scenario())


def test_a_slow_browser_gets_the_newest_state_and_no_backlog() -> None:
    async def scenario() -> None:
        page = Counter()
        hub = Hub(page.render, period_s=PERIOD_S)
        slow, quick = hub.stream(), hub.stream()
        await events(slow, 2)
        await events(quick, 2)
        for number in range(5):
            page.parts["a"] = Fragment(f"number {number}")
            assert await events(quick, 1) == [("a", f"number {number}")]
        assert await events(slow, 1) == [("a", "number 4")]

    asyncio.run(scenario())


def test_a_part_with_a_key_is_sent_when_the_key_changes() -> None:
    async def scenario() -> None:
        page = Counter()
        page.parts = {"a": Fragment("at 1 s", key="grid"), "b": Fragment("x")}
        stream = Hub(page.render, period_s=PERIOD_S).stream()
        await events(stream, 2)
        page.parts = {"a": Fragment("at 2 s", key="grid"), "b": Fragment("y")}
        assert await events(stream, 1) == [("b", "y")]

    asyncio.run(scenario())


def test_a_part_that_comes_back_is_sent_again() -> None:
    async def scenario() -> None:
        page = Counter()
        stream = Hub(page.render, period_s=PERIOD_S).stream()
        await events(stream, 2)
        page.parts = {"a": Fragment("two")}
        assert await events(stream, 1) == [("a", "two")]
        page.parts = {"a": Fragment("two"), "b": Fragment("same")}
        assert await events(stream, 1) == [("b", "same")]

    asyncio.run(scenario())


def test_a_page_is_rendered_once_for_all_browsers_and_not_without_any() -> None:
    async def scenario() -> None:
        page = Counter()
        hub = Hub(page.render, period_s=60.0)
        await asyncio.sleep(0.05)
        assert page.rendered == 0
        streams = [hub.stream() for _ in range(10)]
        for stream in streams:
            await events(stream, 2)
        assert (page.rendered, hub.browsers) == (1, 10)
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        assert hub.browsers == 0

    asyncio.run(scenario())


def test_there_is_a_beat_at_once_so_that_a_browser_knows_that_it_is_heard() -> None:
    async def scenario() -> list[str]:
        stream = Hub(dict, period_s=PERIOD_S).stream()
        return [event["event"] async for event in _first(stream)]

    assert asyncio.run(scenario()) == ["beat"]


def test_a_stream_ends_soon_after_the_session_of_its_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.web.hub._BEAT_S", 0.0)
    answers = [True, True, False]

    async def scenario() -> list[str]:
        return [event["event"] async for event in Hub(dict, period_s=PERIOD_S).stream(lambda: answers.pop(0))]

    assert asyncio.run(scenario()) == ["beat", "beat"]


async def _first(stream: AsyncIterator[dict[str, str]]) -> AsyncIterator[dict[str, str]]:
    yield await anext(stream)


def test_so_many_browsers_and_no_more_of_which_viewers_cannot_take_all() -> None:
    async def scenario() -> None:
        hub = Hub(Counter().render, period_s=60.0)
        streams = []
        for is_operator, most in ((False, 24), (True, 32)):
            while not hub.is_full(is_operator=is_operator):
                streams.append(hub.stream())
                await events(streams[-1], 2)
            assert len(streams) == most
        assert hub.is_full(is_operator=False)

    asyncio.run(scenario())
