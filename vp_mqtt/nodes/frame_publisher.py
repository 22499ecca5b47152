"""Publishes frames under the name of one camera, each followed by its announce."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from vp_mqtt.inference.pictures import PictureError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.frame_encoder import MAX_FRAME_BYTES, EncodedFrame, FrameEncoder
from vp_mqtt.nodes.in_flight import InFlight
from vp_mqtt.nodes.other_camera import OtherCamera
from vp_mqtt.nodes.response_times import ResponseTimes
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import AnnounceMessage

_FRAME_EXPIRY_S = 2
_LENGTH_BYTES = 3  # by which a packet's remaining length may grow over that of an empty packet


@dataclass(frozen=True, slots=True)
class Moment:
    """When a picture was captured.

    Attributes:
        monotonic: on the monotonic clock, in s.
        wall_clock: in seconds since 1970.
    """

    monotonic: float
    wall_clock: float


class FramePublisher:
    """A camera on the wire: its frames and announces, no more in flight than the link carries.

    Attributes:
        camera: the camera's name.
        published: frames so far, announced or not.
        newest: the last of them; None before the first.
    """

    def __init__(
        self, node: Node, camera: str, encoder: FrameEncoder, *, in_flight: int, next_within_s: float | None = None
    ) -> None:
        """Start without frames.

        Args:
            node: which publishes.
            camera: the camera's name.
            encoder: makes JPEGs of pictures.
            in_flight: unacknowledged frames at a time.
            next_within_s: within which time another frame follows, in s; None where that is not said.
        """
        self.camera = camera
        self.published = 0
        self.newest: EncodedFrame | None = None
        self._node = node
        self._encoder = encoder
        self._next_within_s = next_within_s
        self._run = secrets.randbits(32)
        self._other_camera = OtherCamera(self._run, frames_every_s=next_within_s or 0.0)
        self._is_shared = False
        self._in_flight = InFlight(in_flight)
        self._response_times = ResponseTimes()
        self._has_warned = False
        self._envelope_bytes = self._frame_message(FrameId(self._run, 0)).packet_bytes() + _LENGTH_BYTES

    def change(self, encoder: FrameEncoder, next_within_s: float | None) -> None:
        """Publish other pictures from the next frame on; see the constructor."""
        self._encoder = encoder
        self._next_within_s = next_within_s

    def on_label(self, message: Received) -> None:
        """Measure the response time, from capture to label (in the network's thread)."""
        self._other_camera.note(message.correlation, message.at)
        seconds = self._response_times.finish(message.correlation, message.at)
        if seconds is not None:
            self._node.counts["labels"] += 1
            self._node.latencies.add(seconds * 1000)

    def look_around(self, now: float) -> None:
        """Note what has become of the frames, and whether another camera has this name; often, also without frames."""
        self._note_other_camera(now)
        self._in_flight.is_full(now)

    def wait(self, timeout: float) -> None:
        """Wait until all frames have arrived, until the node is to stop, or for so many seconds."""
        self._in_flight.wait(self._node.stopping, timeout)

    def publish(self, captured: Captured, moment: Moment, *, is_whole: bool = False) -> bool:
        """Publish a picture, and return whether frame and announce were sent; if not, that is counted.

        Args:
            captured: the picture.
            moment: when it was captured.
            is_whole: whether its frame is to be no smaller than the picture, whatever boards need.
        """
        counts = self._node.counts
        if not self._node.is_connected:
            counts["dropped_offline"] += 1
            return False
        if self._in_flight.is_full(moment.monotonic):
            counts["dropped_slow_link"] += 1
            return False
        frame = FrameId(self._run, self.published)
        encoded = self._encode(captured, is_whole=is_whole)
        if encoded is None:
            return False
        counts["unlabelled"] += self._response_times.start(frame.encode(), moment.monotonic)
        if self._node.publish(replace(self._frame_message(frame), payload=encoded.jpeg)) is None:
            self._count_unsent(frame)
            return False
        # The announce follows the frame on the same connection: once it is acknowledged, the broker has the frame too.
        sent = self._node.publish(self._announce(self._announced(frame, captured, moment)))
        self.published += 1
        # One that was asked for is not what the others are like.
        self.newest = self.newest if is_whole else encoded
        if sent is None:
            self._count_unsent(frame)
            return False
        counts["frames"] += 1
        counts["passed_through"] += encoded.is_passed_through
        self._in_flight.add(sent, len(encoded.jpeg), moment.monotonic)
        return True

    def _note_other_camera(self, now: float) -> None:
        """Tell the site when another camera publishes under our name, or has ceased to."""
        is_shared = self._other_camera.is_there(now)
        if is_shared == self._is_shared:
            return
        self._is_shared = is_shared
        problem = f"another camera publishes as '{self.camera}', and labels get mixed up: give each its own --camera"
        self._node.set_problem(f"name {self.camera}", problem if is_shared else None)
        if is_shared:
            LOGGER.warning("%s", problem)
        else:
            LOGGER.info("no other camera publishes as '%s' any more", self.camera)

    def _count_unsent(self, frame: FrameId) -> None:
        self._response_times.cancel(frame.encode())
        self._node.counts["unsent"] += 1

    def _encode(self, captured: Captured, *, is_whole: bool) -> EncodedFrame | None:
        """Return the frame as JPEG that broker and boards accept; None, and counted, if it cannot be made so small."""
        limit, whose = self._node.session.max_publish_bytes - self._envelope_bytes, "the broker's packet limit"
        if limit > MAX_FRAME_BYTES:
            limit, whose = MAX_FRAME_BYTES, f"the {MAX_FRAME_BYTES / 1e6:g} MB that boards accept"
        try:
            encoded = self._encoder.encode(captured, limit, is_whole=is_whole)
        except PictureError as error:
            self._node.refusals.add("source", str(error))
            return None
        if encoded is None or encoded.is_shrunk:
            self._node.counts["shrunk"] += 1
            if not self._has_warned:
                self._has_warned = True
                LOGGER.warning("frames are over %s: sent smaller (see --size and --quality)", whose)
        if encoded is None:
            self._node.refusals.add("source", f"frame over {whose}")
        return encoded

    def _frame_message(self, frame: FrameId) -> Outgoing:
        """Return a frame's message without its JPEG; it has the same size for every frame."""
        return Outgoing(
            self._node.topics.frame(self.camera),
            b"",
            correlation=frame.encode(),
            content_type="image/jpeg",
            expiry_s=_FRAME_EXPIRY_S,
        )

    def _announced(self, frame: FrameId, captured: Captured, moment: Moment) -> Announce:
        return Announce(frame, round(moment.wall_clock, 6), captured.truth, self._next_within_s)

    def _announce(self, announce: Announce) -> Outgoing:
        return Outgoing(
            self._node.topics.announce(self.camera),
            AnnounceMessage.of(announce).encode(),
            qos=1,
            correlation=announce.frame.encode(),
            content_type="application/json",
            expiry_s=_FRAME_EXPIRY_S,
        )
