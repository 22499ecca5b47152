"""Settings of a stage node."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from vp_mqtt.config.settings import CommonSettings


class StageSettings(CommonSettings):
    """One stage of model parallelism."""

    role: ClassVar[str] = "stage"

    stage: int = Field(ge=0, description="index of the stage that this node runs")
    bundle: str = Field(description="the pipeline's folder")
    precision: Literal["float32", "float16", "int8"] = Field(
        default="float32", description="precision of the feature maps that this node sends"
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads that the runtime may use")
    max_frame_bytes: int = Field(
        default=8_000_000,
        ge=1_000,
        le=250_000_000,
        description="size limit of a frame or feature map, in bytes; larger ones are refused",
    )
