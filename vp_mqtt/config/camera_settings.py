"""The settings of a camera node."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from vp_mqtt.config.fields import InputFile, Name, Side, as_number, as_size, lower_case
from vp_mqtt.config.regions import WHOLE, Rectangle, Region, as_rectangle, as_regions, region_names
from vp_mqtt.config.settings import NodeSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import read_text
from vp_mqtt.protocol.messages import MAX_FRAME_SIDE, Role
from vp_mqtt.protocol.settings_values import Heartbeat, MotionArea, MotionHold, MotionThreshold

_SMALLER_QUALITY = 80


class CameraSettings(NodeSettings):
    """Settings of a camera node."""

    role: ClassVar[Role] = "camera"

    camera: Name = Field(default="cam0", description="name of the camera, a level of its topics")
    source: str = Field(
        default="0", description="number of a webcam, video file, URL of a stream, folder of images, or 'samples'"
    )
    source_file: InputFile | None = Field(
        default=None, description="file with the source, for an address that holds a password"
    )
    fps: float = Field(default=10.0, gt=0, le=1000, description="frames per second")
    size: Annotated[tuple[Side, Side] | None, NoDecode, BeforeValidator(as_size)] = Field(
        default=None, description="size of the published frames, WIDTHxHEIGHT; default: that of the source"
    )
    quality: int = Field(
        default=90,
        ge=1,
        le=100,
        description="JPEG quality, 1 to 100; if set, JPEG sources are re-encoded, too",
    )
    encode: Annotated[Literal["auto", "never", "always"], BeforeValidator(lower_case)] = Field(
        default="auto",
        description="pictures larger than any board looks at are published smaller: auto: JPEGs where that pays; "
        "always: all of them; never: none",
    )
    frame_side: int | None = Field(
        default=None,
        ge=16,
        le=MAX_FRAME_SIDE,
        description="pixels that boards need of a frame's shorter side; default: what they say, at least 256",
    )
    loop: bool = Field(default=True, description="at the end of a file or folder, start over (--loop) or exit (--once)")
    hold: float = Field(
        default=0, ge=0, le=3600, description="seconds for which each picture of a folder is shown; 0: for one frame"
    )
    rotate: Annotated[Literal[0, 90, 180, 270], BeforeValidator(as_number)] = Field(
        default=0, description="turn the picture clockwise by 90, 180 or 270 degrees"
    )
    mirror: bool = Field(default=False, description="mirror the picture, left to right, after it was turned")
    region: Annotated[tuple[Region, ...], NoDecode, BeforeValidator(as_regions)] = Field(
        default=(),
        description="NAME=LEFT,TOP,RIGHT,BOTTOM in shares of the picture: publish this part as a camera of its own, "
        "CAMERA.NAME, in place of the whole; may be given several times",
    )
    motion_gate: bool = Field(
        default=False, description="publish nothing while nothing moves, but for a frame every --heartbeat seconds"
    )
    motion_threshold: MotionThreshold = Field(
        default=12.0, description="change of a place's brightness that counts as motion, in grey levels"
    )
    motion_area: MotionArea = Field(
        default=0.5, description="share of the picture that must change to count as motion, in percent"
    )
    motion_region: Annotated[Rectangle, NoDecode, BeforeValidator(as_rectangle)] = Field(
        default=WHOLE,
        description="LEFT,TOP,RIGHT,BOTTOM: the part of a published picture in which motion is looked for, in shares",
    )
    motion_hold: MotionHold = Field(
        default=2.0, description="seconds for which every frame is published after the last motion"
    )
    heartbeat: Heartbeat = Field(
        default=4.0, description="seconds between the frames of a camera in which nothing moves"
    )
    in_flight: int = Field(
        default=2, ge=1, le=100, description="unacknowledged frames at a time; further ones are dropped"
    )
    frames: int = Field(default=0, ge=0, description="exit after so many frames; 0: never")

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        self.cameras()
        return self

    def cameras(self) -> tuple[str, ...]:
        """Return the names under which frames are published: the camera's, or those of its regions."""
        return region_names(self.camera, self.region)

    def read_source(self) -> str:
        """Return the source: the one given, or what the source file says.

        Raises:
            UserError: the file cannot be read, or is empty.
        """
        if self.source_file is None:
            return self.source
        try:
            source = read_text(self.source_file).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--source-file {self.source_file}: {error}") from None
        if not source:
            raise UserError(f"--source-file {self.source_file}: it is empty; write the source into it")
        return source

    @property
    def smaller_quality(self) -> int:
        """The JPEG quality of pictures that are made smaller for boards: that which is set, else a lower one."""
        return self.quality if self.reencodes else _SMALLER_QUALITY

    @property
    def reencodes(self) -> bool:
        """Whether JPEG sources are re-encoded: if a quality is set, be it the default one."""
        return "quality" in self.model_fields_set
