"""An emulated network camera: motion JPEG over HTTP, which can be interrupted and resumed."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.local.ports import HOST, free_port

_FRAME_S = 0.05
_SIDE = 64


class MjpegCamera:
    """Serves a picture that changes with every frame, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self._is_over = threading.Event()

    @property
    def url(self) -> str:
        """The stream's address."""
        return f"http://{HOST}:{self._port}/stream.mjpg"

    def start(self) -> None:
        """Start serving."""
        is_over = self._is_over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                with contextlib.suppress(OSError):
                    while not is_over.wait(_FRAME_S):
                        number += 1
                        data = encode_jpeg(np.full((_SIDE, _SIDE, 3), number % 256, dtype=np.uint8), 90)
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server((HOST, self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mjpeg", daemon=True).start()

    def stop(self) -> None:
        """Close every connection and stop listening; does nothing while stopped."""
        server, self._server = self._server, None
        self._is_over.set()
        if server is not None:
            server.shutdown()
            server.server_close()
