"""Statuses of nodes that are not there."""

from __future__ import annotations

from typing import Any

from vp_mqtt.protocol.messages import State, StatusMessage


def status_of(node: str, role: str = "variant", *, state: State = State.ONLINE, **fields: Any) -> StatusMessage:
    """Return a node's status, with what `fields` say of it; a variant node is of variant 0 if they do not say."""
    base: dict[str, Any] = {
        "version": "1",
        "host": "pi",
        "client_id": f"vp-home-{node}",
        "instance": "0000002a",
        "started": 1.0,
        "variant": 0 if role == "variant" else None,
    }
    return StatusMessage(state=state, node=node, role=role, **(base | fields))
