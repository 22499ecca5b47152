"""The signals that end a node."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

_ENDING = (signal.SIGINT, signal.SIGTERM)
_GRACE_S = 1.7


def hold() -> None:
    """Block the ending signals until the node waits for them.

    Every thread inherits this, so call it before anything that starts threads is imported: a library's own thread
    would otherwise receive the signal, and the process would end without a goodbye.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def wait(seconds: float) -> bool:
    """Wait for a blocked ending signal, at most so many seconds, and return whether one came."""
    return signal.sigtimedwait(_ENDING, seconds) is not None


def handle(stop: Callable[[], None]) -> None:
    """Call `stop` at the first ending signal, in a thread of its own; end the process if it takes too long.

    A second signal ends the process at once.
    """
    threading.Thread(target=_handle, args=(stop,), name="signals", daemon=True).start()


def _handle(stop: Callable[[], None]) -> None:
    signal.sigwait(_ENDING)
    threading.Timer(_GRACE_S, os._exit, [0]).start()
    stop()
    signal.sigwait(_ENDING)
    os._exit(0)
