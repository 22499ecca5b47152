"""Standard output: a terminal or not, and what to do if it is closed, full, or lacks some characters."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from vp_mqtt.errors import UserError

_PIPE_CLOSED = 1
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Write everything to standard output until the block ends, or say in one line why that was not possible.

    Characters that the output's encoding lacks are escaped. If the reader has closed the pipe (`vp watch | head`), the
    program ends silently.

    Raises:
        SystemExit: the reader closed the pipe; exit code 1.
        UserError: the output cannot be written, for example because the disk is full.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        # An error with a file's name is not about the output, nor is a broken pipe if the output's is whole.
        if error.filename is not None or error.errno not in {errno.EPIPE, *_UNWRITABLE}:
            raise
        if error.errno == errno.EPIPE and not (_is_broken(sys.stdout) or _is_broken(sys.stderr)):
            raise
        _discard(sys.stdout)
        if error.errno == errno.EPIPE:
            raise SystemExit(_PIPE_CLOSED) from None
        raise UserError(f"cannot write the output: {error.strerror}") from None


def can_redraw(stream: TextIO) -> bool:
    """Return whether lines on a stream can be drawn again: it is a terminal that understands cursor movements.

    `FORCE_COLOR` and the like ask for colors, which a file or a pager can hold, and do not make a terminal of a pipe.
    """
    return stream.isatty() and os.environ.get("TERM", "").lower() not in {"dumb", "unknown"}


def _open_closed_streams() -> None:
    """Discard what is written to a stream that was closed when the program started (`vp watch >&-`), as a daemon's are.

    Otherwise the first file that the program opens would get the stream's descriptor, and be written to.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (until the program ends)


def _is_broken(stream: TextIO) -> bool:
    """Return whether a stream is a pipe or socket that nobody reads from any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # errors and hang-ups are always reported
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return False


def _discard(stream: TextIO) -> None:
    """Let the interpreter's last flush of a stream succeed, since it would report the same error with a traceback."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
