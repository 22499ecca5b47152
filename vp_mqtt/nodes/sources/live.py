"""Webcams and network streams: always the newest picture, whatever breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.masking import hide_parts_of, hide_secrets
from vp_mqtt.mqtt.retries import backoff
from vp_mqtt.nodes.sources.base import Captured, Source
from vp_mqtt.nodes.sources.feed import Feed, FeedError
from vp_mqtt.plain_text import plain

_NEW_FRAME_S = 1.0
_CLOSE_TIMEOUT_S = 0.5
# A feed that breaks sooner counts as a failed attempt: it is opened again at growing intervals.
_LASTING_S = 5.0
_PICTURE_WITHIN_S = 60.0
# A feed that comes and goes is in the log once per this time, and once for every reason.
_LOG_INTERVAL_S = 60.0
_MAX_REASONS = 20
_REASON_LETTERS = 200


class LiveStream(Source):
    """A webcam or a network stream: always its newest picture; one that breaks off is opened again.

    Attributes:
        pictures_seen: pictures so far.
        problem: why no pictures come now; None while they do.
    """

    is_live = True

    def __init__(
        self,
        name: str,
        feed: Feed,
        *,
        open_error: str | None = None,
        on_problem: Callable[[str | None], None] = lambda _: None,
        closed: threading.Event | None = None,
        address: str = "",
    ) -> None:
        """Name the stream.

        Args:
            name: what log lines call it, without passwords.
            feed: to read from.
            open_error: what to say if the feed cannot be opened at the start; None to wait until it can be.
            on_problem: called with every change of `problem`, in the stream's own thread.
            closed: set when the stream is closed, for a feed that waits.
            address: whose path and parameters are not to show in what a server says of them.
        """
        self._name = name
        self._address = address
        self._feed = feed
        self._open_error = open_error
        self._on_problem = on_problem
        self._closed = closed or threading.Event()
        self._fresh = threading.Condition()
        self._newest: Captured | None = None
        self._read_since = time.monotonic()
        self._thread: threading.Thread | None = None
        self._logged_at = 0.0
        self._logged: set[str] = set()
        self._is_break_logged = False
        self._pictures_since: float | None = None
        self.pictures_seen = 0
        self.problem: str | None = "no picture yet"

    def open(self) -> None:
        """Open the stream, and read it in a thread of its own.

        Raises:
            UserError: there is no such webcam. (A stream may come up later.)
        """
        if self._open_error is not None:
            try:
                self._feed.open()
            except FeedError as error:
                raise UserError(self._open_error) from error
        self._on_problem(self.problem)
        self._thread = threading.Thread(
            target=self._grab, args=(self._open_error is not None,), name="grabber", daemon=True
        )
        self._thread.start()

    def _grab(self, is_open: bool) -> None:  # noqa: FBT001 (a thread's function)
        attempt = 0
        while not self._closed.is_set():
            self._read_since = time.monotonic()
            self._pictures_since = None
            try:
                if not is_open:
                    self._feed.open()
                self._read_all()
            except FeedError as error:
                self._note_problem(str(error))
            except Exception as error:  # noqa: BLE001 (whatever a camera sends brought about, it may send better later)
                LOGGER.debug("reading %s failed", self._name, exc_info=error)
                self._note_problem(f"unexpected {type(error).__name__}: {error}")
            finally:
                self._feed.close()
            is_open = False
            attempt = 0 if self._has_lasted() else attempt
            if self._closed.wait(backoff(attempt)):
                return
            attempt += 1

    def _has_lasted(self) -> bool:
        since = self._pictures_since
        return since is not None and time.monotonic() - since > _LASTING_S

    def _read_all(self) -> None:
        """Read until the stream is closed.

        Raises:
            FeedError: it broke off, or has sent no pictures for long.
        """
        picture_at = time.monotonic()
        while not self._closed.is_set():
            now = self._read_since = time.monotonic()
            captured = self._feed.read()
            if captured is not None:
                picture_at = now
                self._keep(captured)
            elif now - picture_at > _PICTURE_WITHIN_S:
                raise FeedError(f"no whole picture for {_PICTURE_WITHIN_S:g} s")

    def _keep(self, captured: Captured) -> None:
        if self._pictures_since is None:
            self._pictures_since = time.monotonic()
        if self.problem is not None:
            self._note_pictures()
        self.pictures_seen += 1
        with self._fresh:
            self._newest = captured
            self._fresh.notify()

    def _note_problem(self, reason: str) -> None:
        if self._closed.is_set():
            return
        # Part of it may be what a server has sent.
        reason = hide_secrets(plain(hide_parts_of(self._address, reason)[:_REASON_LETTERS]))
        if reason not in self._logged and len(self._logged) < _MAX_REASONS:
            self._logged.add(reason)
            self._logged_at = time.monotonic()
            self._is_break_logged = True
            LOGGER.warning("no pictures from %s: %s; trying until there are", self._name, reason)
        if reason != self.problem:
            self.problem = reason
            self._on_problem(reason)

    def _note_pictures(self) -> None:
        if self._is_break_logged:
            self._is_break_logged = False
            LOGGER.info("pictures from %s are %s", self._name, "back" if self.pictures_seen else "there")
        # One that comes and goes is not to fill the log.
        if time.monotonic() - self._logged_at > _LOG_INTERVAL_S:
            self._logged.clear()
        self.problem = None
        self._on_problem(None)

    def captures(self) -> Iterator[Captured]:
        """Yield the newest picture, each once, until the source is closed."""
        while not self._closed.is_set():
            with self._fresh:
                if self._newest is None:
                    self._fresh.wait(_NEW_FRAME_S)
                captured, self._newest = self._newest, None
            if captured is not None:
                yield captured

    def is_stuck(self, patience: float) -> bool:
        """Return whether a read or an attempt to open has been hanging for more than so many seconds."""
        return time.monotonic() - self._read_since > patience

    def close(self) -> None:
        """End the stream; a read that hangs is left to the daemon thread."""
        self._closed.set()
        with self._fresh:
            self._fresh.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)
