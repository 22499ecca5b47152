"""Tells a site's cameras how large frames have to be for a model, before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.loaded_variant import LoadedVariant


@contextmanager
def announced_need(node: Node, running: LoadedVariant | None, next_side: int) -> Iterator[None]:
    """Load a model within this context: larger frames come before it is there, smaller ones after that.

    Args:
        node: of the board.
        running: the model before; None without one.
        next_side: of the square that the next model's frames are resized to, in pixels.
    """
    side = 0 if running is None else running.frame_side
    if next_side > side:
        node.change_status(lambda status: status.set_frame_side(next_side))
    is_loaded = False
    try:
        yield
        is_loaded = True
    finally:
        left = next_side if is_loaded else side or None
        node.change_status(lambda status: status.set_frame_side(left))
