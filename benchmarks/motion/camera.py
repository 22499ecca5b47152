"""An emulated network camera before a still scene: motion JPEG over HTTP at a frame rate."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vp_mqtt.local.ports import HOST, free_port


class StillCamera:
    """Serves pictures of a still scene over and over, and on demand those of a changed one.

    Attributes:
        sent: numbers of the frames sent since the last change, by their JPEGs.
    """

    def __init__(self, still: Sequence[bytes], fps: float) -> None:
        """Prepare, without listening.

        Args:
            still: JPEGs, no two alike.
            fps: frames per second.
        """
        self._pictures = list(still)
        self._interval = 1 / fps
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._number = 0
        self.sent: dict[bytes, int] = {}
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while (jpeg := camera.next()) is not None:
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + jpeg + b"\r\n")

            def log_message(self, *_arguments: object) -> None:
                pass

        self._handler = Handler
        self._port = free_port()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The stream's address."""
        return f"http://{HOST}:{self._port}/stream.mjpg"

    def start(self) -> None:
        """Start serving."""
        self._server = ThreadingHTTPServer((HOST, self._port), self._handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="camera", daemon=True).start()

    def show(self, pictures: Sequence[bytes]) -> None:
        """Serve other pictures from the next frame on, and count from there."""
        with self._lock:
            self._pictures, self._number = list(pictures), 0
            self.sent = {}

    def next(self) -> bytes | None:
        """Wait until the next frame is due, and return it; None at the end."""
        if self._over.wait(self._interval - time.monotonic() % self._interval):
            return None
        with self._lock:
            jpeg = self._pictures[self._number % len(self._pictures)]
            self.sent.setdefault(jpeg, self._number)
            self._number += 1
        return jpeg

    def stop(self) -> None:
        """Close every connection and stop listening."""
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
