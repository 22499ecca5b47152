"""Cameras that are reached over HTTP: motion JPEG in whatever form, snapshots, and videos that FFmpeg decodes."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vp_mqtt.errors import UserError
from vp_mqtt.inference.jpeg import Jpeg, begins_as_jpeg
from vp_mqtt.masking import hide_in_address
from vp_mqtt.nodes.sources.answers import describe, is_named_as_text, is_text, is_video_type, may_be_video
from vp_mqtt.nodes.sources.base import Captured
from vp_mqtt.nodes.sources.capture_feed import StreamFeed
from vp_mqtt.nodes.sources.feed import SILENCE_S, Feed, FeedError
from vp_mqtt.nodes.sources.picture_scanner import PictureScanner

_PIECE_BYTES = 65_536
_SEARCHED_BYTES = 262_144
"""So much is searched for the beginning of a picture."""
_HEAD_BYTES = 4096
_LONGEST_INTERVAL_S = 10.0
_ALLOWED = "%/:=&?~#+!$,;'@()*[]"


class HttpFeed(Feed):
    """Pictures from a web address: a stream of JPEGs or PNGs, a single one that is asked for repeatedly, or a video."""

    def __init__(
        self, address: str, fps: float, on_refused: Callable[[str], None], wait: Callable[[float], bool]
    ) -> None:
        """Name the address.

        Args:
            address: http:// or https://, possibly with user and password.
            fps: how often a single picture is asked for, in 1/s; at least every 10 s.
            on_refused: called with the reason for every picture that is skipped.
            wait: waits for so many seconds, or returns True because the source has been closed.

        Raises:
            UserError: it is not a valid address.
        """
        self._address = address
        self._interval = min(1 / fps, _LONGEST_INTERVAL_S)
        self._on_refused = on_refused
        self._wait = wait
        self._url, self._opener = _opener(address)
        self._response: http.client.HTTPResponse | None = None
        self._video: StreamFeed | None = None
        self._start_over()

    def _start_over(self) -> None:
        self._asked_at = time.monotonic()
        self._scanner = PictureScanner()
        self._head = b""
        self._received = 0
        self._found = 0

    def open(self) -> None:
        """Ask for the pictures.

        Raises:
            FeedError: the server is not there, or refuses.
        """
        self._start_over()
        try:
            self._response = self._opener.open(self._url, timeout=SILENCE_S)
        except Exception as error:  # noqa: BLE001 (whatever urllib stumbles upon in an answer)
            # One that has failed counts attempts to sign in, and gives up for ever.
            self._url, self._opener = _opener(self._address)
            raise FeedError(_refusal(error)) from None
        if is_video_type(self._response.headers.get_content_type()):
            self._open_as_video()

    def _open_as_video(self) -> None:
        self._close_response()
        video = StreamFeed(self._address)
        video.open()
        self._video = video

    def read(self) -> Captured | None:
        """Wait for the next bytes, and return the newest picture that is whole with them; None if none is.

        Raises:
            FeedError: the stream broke off, or sends something else than pictures.
        """
        if self._video is not None:
            return self._video.read()
        if self._response is None:
            # The next snapshot.
            if self._wait(max(0.0, self._asked_at + self._interval - time.monotonic())):
                return None
            self.open()
        response = self._response
        if response is None:
            return None
        try:
            data = response.read1(_PIECE_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._head and not self._found and is_text(self._head):
                self._give_up(response)
            raise FeedError(_problem(error)) from None
        if not data:
            self._end(response)
            return None
        self._head = (self._head + data)[:_HEAD_BYTES] if len(self._head) < _HEAD_BYTES else self._head
        self._received += len(data)
        return self._newest(self._scan(data), response)

    def _scan(self, data: bytes) -> list[bytes]:
        broken = self._scanner.broken
        found = self._scanner.feed(data)
        for _ in range(self._scanner.broken - broken):
            self._on_refused("broken picture")
        return found

    def _newest(self, found: list[bytes], response: http.client.HTTPResponse) -> Captured | None:
        self._found += len(found)
        if not found:
            if not self._found and not self._scanner.is_inside and self._received > _SEARCHED_BYTES:
                self._give_up(response)
            return None
        if response.length is not None:
            # A file. What follows its first picture is not another one of the camera's: a preview, or a second view.
            self._close_response()
            return self._captured(found[0])
        return self._captured(found[-1])

    def _captured(self, data: bytes) -> Captured | None:
        if not begins_as_jpeg(data):
            return Captured(encoded=data)
        jpeg = Jpeg.parse(data)
        if jpeg is None:
            self._on_refused("broken JPEG")
        return None if jpeg is None else Captured(jpeg=jpeg)

    def _end(self, response: http.client.HTTPResponse) -> None:
        """Continue after the end of an answer: that of a snapshot is no break.

        Raises:
            FeedError: it was a stream's, or had no picture.
        """
        if self._scanner.is_inside or response.length:
            raise FeedError("it broke off in the middle of a picture")
        if not self._found:
            self._give_up(response)
        elif self._found > 1:
            raise FeedError("it ended")
        self._close_response()

    def _give_up(self, response: http.client.HTTPResponse) -> None:
        """Take what came for a video, if it may be one.

        Raises:
            FeedError: it is none; the text says what it is.
        """
        kind = response.headers.get_content_type() if "Content-Type" in response.headers else None
        if not may_be_video(self._head) or is_text(self._head) or is_named_as_text(urlsplit(self._url).path):
            raise FeedError(describe(kind, self._head))
        try:
            self._open_as_video()
        except FeedError:
            raise FeedError(describe(kind, self._head)) from None

    def _close_response(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()

    def close(self) -> None:
        """Disconnect."""
        self._close_response()
        video, self._video = self._video, None
        if video is not None:
            video.close()


def _opener(address: str) -> tuple[str, urllib.request.OpenerDirector]:
    """Return an address without its user and password, and what opens it with them.

    Raises:
        UserError: it is not a valid address.
    """
    try:
        parts = urlsplit(address)
        user, password = parts.username, parts.password
        is_valid = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UserError(
            f"--source {hide_in_address(address)}: not a valid address; write special characters of a password as %XX"
        )
    path, query = (quote(part, safe=_ALLOWED) for part in (parts.path or "/", parts.query))
    url = urlunsplit((parts.scheme.lower(), parts.netloc.rpartition("@")[2], path, query, ""))
    accounts = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if user is not None:
        accounts.add_password(None, url, unquote(user), unquote(password or ""))
    # Cameras sign their certificates themselves.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDigestAuthHandler(accounts),
        urllib.request.HTTPBasicAuthHandler(accounts),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return url, opener


def _refusal(error: Exception) -> str:
    """Return why there is no answer: urllib raises whatever it stumbles upon in what a server asks for."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        hint = "; check user and password" if error.code in {401, 403} else ""
        return f"the server answers {error.code} {error.reason}{hint}"
    if isinstance(error, OSError | http.client.HTTPException | ValueError):
        return _problem(error)
    return f"the server's answer cannot be understood ({type(error).__name__})"


def _problem(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"nothing came for {SILENCE_S:g} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
