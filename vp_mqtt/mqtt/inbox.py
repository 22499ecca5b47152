"""A bounded inbox between the network's thread and a node's own."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Holds at most so many items per source, the newest ones, and hands them out source by source in turn.

    Putting never blocks: when a source's queue is full its oldest item is dropped and counted, so that what is handed
    out is never older than need be, and a source that floods delays nobody else.
    """

    def __init__(self, *, per_source: int, max_sources: int = 1024) -> None:
        """Start empty.

        Args:
            per_source: items held per source, at least 1; with 1, the newest wins.
            max_sources: sources that may have items waiting at a time; items of further ones are dropped.
        """
        self._per_source = per_source
        self._max_sources = max_sources
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()
        self._first: deque[T] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self.dropped = 0

    def put(self, source: str, item: T) -> None:
        """Add an item; may be called from any thread."""
        with self._condition:
            queue = self._queues.get(source)
            if queue is None:
                if len(self._queues) >= self._max_sources:
                    self.dropped += 1
                    return
                queue = self._queues[source] = deque(maxlen=self._per_source)
            self.dropped += len(queue) == self._per_source
            queue.append(item)
            self._condition.notify()

    def put_first(self, item: T) -> None:
        """Add an item of the node's own, which is never dropped and is handed out before those of the sources."""
        with self._condition:
            self._first.append(item)
            self._condition.notify()

    def get(self, timeout: float | None = None) -> T | None:
        """Wait for an item; None when the time (in s) is over or the inbox is closed."""
        with self._condition:
            if (
                not self._condition.wait_for(lambda: self._first or self._queues or self._closed, timeout)
                or self._closed
            ):
                return None
            if self._first:
                return self._first.popleft()
            source, queue = self._queues.popitem(last=False)
            item = queue.popleft()
            if queue:
                self._queues[source] = queue
            return item

    def close(self) -> None:
        """Hand out nothing more, and wake whoever waits."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
