"""The site's retained settings, which nodes take while they run (docs/wire.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vp_mqtt.protocol.messages import Message
from vp_mqtt.protocol.settings_values import (
    MAX_REGIONS,
    MotionValues,
    RegionEdges,
    StateValues,
    Unknown,
    Version,
)

MAX_SETTINGS_BYTES = 8192
SNAPSHOT = b"snapshot"
"""The payload of a request for a camera node's whole picture, in place of a frame."""

_Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class _SettingsMessage(Message):
    format: Literal[1] = 1
    version: Version = Field(description="grows with each change")
    changed: _Seconds = Field(description="when, on the wall clock of who changed them, in seconds since 1970")


class FusionSettingsMessage(_SettingsMessage):
    """Settings of all fusion nodes of the site, retained; what is left out is as the node's own settings say."""

    unknown: Unknown | None = Field(
        default=None, description="when a frame is unknown: auto, off, or below this known score"
    )
    state: StateValues | None = Field(default=None, description="when the state of a camera changes")


class CameraSettingsMessage(_SettingsMessage):
    """Settings of one camera node, retained; what is left out is as the node's own settings say."""

    regions: RegionEdges | None = Field(
        default=None,
        max_length=MAX_REGIONS,
        description="by name, parts of the picture that are cameras of their own; empty: the whole picture",
    )
    motion: MotionValues | None = Field(default=None, description="the motion gate")
