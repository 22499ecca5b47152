"""The events that wait for the fusion node's loop, in bounded queues."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """An event of a source.

    Attributes:
        source: whose event it is.
        event: the event.
        limit: how many events of the source may wait, at least 1.
        is_fast: whether it goes to the fast lane.
    """

    source: Hashable
    event: T
    limit: int
    is_fast: bool = False


class EventQueue(Generic[T]):
    """Bounded queues, one per source, in two lanes; within a lane they are read in turn (round robin).

    Putting never blocks. When the queue of a source is full, its oldest event is dropped and counted: a source that
    floods delays and displaces no other. The node's own events go first, then those of the fast lane.

    Attributes:
        dropped: events that were put and will never be read, other than those in the queues at their closing.
    """

    def __init__(self, *, max_sources: int) -> None:
        """Start empty.

        Args:
            max_sources: sources that may have events waiting in one lane; events of further ones are dropped.
        """
        self._max_sources = max_sources
        self._own: deque[T] = deque()
        self._fast: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._slow: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._condition = threading.Condition()
        self._closed = False
        self.dropped = 0

    def put(self, entries: Iterable[Entry[T]]) -> None:
        """Add events, in their order; may be called from any thread."""
        with self._condition:
            for entry in entries:
                lane = self._fast if entry.is_fast else self._slow
                queue = lane.get(entry.source)
                if queue is None:
                    if len(lane) >= self._max_sources:
                        self.dropped += 1
                        continue
                    queue = lane[entry.source] = deque()
                elif len(queue) >= entry.limit:
                    queue.popleft()
                    self.dropped += 1
                queue.append(entry.event)
            self._condition.notify()

    def put_first(self, event: T) -> None:
        """Add an event of the node's own, which is never dropped; may be called from any thread.

        The queue of these has no bound: they must be few.
        """
        with self._condition:
            self._own.append(event)
            self._condition.notify()

    def get(self, timeout: float | None = None, *, at_most: int = 1) -> list[T]:
        """Wait for an event, and return it and others that wait; may be called from any thread.

        Args:
            timeout: in seconds; None for no limit, 0 to not wait.
            at_most: how many events, at least 1.

        Returns:
            The oldest of the node's own events, then those of the sources in turn; none if the time is up or the queues
            are closed.
        """
        with self._condition:
            if not self._has_any():
                self._condition.wait_for(self._has_any, timeout)
            events: list[T] = []
            while len(events) < at_most and not self._closed:
                if self._own:
                    events.append(self._own.popleft())
                elif lane := self._fast or self._slow:
                    source, queue = lane.popitem(last=False)
                    events.append(queue.popleft())
                    if queue:
                        lane[source] = queue
                else:
                    break
            return events

    def close(self) -> None:
        """Wake up everyone who waits; from now on, `get` returns None."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _has_any(self) -> bool:
        return bool(self._own or self._fast or self._slow or self._closed)
