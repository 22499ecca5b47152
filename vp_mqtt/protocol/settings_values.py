"""What a site's retained settings can set, and what a status says of the settings in force (docs/wire.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vp_mqtt.plain_text import plain

MAX_REGIONS = 32
LEAST_SIDE = 0.01
"""Shortest side of a rectangle, as a share of the picture's."""
REGION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,61}$"
MAX_REASON_LETTERS = 200

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Side = Annotated[int, Field(ge=1, lt=65_536)]

# Limits of flags and of retained settings alike; times in s, what motion is in grey levels and percent of the picture.
StateLabels = Annotated[int, Field(ge=1, le=1000)]
StateHysteresis = Annotated[int, Field(ge=0, le=1000)]
StateDwell = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
StateTimeout = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
MotionThreshold = Annotated[float, Field(ge=1, le=255, allow_inf_nan=False)]
MotionArea = Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]
MotionHold = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Heartbeat = Annotated[float, Field(ge=0.5, le=300, allow_inf_nan=False)]

Version = Annotated[int, Field(ge=1, lt=2**53)]
Unknown = Literal["auto", "off"] | _Share
"""When a frame is unknown: by the bundle's thresholds, never, or below this known score."""


def _with_area(edges: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = edges
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        raise ValueError("right and lower edge must lie beyond the left and upper one, by 1 % of the picture at least")
    return edges


Edges = Annotated[tuple[_Share, _Share, _Share, _Share], AfterValidator(_with_area)]
"""Left, top, right and bottom of a rectangle, as shares of the picture's width and height."""
RegionEdges = dict[Annotated[str, Field(pattern=REGION_PATTERN)], Edges]
PictureSize = tuple[_Side, _Side]


class _Values(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class StateValues(_Values):
    """When the state of a camera changes, see docs/states.md."""

    labels: StateLabels
    window: StateLabels
    hysteresis: StateHysteresis
    dwell: StateDwell = Field(description="in seconds")
    timeout: StateTimeout = Field(description="in seconds")

    @model_validator(mode="after")
    def _can_change(self) -> Self:
        if self.labels + self.hysteresis > self.window:
            raise ValueError("labels and hysteresis together exceed the window: no state could end")
        if self.dwell > self.timeout:
            raise ValueError("the dwell exceeds the time-out")
        return self


class MotionValues(_Values):
    """The motion gate of a camera node, see docs/cameras.md."""

    gate: bool = Field(description="whether nothing is published while nothing moves")
    threshold: MotionThreshold = Field(description="in grey levels")
    area: MotionArea = Field(description="in percent of the picture")
    hold: MotionHold = Field(description="in seconds")
    heartbeat: Heartbeat = Field(description="in seconds")
    region: Edges = Field(default=(0.0, 0.0, 1.0, 1.0), description="where motion is looked for")


class SettingsInForce(_Values):
    """The settings that a node works with now, of those that can be changed while it runs."""

    version: Version | None = Field(
        default=None, description="of the site's retained settings in force; left out: the node's own are"
    )
    refused: Annotated[str, Field(max_length=MAX_REASON_LETTERS), AfterValidator(plain)] | None = Field(
        default=None, description="why the site's newest retained settings are not taken"
    )
    unknown: Unknown | None = Field(default=None, description="of a fusion node")
    state: StateValues | None = Field(default=None, description="of a fusion node that publishes states")
    regions: RegionEdges | None = Field(
        default=None,
        max_length=MAX_REGIONS,
        description="of a camera node: parts of its pictures that are cameras of their own; empty: the whole picture",
    )
    motion: MotionValues | None = Field(default=None, description="of a camera node")
