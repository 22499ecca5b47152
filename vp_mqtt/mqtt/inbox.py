"""A bounded inbox between the network's thread and the thread that does the work."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Bounded queues, one per source, read in turn (round robin).

    Putting never blocks. When the queue of a source is full, its oldest item is dropped and counted: what is read is as
    recent as possible, and a source that floods the inbox delays no other. When all items together are too large, the
    oldest item of the source that takes most of the memory is dropped. An item that comes while a reader waits for one
    is that reader's: no newer one takes its place, even if several arrive before the reader gets to run.

        inbox: Inbox[Received] = Inbox(per_source=1, max_bytes=64_000_000, size_of=lambda message: len(message.payload))
        session = Session(options, ..., on_message=lambda message: inbox.put(message.topic, message))
        while (message := inbox.get()) is not None:
            handle(message)

    Attributes:
        dropped: items that were put and will never be read, other than those in the inbox when it was closed.
    """

    def __init__(
        self,
        *,
        per_source: int,
        max_sources: int = 1024,
        max_bytes: int | None = None,
        size_of: Callable[[T], int] = lambda _: 0,
        rests_until: Callable[[str], float] = lambda _: -math.inf,
    ) -> None:
        """Start empty.

        Args:
            per_source: queue length of a source, at least 1; with 1, the newest item replaces the one before.
            max_sources: sources that may have items in the inbox at the same time; items of further ones are dropped.
            max_bytes: size of all items of sources together; None for no limit.
            size_of: the size of an item, in bytes.
            rests_until: when the next item of a source may be read, on the monotonic clock, in s.
        """
        self._per_source = per_source
        self._max_sources = max_sources
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._rests_until = rests_until
        # Of the items in all queues, and in the queue of each source.
        self._bytes = 0
        self._bytes_by_source: dict[str, int] = {}
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()
        self._condition = threading.Condition()
        self._waiting = 0
        self._handed_over: deque[T] = deque()
        self._closed = False
        self.dropped = 0

    def put(self, source: str, item: T) -> None:
        """Add an item; may be called from any thread."""
        with self._condition:
            if self._is_awaited(source, item):
                self._handed_over.append(item)
                self._condition.notify()
                return
            queue = self._queues.get(source)
            if queue is None:
                if len(self._queues) >= self._max_sources:
                    self.dropped += 1
                    return
                queue = self._queues[source] = deque()
            if len(queue) == self._per_source:
                self._drop_oldest(source, keep_turn=True)
            queue.append(item)
            self._count(source, self._size_of(item))
            while self._max_bytes is not None and self._bytes > self._max_bytes:
                self._drop_oldest(max(self._bytes_by_source, key=self._bytes_by_source.__getitem__))
            self._condition.notify()

    def get(self, timeout: float | None = None) -> T | None:
        """Wait for an item and return it; may be called from any thread.

        Args:
            timeout: in seconds; None for no limit, 0 to not wait.

        Returns:
            The oldest item of the source whose turn it is; None if the time is up or the inbox is closed.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        with self._condition:
            while not self._closed:
                if self._handed_over:
                    return self._handed_over.popleft()
                now = time.monotonic()
                source, due = self._next_source(now)
                if source is not None:
                    item = self._take_oldest(source)
                    if source in self._queues:
                        self._queues.move_to_end(source)
                    return item
                if now >= until:
                    return None
                patience = min(due, until) - now
                self._waiting += 1
                self._condition.wait(None if patience == math.inf else patience)
                self._waiting -= 1
        return None

    def waiting(self) -> int:
        """Return how many items wait; may be called from any thread."""
        with self._condition:
            return len(self._handed_over) + sum(len(queue) for queue in self._queues.values())

    def close(self) -> None:
        """Wake up everyone who waits; from now on, `get` returns None."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _is_awaited(self, source: str, item: T) -> bool:
        """Return whether a reader waits that this item can be handed to, past the queues."""
        if self._waiting <= len(self._handed_over) or source in self._queues:
            return False
        has_room = self._max_bytes is None or self._bytes + self._size_of(item) <= self._max_bytes
        return has_room and self._rests_until(source) <= time.monotonic()

    def _next_source(self, now: float) -> tuple[str | None, float]:
        """Return whose turn it is; None if there is nobody who does not rest, and when the first one has rested."""
        due = math.inf
        for source in self._queues:
            rested = self._rests_until(source)
            if rested <= now:
                return source, now
            due = min(due, rested)
        return None, due

    def _take_oldest(self, source: str, *, keep_turn: bool = False) -> T:
        """Take the oldest item of a source; with the last one, the source loses its turn unless it is to keep it."""
        queue = self._queues[source]
        item = queue.popleft()
        self._count(source, -self._size_of(item))
        if not queue and not keep_turn:
            del self._queues[source]
            del self._bytes_by_source[source]
        return item

    def _drop_oldest(self, source: str, *, keep_turn: bool = False) -> None:
        self._take_oldest(source, keep_turn=keep_turn)
        self.dropped += 1

    def _count(self, source: str, size: int) -> None:
        self._bytes += size
        self._bytes_by_source[source] = self._bytes_by_source.get(source, 0) + size
