"""How much one camera may send to a variant node."""

from __future__ import annotations

from typing import Any

from vp_mqtt.nodes.frame_gate import FrameGate
from vp_mqtt.protocol.topics import Topics


class FakeNode:
    """Notes which topics are left at the broker."""

    topics = Topics("home")

    def __init__(self) -> None:
        self.left: list[str] = []
        self.session = self

    def subscribe(self, *_: object, **__: object) -> None: ...

    def unsubscribe(self, topic: str) -> None:
        self.left.append(topic)


def read_of(fps: int, size: int) -> tuple[list[int], list[str]]:
    """Return how many of a camera's frames are read in each of five seconds, and which topics are left at the broker.

    Another camera sends two small frames a second, which are read.
    """
    node: Any = FakeNode()
    gate = FrameGate(node, cameras=None)
    one, other = node.topics.frame("cam0"), node.topics.frame("cam1")
    read = []
    for second in range(5):
        read.append(sum(gate.may_pass(one, second + number / fps, size) for number in range(fps)))
        assert gate.may_pass(other, second + 0.1, 50_000)
        assert gate.may_pass(other, second + 0.6, 50_000)
    return read, node.left


def test_cameras_with_large_frames_and_those_with_many_are_read() -> None:
    # A camera of 8 million pixels, one of 2 million, and one that is very fast.
    for fps, size in ((20, 2_500_000), (60, 900_000), (290, 50_000)):
        assert read_of(fps, size) == ([fps] * 5, [])


def test_a_camera_that_floods_with_large_frames_is_left_at_the_broker() -> None:
    read, left = read_of(250, 7_900_000)
    assert sum(read) < 10
    assert left
