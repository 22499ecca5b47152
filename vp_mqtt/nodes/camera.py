"""The camera node: pictures in, frames and announces out, no more in flight than the link carries."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.logs import LOGGER
from vp_mqtt.masking import hide_in_address
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.camera_output import CameraOutput
from vp_mqtt.nodes.pace import paced
from vp_mqtt.nodes.sources import Captured, Source, open_source
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES

_LAST_FRAMES_S = 60.0  # on a slow link; a signal ends the wait
_WEBCAM_SIZE = (1920, 1080)
"""What a webcam is asked for if regions are cut out of its pictures."""


class CameraNode:
    """Publishes the frames of one source, as one camera, or as one for each region."""

    def __init__(self, settings: CameraSettings) -> None:
        """Prepare, without connecting."""
        self._settings = settings
        self._source: Source | None = None
        self._wake = threading.Event()
        self._node = Node(
            site=settings.site,
            name=settings.node_name(settings.camera),
            role=settings.role,
            camera=settings.camera,
            stats_every_s=settings.stats_every,
            subscriptions=(),
            on_message=self._receive,
            on_stop=self._close_source,
            is_stuck=self._is_stuck,
            max_packet_bytes=MAX_MESSAGE_BYTES,
        )
        self._output = CameraOutput(settings, self._node, self._wake.set)

    def start(self) -> None:
        """Open the source, and connect.

        Raises:
            UserError: the source is not usable, or the password file, a certificate or a key.
        """
        cv2.setNumThreads(1)
        settings = self._settings
        source = settings.read_source()
        self._source = open_source(
            source,
            fps=settings.fps,
            size=webcam_size(settings),
            needed_side=lambda: self._output.needed_side,
            hold_s=settings.hold,
            on_refused=lambda reason: self._node.refusals.add("source", reason),
            on_problem=self._note_problem,
        )
        names = "', '".join(settings.cameras())
        LOGGER.info("camera '%s': %s, %g frames/s", names, hide_in_address(source), settings.fps)
        self._node.start(settings.broker_options(), settings.metrics_address)

    def run(self) -> None:
        """Publish until the source ends or the node is stopped.

        Raises:
            UserError: the source can no longer be read, or the session ended with a permanent failure.
        """
        self._node.run(self._work)

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._node.stop()

    def _close_source(self) -> None:
        """Wake whoever waits, also for a picture of a camera that has none."""
        self._wake.set()
        if self._source is not None:
            self._source.close()

    def _is_stuck(self, patience: float) -> bool:
        return self._source is not None and self._source.is_stuck(patience)

    def _note_problem(self, problem: str | None) -> None:
        """Tell the site that the source has no pictures, or has some again (in the source's thread)."""
        self._node.set_problem("source", None if problem is None else f"no pictures: {problem}")

    def _receive(self, message: Received) -> None:
        self._output.receive(message)

    def _work(self) -> None:
        source = self._source
        if source is None:
            return
        try:
            self._node.session.wait_until_connected()
            stopping = self._node.stopping
            for captured in paced(self._repeated(source), self._settings.fps, stopping.wait, self._rest):
                with self._node.work.item():
                    self._output.take(captured)
                if self._settings.frames and self._output.most_published() >= self._settings.frames:
                    break
        finally:
            source.close()
        self._output.wait(_LAST_FRAMES_S)

    def _rest(self, seconds: float) -> bool:
        """Wait for so many seconds, or until a frame is asked for; return True at once if the node is to end."""
        if self._wake.wait(seconds):
            self._wake.clear()
        return self._node.stopping.is_set()

    def _repeated(self, source: Source) -> Iterator[Captured]:
        while not self._node.stopping.is_set():
            yield from source.captures()
            if not self._settings.loop and not source.is_live:
                return


def webcam_size(settings: CameraSettings) -> tuple[int, int] | None:
    """Return the width and height to ask a webcam for, in pixels, as it sees them; None for those that it prefers."""
    if settings.region:
        return _WEBCAM_SIZE
    size = settings.size
    return (size[1], size[0]) if size is not None and settings.rotate in {90, 270} else size


def run(settings: CameraSettings) -> None:
    """Run a camera node until its source ends or it is stopped.

    Raises:
        UserError: the settings, the source or the broker are not usable.
    """
    node = CameraNode(settings)
    node.start()
    node.run()
