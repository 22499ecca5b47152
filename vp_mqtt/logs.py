"""Logging, as text or JSON, and the count of refused messages, with one log line per source and reason.

Passwords and tokens in addresses are hidden in every line, and control characters are replaced.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections import Counter
from types import TracebackType
from typing import TextIO

from vp_mqtt.masking import hide_secrets
from vp_mqtt.plain_text import plain

LOGGER = logging.getLogger("vp")

_MAX_REMEMBERED = 1000


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "message": plain(hide_secrets(record.getMessage())),
        }
        if record.exc_info:
            entry["traceback"] = hide_secrets(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = f"{clock} {level}{plain(hide_secrets(record.getMessage()))}"
        return f"{line}\n{hide_secrets(self.formatException(record.exc_info))}" if record.exc_info else line


def set_up(*, json_lines: bool, level: str) -> None:
    """Log to standard error.

    Args:
        json_lines: one JSON object per line, instead of text.
        level: the least level logged: "debug", "info", "warning" or "error".
    """
    # A log line that cannot be written, on a full disk for example, is no reason for a traceback.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if json_lines else _LineFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def redirect(stream: TextIO) -> None:
    """Log to another stream than the one that was standard error at the set-up."""
    for handler in LOGGER.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)


def report_fault(error: Exception) -> str:
    """Log an exception that nobody expected; without a log, return its traceback, to be printed."""
    if LOGGER.handlers:
        _log_uncaught(type(error), error, error.__traceback__)
        return ""
    return hide_secrets("".join(traceback.format_exception(error)))


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log an exception that nobody caught, in the form of all lines, instead of a raw traceback."""
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    LOGGER.critical("unexpected error: %s", error, exc_info=(kind, error, trace))


class Refusals:
    """Counts what a node refuses, and logs the first refusal per source and reason; may be used from any thread."""

    def __init__(self) -> None:
        """Start at zero."""
        self.counts: Counter[str] = Counter()
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def add(self, source: str, reason: str) -> None:
        """Count something from this source that is refused for this reason."""
        reason = hide_secrets(reason)
        with self._lock:
            self.counts["refused"] += 1
            self.counts[f"refused: {reason}"] += 1
            # Any client can name a source: only so many are remembered.
            if (source, reason) in self._seen or len(self._seen) >= _MAX_REMEMBERED:
                return
            self._seen.add((source, reason))
        LOGGER.warning("refused from %s: %s (further ones are only counted)", source, reason)
