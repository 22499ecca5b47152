"""The camera node: pictures in, frames and announces out, never more on their way than the link takes."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from vp_mqtt import MAX_PIXELS
from vp_mqtt.config.settings import CameraSettings, VariantSettings
from vp_mqtt.inference.pictures import Picture, PictureError, encode_jpeg, is_whole_jpeg, jpeg_head
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.sources import Captured, LiveStream, open_source
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, AnnounceMessage
from vp_mqtt.protocol.topics import Topics

FRAME_EXPIRY_S = 2
_MIN_QUALITY = 30
_QUALITY_STEP = 20
_MIN_SIDE = 16
_REMEMBERED = 1000
_LABEL_PATIENCE_S = 5.0
_LAST_WORDS_S = 1.0
_MAX_FRAME_BYTES = int(VariantSettings.model_fields["max_frame_bytes"].default)


def can_pass(jpeg: bytes, size: tuple[int, int] | None, limit: int) -> bool:
    """Tell whether a JPEG can be published as it is.

    Args:
        jpeg: the JPEG.
        size: width and height that published frames are to have, in pixels; None for any.
        limit: of its size, in bytes, by the broker.
    """
    head = jpeg_head(jpeg)
    if head is None or not head.is_common or not is_whole_jpeg(jpeg):
        return False
    # What is larger every variant would refuse.
    if len(jpeg) > min(limit, _MAX_FRAME_BYTES) or not 0 < head.size[0] * head.size[1] <= MAX_PIXELS:
        return False
    # EXIF may tell where and when a photograph was taken: nobody's business.
    return not head.has_exif and (size is None or head.size == size)


def shrink_to(picture: Picture, quality: int, limit: int) -> bytes | None:
    """Encode a picture as JPEG of at most `limit` bytes, at a lower quality, then at a smaller size, as need be.

    Args:
        picture: shape (height, width, 3), uint8.
        quality: to begin with, 1..100.
        limit: in bytes.

    Returns:
        The JPEG, or None if not even a tiny picture fits.

    Raises:
        PictureError: the picture cannot be encoded.
    """
    while min(picture.shape[:2]) >= _MIN_SIDE:
        for attempt in range(quality, min(quality, _MIN_QUALITY) - 1, -_QUALITY_STEP):
            data = encode_jpeg(picture, attempt)
            if len(data) <= limit:
                return data
        picture = np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return None


class CameraNode:
    """Publishes the frames of one source."""

    def __init__(self, settings: CameraSettings) -> None:
        """Open the source, without connecting.

        Raises:
            UserError: the source is not usable.
        """
        cv2.setNumThreads(1)
        self._settings = settings
        self._run = secrets.randbits(32)
        self._sequence = 0
        self._on_their_way: list[Sent] = []
        self._captured_at: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()
        self._has_shrunk = False
        self._node = Node(
            settings,
            parts=(settings.camera,),
            subscriptions=[(Topics(settings.site).label(settings.camera), 0)],
            on_message=self._labelled,
            max_packet_bytes=MAX_MESSAGE_BYTES,
            is_stuck=self._is_stuck,
        )
        # The remaining length takes up to 3 bytes more than that of an empty packet.
        self._envelope_bytes = self._envelope(FrameId(self._run, 0)).packet_bytes() + 3
        self._source = open_source(
            settings.source, size=settings.size, on_refused=lambda reason: self._node.refusals.add("source", reason)
        )

    def run(self) -> None:
        """Publish until the source ends or the node is told to stop.

        Raises:
            UserError: the source can no longer be read, or the broker will not have us.
        """
        LOGGER.info("camera '%s': %s, %g frames/s", self._settings.camera, self._settings.source, self._settings.fps)
        self._node.run(self._work)

    def _is_stuck(self, patience: float) -> bool:
        return self._source.is_stuck(patience)

    def _labelled(self, message: Received) -> None:
        """Measure the response time, from capture to label, on our own clock (in the network's thread)."""
        with self._lock:
            captured = self._captured_at.pop(message.correlation or b"", None)
        if captured is not None:
            self._node.counts["labels"] += 1
            self._node.latencies.add((message.at - captured) * 1000)

    def _give_up_labels(self, before: float) -> None:
        """Count the frames captured before a time, in s, whose label has not come: nobody else may know of them."""
        while self._captured_at:
            frame, captured = next(iter(self._captured_at.items()))
            if captured >= before and len(self._captured_at) < _REMEMBERED:
                return
            del self._captured_at[frame]
            self._node.counts["unlabelled"] += 1

    def _work(self) -> None:
        while not (self._node.stopping.is_set() or self._node.session.connected.wait(0.1)):
            pass
        try:
            for captured in self._paced():
                with self._node.work.piece():
                    self._publish(captured)
                if self._settings.frames and self._sequence >= self._settings.frames:
                    break
        finally:
            self._source.close()
        until = time.monotonic() + _LAST_WORDS_S
        for sent in self._on_their_way:
            sent.wait(until - time.monotonic())

    def _paced(self) -> Iterator[Captured]:
        """Yield the source's pictures at the frame rate; after a delay the pace is taken up anew, not made up for."""
        interval = 1 / self._settings.fps
        due = time.monotonic()
        captures = self._repeated()
        while True:
            if self._node.stopping.wait(max(0.0, due - time.monotonic())):
                return
            captured = next(captures, None)
            if captured is None:
                return
            due = max(due + interval, time.monotonic() - interval)
            yield captured

    def _repeated(self) -> Iterator[Captured]:
        while not self._node.stopping.is_set():
            yield from self._source.captures()
            if not self._settings.loop and not isinstance(self._source, LiveStream):
                return

    def _publish(self, captured: Captured) -> None:
        captured_at, wall_clock = time.monotonic(), time.time()
        session, counts = self._node.session, self._node.counts
        counts["captured"] += 1
        self._on_their_way = [sent for sent in self._on_their_way if sent.is_pending]
        if not session.connected.is_set():
            counts["dropped_offline"] += 1
            return
        if len(self._on_their_way) >= self._settings.in_flight:
            counts["dropped_slow_link"] += 1
            return
        frame = FrameId(self._run, self._sequence)
        message = self._frame_message(frame, captured)
        if message is None:
            return
        announce = AnnounceMessage.of(Announce(frame, round(wall_clock, 6), captured.truth))
        with self._lock:
            self._give_up_labels(captured_at - _LABEL_PATIENCE_S)
            self._captured_at[frame.encode()] = captured_at
        if session.publish(message) is None:
            self._forget(frame)
            counts["unsent"] += 1
            return
        # The announce follows the frame on the same connection: once it is acknowledged, the broker has the frame too.
        sent = session.publish(
            Outgoing(
                self._node.topics.announce(self._settings.camera),
                announce.encode(),
                qos=1,
                correlation=frame.encode(),
                content_type="application/json",
                expiry_s=FRAME_EXPIRY_S,
            )
        )
        self._sequence += 1
        if sent is None:
            self._forget(frame)
            counts["unsent"] += 1
            return
        counts["frames"] += 1
        counts["passed_through"] += message.payload is captured.jpeg
        self._on_their_way.append(sent)

    def _forget(self, frame: FrameId) -> None:
        with self._lock:
            self._captured_at.pop(frame.encode(), None)

    def _envelope(self, frame: FrameId) -> Outgoing:
        """Return a frame's message without its JPEG; that of every frame has as many bytes."""
        return Outgoing(
            self._node.topics.frame(self._settings.camera),
            b"",
            correlation=frame.encode(),
            content_type="image/jpeg",
            expiry_s=FRAME_EXPIRY_S,
        )

    def _frame_message(self, frame: FrameId, captured: Captured) -> Outgoing | None:
        """Return the frame as a message that the broker takes; None if it cannot be made so small."""
        envelope = self._envelope(frame)
        limit = self._node.session.max_publish_bytes - self._envelope_bytes
        jpeg = captured.jpeg
        if jpeg is not None and not self._settings.encodes_anew and can_pass(jpeg, self._settings.size, limit):
            return replace(envelope, payload=jpeg)
        try:
            data = self._encoded(captured.picture, limit)
        except PictureError as error:
            self._node.refusals.add("source", str(error))
            return None
        if data is None:
            self._node.refusals.add("source", "frame over the broker's packet limit")
            return None
        return replace(envelope, payload=data)

    def _encoded(self, picture: Picture, limit: int) -> bytes | None:
        """Return a picture as JPEG of the size in pixels that is asked for, if that has no more bytes than `limit`.

        Raises:
            PictureError: the picture cannot be encoded.
        """
        if self._settings.size is not None and picture.shape[1::-1] != self._settings.size:
            shrinks = self._settings.size[0] < picture.shape[1]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            picture = np.asarray(cv2.resize(picture, self._settings.size, interpolation=interpolation), dtype=np.uint8)
        data = encode_jpeg(picture, self._settings.quality)
        if len(data) <= limit:
            return data
        self._node.counts["shrunk"] += 1
        if not self._has_shrunk:
            self._has_shrunk = True
            LOGGER.warning("frames are over the broker's packet limit: sent smaller (see --size and --quality)")
        return shrink_to(picture, self._settings.quality, limit)


def run(settings: CameraSettings) -> None:
    """Run a camera node until its source ends or it is told to stop.

    Raises:
        UserError: the settings, the source or the broker are not usable.
    """
    CameraNode(settings).run()
