from __future__ import annotations

from typing import Any

import pytest

from tests.support.statuses import status_of
from vp_mqtt.overview.frame_sizes import frames_of, need_of
from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.overview.site_overview import Overview
from vp_mqtt.protocol.messages import PublishedFrames, State

SMALL = PublishedFrames(width=341, height=256, passed_through=False)
WHOLE = PublishedFrames(width=640, height=480, passed_through=True)


def node(role: str, **fields: Any) -> NodeState:
    overview = Overview("home", now=0.0)
    overview.note_status(status_of("x", role, **fields), retained=False, now=0.0)
    return overview.nodes(None, 0.0)[0]


@pytest.mark.parametrize(
    ("published", "shown"),
    [
        (None, ""),
        ({"door": SMALL}, "frames of 341x256"),
        ({"door": WHOLE}, "frames of 640x480 as captured"),
        ({"a": SMALL, "b": SMALL}, "frames of 341x256"),
        ({"b": WHOLE, "a": SMALL}, "frames of a: 341x256, b: 640x480 as captured"),
        ({"a": SMALL, "b": WHOLE, "c": SMALL, "d": SMALL}, "frames of 2 sizes"),
    ],
)
def test_how_large_the_frames_of_a_camera_are(published: dict[str, PublishedFrames] | None, shown: str) -> None:
    assert frames_of(node("camera", published=published)) == shown
    assert frames_of(node("camera", published=published, state=State.OFFLINE)) == ""


def test_how_large_a_board_needs_them() -> None:
    assert need_of(node("variant", frame_side=288)) == "288x288"
    assert need_of(node("variant")) == need_of(node("variant", frame_side=288, state=State.OFFLINE)) == ""
