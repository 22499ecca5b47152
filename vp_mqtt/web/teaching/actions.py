"""What was done last, and how it is undone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_REMEMBERED = 20


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done.

    Attributes:
        text: what, for people.
        undo: undoes it; may raise OSError or sqlite3.Error.
    """

    text: str
    undo: Callable[[], None]


class Actions:
    """The newest actions: the last one can be undone, then the one before it."""

    def __init__(self) -> None:
        """Start without any."""
        self._done: deque[Action] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def add(self, action: Action, instead_of: Action | None = None) -> None:
        """Remember an action, in place of the last one if that is `instead_of`: undoing it then undoes both."""
        with self._lock:
            if self._done and self._done[-1] is instead_of:
                self._done.pop()
            self._done.append(action)

    def ends_with(self, action: Action) -> bool:
        """Return whether an action is the one that would be undone."""
        with self._lock:
            return bool(self._done) and self._done[-1] is action

    def last(self) -> str | None:
        """Return what can be undone, for people; None if there is nothing."""
        with self._lock:
            return self._done[-1].text if self._done else None

    def undo(self) -> str | None:
        """Undo the last action and return what it was; None if there was none.

        Raises:
            OSError: files cannot be moved back.
            sqlite3.Error: the queue cannot be written.
        """
        with self._lock:
            action = self._done.pop() if self._done else None
        if action is None:
            return None
        action.undo()
        return action.text
