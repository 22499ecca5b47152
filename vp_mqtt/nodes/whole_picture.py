"""A camera node's whole picture: its size, and snapshots of it on request, for whoever draws regions on it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.capture_requests import CaptureRequests
from vp_mqtt.nodes.frame_encoder import shrink_to
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.nodes.views import View

_LONGEST_SIDE = 1280
_QUALITY = 85
_EXPIRY_S = 10
# A folder may have pictures of many sizes.
_SIZE_EVERY_S = 60.0
_ENVELOPE_BYTES = 512


class WholePicture:
    """The source's picture as it is turned and mirrored, before regions are cut out of it.

    Attributes:
        requests: for a snapshot.
    """

    def __init__(self, settings: CameraSettings, node: Node) -> None:
        """Start without a picture.

        Args:
            settings: of the camera node.
            node: which publishes.
        """
        self.requests = CaptureRequests()
        self._node = node
        self._topic = node.topics.snapshot(settings.camera)
        self._view = View(rotate=settings.rotate, mirror=settings.mirror)
        self._size: tuple[int, int] | None = None
        self._said_at = -math.inf

    def look(self, captured: Captured, now: float) -> None:
        """Say the size of a picture, if it is another one than before, and publish it, if it is asked for.

        Args:
            captured: the picture.
            now: on the monotonic clock, in s.

        Raises:
            PictureError: it cannot be decoded.
        """
        if now - self._said_at >= _SIZE_EVERY_S or self._size is None:
            self._said_at = now
            self._say(self._size_of(captured))
        if self.requests.is_open and self._node.is_connected:
            self.requests.answer()
            self._publish(captured)

    def _say(self, size: tuple[int, int]) -> None:
        if size != self._size:
            self._size = size
            self._node.change_status(lambda status: status.set_picture(size))

    def _size_of(self, captured: Captured) -> tuple[int, int]:
        jpeg = captured.jpeg
        if captured.decoded is None and jpeg is not None and not jpeg.head.is_turned:
            width, height = jpeg.head.size
        else:
            height, width = captured.picture.shape[:2]
        return (height, width) if self._view.rotate in {90, 270} else (width, height)

    def _publish(self, captured: Captured) -> None:
        picture = self._view.of(captured.picture)
        scale = _LONGEST_SIDE / max(picture.shape[:2])
        if scale < 1:
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            picture = np.asarray(small, dtype=np.uint8)
        data = shrink_to(picture, _QUALITY, self._node.session.max_publish_bytes - _ENVELOPE_BYTES)
        if data is not None:
            self._node.publish(Outgoing(self._topic, data, content_type="image/jpeg", expiry_s=_EXPIRY_S))
