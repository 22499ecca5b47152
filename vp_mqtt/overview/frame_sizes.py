"""How large the frames of a camera node are, and how large a board needs them, for people. Pure."""

from __future__ import annotations

from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.protocol.messages import PublishedFrames

_FEW_CAMERAS = 3


def frames_of(node: NodeState) -> str:
    """Return how large the frames are that a camera node publishes, such as "frames of 341x256".

    Of several cameras, each is named unless all are the same, or they are too many. Empty for a node that is not
    online, or does not say.
    """
    published = node.status.published if node.is_online else None
    if not published:
        return ""
    sizes = {camera: _size(frames) for camera, frames in published.items()}
    different = set(sizes.values())
    if len(different) == 1:
        return f"frames of {different.pop()}"
    if len(sizes) > _FEW_CAMERAS:
        return f"frames of {len(different)} sizes"
    return "frames of " + ", ".join(f"{camera}: {size}" for camera, size in sorted(sizes.items()))


def need_of(node: NodeState) -> str:
    """Return the largest frames that a board has a use for, such as "256x256"; empty if it does not say."""
    side = node.status.frame_side if node.is_online else None
    return "" if side is None else f"{side}x{side}"


def _size(frames: PublishedFrames) -> str:
    size = f"{frames.width}x{frames.height}"
    return f"{size} as captured" if frames.passed_through else size
