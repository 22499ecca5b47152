"""Cameras over HTTP, as real devices send: every kind is a real server."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.http_camera import Answer, HttpCamera, head, once, stream
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.sources import http_feed
from vp_mqtt.nodes.sources.base import Captured
from vp_mqtt.nodes.sources.feed import SILENCE_S, FeedError
from vp_mqtt.nodes.sources.http_feed import HttpFeed

PICTURES = [np.full((48, 64, 3), value, dtype=np.uint8) for value in (40, 80, 120)]
JPEGS = [encode_jpeg(picture, 90) for picture in PICTURES]
PNGS = [cv2.imencode(".png", picture)[1].tobytes() for picture in PICTURES]
MULTIPART = "multipart/x-mixed-replace; boundary=frame"
PAGE = b"<html><head><title>Log&nbsp;in\n</title></head><body>user, password</body></html>\n"
PATIENCE_S = 20.0


class Client:
    """Reads a feed, as a live source does."""

    def __init__(self, url: str, fps: float = 50) -> None:
        self.refused: list[str] = []
        self.closed = threading.Event()
        self.feed = HttpFeed(url, fps, self.refused.append, self.closed.wait)
        self.feed.open()

    def pictures(self, count: int) -> Iterator[Captured]:
        until = time.monotonic() + PATIENCE_S
        while count and time.monotonic() < until:
            captured = self.feed.read()
            if captured is not None:
                count -= 1
                yield captured
        assert not count

    def problem(self) -> str:
        with pytest.raises(FeedError) as caught:
            list(self.pictures(1000))
        return str(caught.value)


def read(answer: Answer, count: int = 4) -> list[Captured]:
    with HttpCamera(answer) as camera:
        client = Client(camera.url())
        captured = list(client.pictures(count))
        client.feed.close()
        assert client.refused == []
        return captured


def problem(answer: Answer, user: str = "") -> str:
    with HttpCamera(answer) as camera:
        try:
            client = Client(camera.url(user=user))
        except FeedError as error:
            return str(error)
        said = client.problem()
        client.feed.close()
        return said


def part(data: bytes, header: str, end: bytes = b"\r\n") -> bytes:
    return header.replace("\n", "\r\n").format(length=len(data)).encode() + data + end


STYLES = {
    "usual": (MULTIPART, "--frame\nContent-Type: image/jpeg\nContent-Length: {length}\n\n"),
    "image/jpg": (MULTIPART, "--frame\nContent-type: image/jpg\nContent-Length: {length}\n\n"),
    "without header": (MULTIPART, "--frame\n\n"),
    "without length": (MULTIPART, "--frame\nContent-Type: image/jpeg\n\n"),
    "wrong length": (MULTIPART, "--frame\nContent-Type: image/jpeg\nContent-Length: 10\n\n"),
    "boundary without dashes": (MULTIPART, "frame\nContent-Type: image/jpeg\nContent-Length: {length}\n\n"),
    "boundary named with dashes": (MULTIPART.replace("=", "=--"), "--frame\nContent-Type: image/jpeg\n\n"),
    "no boundary before the first part": (MULTIPART, "Content-Type: image/jpeg\n\n"),
    "no boundary named": ("multipart/x-mixed-replace", "--frame\nContent-Type: image/jpeg\n\n"),
    "nothing between": ("application/octet-stream", ""),
    "typed as video": ("video/x-motion-jpeg", ""),
    "typed as text": ("text/plain", "--frame\n\n"),
    "typed as a picture": ("image/jpeg", ""),
    "without type": (None, "--frame\n\n"),
}


@pytest.mark.parametrize("style", STYLES)
def test_jpegs_come_as_they_are_however_the_parts_are_marked(style: str) -> None:
    kind, header = STYLES[style]
    captured = read(stream([part(jpeg, header) for jpeg in JPEGS], kind))
    assert {one.jpeg.data for one in captured if one.jpeg is not None} <= {*JPEGS}
    assert all(one.jpeg is not None for one in captured)


def test_png_parts_come_decoded() -> None:
    header = "--frame\nContent-Type: image/png\nContent-Length: {length}\n\n"
    (captured,) = read(stream([part(PNGS[1], header)], MULTIPART), 1)
    assert captured.jpeg is None
    assert np.array_equal(captured.picture, PICTURES[1])


def test_chunks_and_redirects_are_followed() -> None:
    def answer(camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        if request.path != "/there":
            head(request, None, 302, Location="/there", Content_Length="0")
            return
        pieces = (JPEGS[0][:50], JPEGS[0][50:], JPEGS[1])
        stream([b"%x\r\n" % len(one) + one + b"\r\n" for one in pieces], MULTIPART, Transfer_Encoding="chunked")(
            camera, request
        )

    assert {one.jpeg.data for one in read(answer) if one.jpeg} == {*JPEGS[:2]}


def test_a_first_picture_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SILENCE_S > 10
    monkeypatch.setattr(http_feed, "SILENCE_S", 2.0)
    assert len(read(stream([b"--frame\r\n", JPEGS[0]], MULTIPART, every_s=0.7), 2)) == 2


def test_a_stream_that_sends_nothing_any_more_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_feed, "SILENCE_S", 0.3)
    assert problem(stream([*JPEGS, JPEGS[0][:400], *[b""] * 1000], MULTIPART)) == "nothing came for 0.3 s"


@pytest.mark.parametrize("with_length", [True, False])
@pytest.mark.parametrize("data", [JPEGS[0], PNGS[0]])
def test_a_snapshot_is_polled_at_the_frame_rate(data: bytes, with_length: bool) -> None:  # noqa: FBT001
    with HttpCamera(once(data, "image/jpeg", with_length=with_length)) as camera:
        client = Client(camera.url("/snapshot.jpg"), fps=20)
        started = time.monotonic()
        assert len(list(client.pictures(9))) == 9
        assert camera.requests == 9
        assert time.monotonic() - started > 7 / 20
        client.closed.set()
        assert client.feed.read() is None
        client.feed.close()


def test_of_a_snapshot_with_a_second_picture_only_the_first_is_taken() -> None:
    captured = read(once(JPEGS[0] + JPEGS[1] + b"a film", "image/jpeg"), 3)
    assert {one.jpeg.data for one in captured if one.jpeg} == {JPEGS[0]}


@pytest.mark.parametrize("user", ["admin:p%40ss w#rd?", "admin:p%40ss%20w%23rd%3F"])
def test_user_and_password_are_sent_when_they_are_asked_for(user: str) -> None:
    expected = "Basic " + base64.b64encode(b"admin:p@ss w#rd?").decode()

    def answer(camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        assert "@" not in request.headers["Host"]
        if request.headers.get("Authorization") != expected:
            head(request, "text/html", 401, WWW_Authenticate='Basic realm="camera"', Content_Length="0")
            return
        stream(JPEGS, MULTIPART)(camera, request)

    with HttpCamera(answer) as camera:
        if "#" in user:
            with pytest.raises(
                UserError, match=r"--source http://\*\*\*@.*not a valid address; write special"
            ) as caught:
                Client(camera.url(user=user))
            assert "p%40ss" not in str(caught.value)
            return
        client = Client(camera.url(user=user))
        assert len(list(client.pictures(2))) == 2
        client.feed.close()
    assert problem(answer, "admin:wrong") == "the server answers 401 Unauthorized; check user and password"


def test_a_digest_is_sent_when_it_is_asked_for() -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    def answer(camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        given = urllib.request.parse_keqv_list(
            urllib.request.parse_http_list(request.headers.get("Authorization", "").removeprefix("Digest "))
        )
        middle = ":".join(given.get(key, "") for key in ("nonce", "nc", "cnonce", "qop"))
        expected = md5(f"{md5('admin:camera:p@ss')}:{middle}:{md5('GET:/video')}")
        if given.get("response") != expected:
            challenge = 'Digest realm="camera", nonce="5f3a", qop="auth", algorithm=MD5'
            head(request, "text/html", 401, WWW_Authenticate=challenge, Content_Length="0")
            return
        stream(JPEGS, MULTIPART)(camera, request)

    with HttpCamera(answer) as camera:
        client = Client(camera.url(user="admin:p%40ss"))
        assert len(list(client.pictures(2))) == 2
        client.feed.close()
    assert "401" in problem(answer, "admin:wrong")


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ('Digest realm="cam", nonce="abc", opaque=', "the server's answer cannot be understood (IndexError)"),
        ("Negotiate", "AbstractDigestAuthHandler does not support the following scheme: 'Negotiate'"),
        ('Digest realm="cam", nonce="{request}"', "the server answers 401 digest auth failed; check user and password"),
    ],
)
def test_a_server_that_asks_for_a_password_in_an_odd_way_is_asked_again_until_it_sends_pictures(
    challenge: str, said: str
) -> None:
    is_odd = True

    def answer(camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        if is_odd:
            asked = challenge.format(request=camera.requests)
            head(request, None, 401, WWW_Authenticate=asked, Content_Length="0")
        elif "Authorization" not in request.headers:
            head(request, None, 401, WWW_Authenticate='Digest realm="cam", nonce="1"', Content_Length="0")
        else:
            stream(JPEGS, MULTIPART)(camera, request)

    with HttpCamera(answer) as camera:
        feed = HttpFeed(camera.url(user="admin:secret"), 50, lambda _: None, lambda _: False)
        for _ in range(8):
            with pytest.raises(FeedError) as caught:
                feed.open()
            assert str(caught.value) == said
        is_odd = False
        feed.open()
        assert feed.read() is not None
        feed.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (once(PAGE * 30, "text/html"), 'a web page came, no picture (text/html, "Log in")'),
        (once(PAGE, "image/jpeg"), 'a web page came, no picture (image/jpeg, "Log in")'),
        (once(b"error 7\n" * 90_000, "text/plain"), "text came, no picture (text/plain)"),
        (once(b"", "image/jpeg"), "an empty answer came, no picture (image/jpeg)"),
        (once(b"GIF89a" + bytes(500), "image/gif"), "a picture came that is GIF, not JPEG or PNG"),
        (once(b"BMW is a car\n" * 50, "text/plain"), "text came, no picture (text/plain)"),
        (once(b"\0" * 500, None), "something came that is neither JPEG, PNG nor a video (without a content type)"),
        (once(b"\0" * 500, "video/mp4"), "it cannot be opened"),
        (once(b"", None, 404), "the server answers 404 Not Found"),
        (once(JPEGS[0][:300], "image/jpeg"), "it broke off in the middle of a picture"),
        (once(JPEGS[0] + JPEGS[1], MULTIPART, with_length=False), "it ended"),
    ],
)
def test_what_comes_instead_of_pictures_is_said(answer: Answer, said: str) -> None:
    assert problem(answer) == said


def test_nobody_there_is_said() -> None:
    with HttpCamera(once(b"", None)) as camera:
        url = camera.url()
    with pytest.raises(FeedError, match=r"^Connection refused$"):
        Client(url)


@pytest.mark.parametrize("kind", ["video/x-msvideo", "application/octet-stream"])
def test_a_video_is_decoded(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for picture in PICTURES * 5:
        writer.write(picture)
    writer.release()
    captured = read(once(file.read_bytes(), kind), 10)
    assert all(one.jpeg is None and one.picture.shape == (48, 64, 3) for one in captured)


def test_a_broken_picture_is_counted_and_the_next_one_comes() -> None:
    damaged = JPEGS[0][:60]
    with HttpCamera(stream([damaged, JPEGS[1]], MULTIPART)) as camera:
        client = Client(camera.url())
        list(client.pictures(2))
        client.feed.close()
    assert set(client.refused) == {"broken picture"}
