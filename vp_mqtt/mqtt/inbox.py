"""A bounded inbox between the network's thread and the thread that does the work."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Bounded queues, one per source, read in turn (round robin).

    Putting never blocks. When the queue of a source is full, its oldest item is dropped and counted: what is read is as
    recent as possible, and a source that floods the inbox delays no other. The node's own events go first.

        inbox: Inbox[Received] = Inbox(per_source=1)
        session = Session(options, ..., on_message=lambda message: inbox.put(message.topic, message))
        while (message := inbox.get()) is not None:
            handle(message)

    Attributes:
        dropped: items that were put and will never be read, other than those in the inbox when it was closed.
    """

    def __init__(self, *, per_source: int, max_sources: int = 1024) -> None:
        """Start empty.

        Args:
            per_source: queue length of a source, at least 1; with 1, the newest item replaces the one before.
            max_sources: sources that may have items in the inbox at the same time; items of further ones are dropped.
        """
        self._per_source = per_source
        self._max_sources = max_sources
        self._first: deque[T] = deque()
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()
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
        """Add an event of the node's own, which is never dropped and is read before all items of sources.

        The queue of these has no bound: they must be few. May be called from any thread.
        """
        with self._condition:
            self._first.append(item)
            self._condition.notify()

    def get(self, timeout: float | None = None) -> T | None:
        """Wait for an item and return it; may be called from any thread.

        Args:
            timeout: in seconds; None for no limit, 0 to not wait.

        Returns:
            The oldest of the node's own events, else that of the source whose turn it is; None if the time is up or the
            inbox is closed.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._first or self._queues or self._closed, timeout)
            if self._closed or not (self._first or self._queues):
                return None
            if self._first:
                return self._first.popleft()
            source, queue = self._queues.popitem(last=False)
            item = queue.popleft()
            if queue:
                self._queues[source] = queue
            return item

    def close(self) -> None:
        """Wake up everyone who waits; from now on, `get` returns None."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
