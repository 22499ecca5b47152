"""What a camera node publishes under one name: all pictures, or those with motion, and those that are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.inference.pictures import GreyPicture
from vp_mqtt.motion.change import ChangeDetector
from vp_mqtt.motion.gate import MotionGate
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.board_needs import FrameSizes
from vp_mqtt.nodes.capture_requests import CaptureRequests
from vp_mqtt.nodes.frame_encoder import FrameEncoder
from vp_mqtt.nodes.frame_publisher import FramePublisher, Moment
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.nodes.views import View
from vp_mqtt.protocol.messages import MAX_NEXT_WITHIN_S

_GREY_SIDE = 48
"""Of the grey pictures that are compared: the shorter side, at least, in pixels."""
_MOST_GREY_SIDE = 256
"""Of a whole picture, of which only a small part is compared: more would take more time than it is worth."""


class CameraStream:
    """A view of a source, published as a camera.

    Attributes:
        publisher: publishes its frames.
        requests: for a frame now, past the gate.
        grey_side: what `Captured.grey` is to be asked for; None without a gate.
    """

    def __init__(self, view: View, publisher: FramePublisher, gate: MotionGate | None, motion_view: View) -> None:
        """Start without frames.

        Args:
            view: of the source's pictures.
            publisher: publishes what is seen so.
            gate: decides which; None for all.
            motion_view: the part of the view in which motion is looked for.
        """
        self.publisher = publisher
        self.requests = CaptureRequests()
        side = view.reduced_side(motion_view.reduced_side(_GREY_SIDE))
        self.grey_side = None if gate is None else min(side, _MOST_GREY_SIDE)
        self._view = view
        self._gate = gate
        self._motion_view = motion_view

    def take(self, captured: Captured, grey: GreyPicture | None, moment: Moment) -> bool:
        """Publish a picture, if its time has come, and return whether the gate kept it back.

        Args:
            captured: the picture.
            grey: the same, from `Captured.grey`, where there is a gate.
            moment: when it was captured.
        """
        self.publisher.look_around(moment.monotonic)
        gate, is_asked_for = self._gate, self.requests.is_open
        if gate is not None and grey is not None:
            passes = gate.look(self._motion_view.of(self._view.of(grey)), moment.monotonic)
            if not (passes or is_asked_for):
                return True
        elif captured.is_early and not is_asked_for:
            # It was another stream that was asked.
            return False
        if self.publisher.publish(captured, moment, is_whole=is_asked_for):
            if is_asked_for:
                self.requests.answer()
            if gate is not None:
                gate.note_published(moment.monotonic)
        return False

    def is_still(self, now: float) -> bool:
        """Return whether nothing has moved lately; False without a gate."""
        return self._gate is not None and self._gate.is_still(now)


def streams_of(
    settings: CameraSettings, node: Node, sizes: FrameSizes, publishers: Sequence[FramePublisher] = ()
) -> list[CameraStream]:
    """Return what a camera node publishes: a stream of the whole picture, or one of each region.

    Args:
        settings: of the camera node.
        node: which publishes.
        sizes: how large frames have to be.
        publishers: of the streams before, which continue under the names that stay.
    """
    before = {publisher.camera: publisher for publisher in publishers}
    views = [View(region.rectangle, settings.rotate, settings.mirror) for region in settings.region]
    views = views or [View(rotate=settings.rotate, mirror=settings.mirror)]
    streams = []
    for camera, view in zip(settings.cameras(), views, strict=True):
        encoder = FrameEncoder(
            size=settings.size,
            quality=settings.quality,
            passes_through=not settings.reencodes,
            view=view,
            sizes=sizes,
            smaller_quality=settings.smaller_quality,
        )
        next_within_s = _next_within_s(settings)
        if (publisher := before.get(camera)) is None:
            publisher = FramePublisher(node, camera, encoder, in_flight=settings.in_flight, next_within_s=next_within_s)
        else:
            publisher.change(encoder, next_within_s)
        streams.append(CameraStream(view, publisher, _gate(settings), View(settings.motion_region)))
    return streams


def _next_within_s(settings: CameraSettings) -> float | None:
    """Return within which time another frame follows, in s; None without a gate, which is what announces say it for."""
    if not settings.motion_gate:
        return None
    # The heartbeat passes with a picture. Rounded: 1.1 s at 10 pictures per second are 11 of them, not 12.
    pictures = max(1, math.ceil(round(settings.heartbeat * settings.fps, 6)))
    return min(max(settings.heartbeat, pictures / settings.fps), MAX_NEXT_WITHIN_S)


def _gate(settings: CameraSettings) -> MotionGate | None:
    if not settings.motion_gate:
        return None
    detector = ChangeDetector(threshold=settings.motion_threshold, area=settings.motion_area / 100)
    return MotionGate(detector, hold=settings.motion_hold, heartbeat=settings.heartbeat)
