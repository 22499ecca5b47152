"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it has half done is cleared away."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at an ending signal; after it, end the process by that signal.

    A second signal ends it at once. Commands that set up signals themselves do so as they like, and one that is ignored
    (`nohup`) stays ignored.
    """
    received: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        # A service manager, or who started us, may send another one as well, while things are cleared away.
        for other in {signal.SIGINT, *_ENDING} - {number}:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        # Whoever waits for the command sees what ended it: systemd does not call that a failure.
        if received:
            os.kill(os.getpid(), received[0])
