"""What browsers are sent while a page is open: the newest state, at most five times a second, and never a backlog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from anyio import to_thread

PERIOD_S = 0.2
"""The shortest time between two updates of one browser."""
_BEAT_S = 4.0
_MAX_BROWSERS, _FOR_OPERATORS = 32, 8


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a page.

    Attributes:
        html: what it is now.
        key: it is sent when this changes; by default the HTML itself.
    """

    html: str
    key: object = None


Fragments = Mapping[str, Fragment]
"""The parts of a page by the name of the event that replaces them."""


class Hub:
    """Renders a page's parts while browsers have it open, once for all of them, and sends each what has changed.

    There is one slot for each browser and part: what a slow one has not taken when the part changes again is replaced.

    Attributes:
        browsers: how many have the page open.
    """

    def __init__(self, render: Callable[[], Fragments], *, period_s: float = PERIOD_S) -> None:
        """Prepare.

        Args:
            render: returns the parts as they are now; called in a thread.
            period_s: shortest time between two calls, in seconds.
        """
        self.browsers = 0
        self._render = render
        self._period_s = period_s
        self._lock = asyncio.Lock()
        self._fragments: Fragments = {}
        self._rendered_at = -period_s

    def is_full(self, *, is_operator: bool) -> bool:
        """Return whether there are as many browsers as one server is to feed; some of them only for operators."""
        return self.browsers >= _MAX_BROWSERS - (0 if is_operator else _FOR_OPERATORS)

    async def stream(self, may_go_on: Callable[[], bool] = lambda: True) -> AsyncIterator[dict[str, str]]:
        """Yield the events for one browser: all parts first, then those that change, and a beat now and then.

        Args:
            may_go_on: asked before each beat; the stream ends where the browser's session has.
        """
        sent: dict[str, object] = {}
        beat_at = 0.0
        self.browsers += 1
        try:
            while True:
                fragments = await self._newest()
                for name, fragment in fragments.items():
                    key = fragment.html if fragment.key is None else fragment.key
                    if sent.get(name) != key:
                        sent[name] = key
                        yield {"event": name, "data": fragment.html}
                for name in sent.keys() - fragments.keys():
                    del sent[name]
                if time.monotonic() - beat_at > _BEAT_S:
                    if not may_go_on():
                        return
                    beat_at = time.monotonic()
                    yield {"event": "beat", "data": ""}
                await asyncio.sleep(self._period_s)
        finally:
            self.browsers -= 1

    async def _newest(self) -> Fragments:
        async with self._lock:
            if time.monotonic() - self._rendered_at >= self._period_s:
                self._fragments = await to_thread.run_sync(self._render)
                self._rendered_at = time.monotonic()
            return self._fragments
