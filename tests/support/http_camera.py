"""A camera that is reached over HTTP, on 127.0.0.1, whose answers the test writes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = Callable[["HttpCamera", BaseHTTPRequestHandler], None]

STOP_S = 10.0


class HttpCamera(ThreadingHTTPServer):
    """Answers every request with `answer`, until it is closed."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self.answer = answer
        self.over = threading.Event()
        self.requests = 0
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def url(self, path: str = "/video", user: str = "") -> str:
        return f"http://{user}{'@' if user else ''}127.0.0.1:{self.server_port}{path}"

    def server_close(self) -> None:
        """End every answer, and listen no more."""
        self.over.set()
        self.shutdown()
        super().server_close()
        self._thread.join(STOP_S)


class _Handler(BaseHTTPRequestHandler):
    server: HttpCamera

    def do_GET(self) -> None:
        self.server.requests += 1
        with contextlib.suppress(OSError):
            self.server.answer(self.server, self)

    def log_message(self, *_arguments: Any) -> None:
        pass


def head(request: BaseHTTPRequestHandler, kind: str | None, code: int = 200, **headers: str) -> None:
    """Send the head of an answer of this content type; underscores in headers' names stand for hyphens."""
    request.send_response(code)
    if kind is not None:
        request.send_header("Content-Type", kind)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()


def stream(parts: Iterable[bytes], kind: str | None, every_s: float = 0.01, **headers: str) -> Answer:
    """Return an answer that sends these parts over and over."""
    sent = list(parts)

    def answer(camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        head(request, kind, 200, **headers)
        while True:
            for part in sent:
                request.wfile.write(part)
                if camera.over.wait(every_s):
                    return

    return answer


def once(data: bytes, kind: str | None, code: int = 200, *, with_length: bool = True) -> Answer:
    """Return an answer that sends this once, and ends."""

    def answer(_camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        if with_length:
            head(request, kind, code, Content_Length=str(len(data)))
        else:
            head(request, kind, code)
        request.wfile.write(data)

    return answer
