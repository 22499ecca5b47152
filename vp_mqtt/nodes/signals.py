"""The signals that end a node."""

from __future__ import annotations

import signal

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hold() -> None:
    """Keep the ending signals until the node waits for them.

    Every thread inherits this, so call it before anything that starts threads is imported: a library's own thread
    would otherwise take the signal, and the process would end without a goodbye.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)


def wait(seconds: float) -> bool:
    """Wait for an ending signal that is being held, at most so long, and return whether one came."""
    return signal.sigtimedwait(ENDING_SIGNALS, seconds) is not None
