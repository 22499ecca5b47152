"""The settings of each role, as pydantic models; `loading` reads them from flags, environment and files."""

from __future__ import annotations

import socket
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vp_mqtt.config.broker import DEFAULT_URL, BrokerOptions, check_url
from vp_mqtt.config.fields import (
    Folder,
    InputFile,
    Name,
    PasswordFile,
    Side,
    as_names,
    as_number,
    as_size,
    as_unknown,
    lower_case,
)
from vp_mqtt.config.regions import WHOLE, Rectangle, Region, as_rectangle, as_regions, region_names
from vp_mqtt.errors import UserError
from vp_mqtt.files import read_text
from vp_mqtt.protocol.messages import DEFAULT_STATS_EVERY_S, MAX_STATS_EVERY_S, Role
from vp_mqtt.protocol.topics import NAME_PATTERN

ENV_PREFIX = "VP_"
_GIVE_UP_HELP = "seconds to keep looking for the broker at startup; 0: for ever"
NCNN_REMOVED = "ncnn is no longer supported: use onnxruntime or openvino"


class CommonSettings(BaseSettings):
    """Settings that every role has."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, validate_default=False, env_ignore_empty=True
    )
    role: ClassVar[Role]

    broker: Annotated[str, AfterValidator(check_url)] = Field(
        default=DEFAULT_URL, description="broker address: mqtt://, mqtts://, ws:// or wss://HOST:PORT"
    )
    site: Name = Field(default="home", description="name of the site, the second level of every topic")
    name: Name | None = Field(
        default=None, description="name of the node; default: made from role, index and host name"
    )
    username: str | None = Field(default=None, description="user name at the broker")
    password: SecretStr | None = Field(default=None, description="password at the broker; from the environment only")
    password_file: PasswordFile | None = Field(default=None, description="file with the password")
    ca_file: InputFile | None = Field(
        default=None, description="certificate authority (PEM) that must have signed the broker's certificate"
    )
    cert_file: InputFile | None = Field(default=None, description="client certificate (PEM)")
    key_file: InputFile | None = Field(default=None, description="private key of the client certificate (PEM)")
    keepalive: int = Field(
        default=10, ge=2, le=3600, description="MQTT keepalive: seconds of silence before the connection is probed"
    )
    give_up_after: float = Field(default=0, ge=0, le=1e6, description=_GIVE_UP_HELP)
    stats_every: float = Field(
        default=DEFAULT_STATS_EVERY_S, gt=0, le=MAX_STATS_EVERY_S, description="seconds between statistics messages"
    )
    log_json: bool = Field(default=False, description="log JSON, one object per line")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower_case)] = Field(
        default="info", description="lowest level to log"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a client certificate needs both --cert-file and --key-file")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give either VP_PASSWORD or --password-file, not both")
        return self

    def read_password(self) -> str | None:
        """Return the password: from the environment, or from the password file.

        Raises:
            UserError: the file cannot be read.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is None:
            return None
        try:
            return read_text(self.password_file).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--password-file {self.password_file}: {error}") from None

    def broker_options(self) -> BrokerOptions:
        """Return how to reach the broker, with the password read from its file.

        Raises:
            UserError: the password file cannot be read.
        """
        return BrokerOptions(
            url=self.broker,
            username=self.username,
            password=self.read_password(),
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            keepalive_s=self.keepalive,
            give_up_after_s=self.give_up_after,
        )

    def node_name(self, *parts: str) -> str:
        """Return the node's name: the one given, or role, index and host, so that no two nodes share one."""
        if self.name is not None:
            return self.name
        host = "".join(c if c.isalnum() and c.isascii() else "-" for c in socket.gethostname()).strip("-") or "host"
        return "-".join((self.role, *parts, host))[:64]


class FamilySettings(CommonSettings):
    """Settings of a node that runs or fuses a family."""

    bundle: str = Field(
        default="auto",
        description="the family: folder of a bundle, name of a bundled one, 'broker' (the one pushed to the site) "
        "or 'auto' (that one if there is any, else --fallback)",
    )
    fallback: str = Field(
        default="fashion-mnist",
        description="what 'auto' runs until a bundle is pushed: folder of a bundle, or name of a bundled one",
    )
    bundle_key: InputFile | None = Field(
        default=None, description="public key (PEM); bundles from the broker must be signed with its private key"
    )
    bundle_cache: Folder | None = Field(default=None, description="folder to keep bundles from the broker in")


def _refuse_ncnn(value: object) -> object:
    value = lower_case(value)
    if value == "ncnn":
        raise ValueError(NCNN_REMOVED)
    return value


class VariantSettings(FamilySettings):
    """Settings of a variant node."""

    role: ClassVar[Role] = "variant"

    variant: int = Field(ge=0, description="index of the variant that this node runs")
    k: int | None = Field(default=None, ge=1, le=255, description="classes per vote; default: what the bundle says")
    threads: int = Field(default=1, ge=1, le=64, description="threads that the runtime may use")
    runtime: Annotated[Literal["auto", "onnxruntime", "openvino"], BeforeValidator(_refuse_ncnn)] = Field(
        default="auto", description="inference runtime; auto: the fastest of those installed, measured once"
    )
    max_frame_bytes: int = Field(
        default=8_000_000,
        ge=1_000,
        le=250_000_000,
        description="size limit of a frame, in bytes; larger ones are refused",
    )


class FusionSettings(FamilySettings):
    """Settings of a fusion node."""

    role: ClassVar[Role] = "fusion"

    deadline_ms: float = Field(
        default=250.0, gt=0, le=60_000, description="how long to wait for the votes on a frame, in ms"
    )
    suspect_after: int = Field(
        default=3, ge=1, le=1000, description="frames in a row without a vote before a variant is no longer waited for"
    )
    cameras: Annotated[tuple[Name, ...] | None, NoDecode, BeforeValidator(as_names)] = Field(
        default=None,
        description="cameras whose frames get labels, separated by commas; default: the first 256 that come",
    )
    valid_for: float = Field(default=5.0, gt=0, le=86_400, description="validity of a label, in seconds")
    unknown: Annotated[Literal["auto", "off"] | float, BeforeValidator(as_unknown)] = Field(
        default="auto",
        description="when a frame is unknown: auto: by the bundle's threshold; off: never; or a number from 0 to 1: if "
        "`known_score` of its label is lower",
    )
    state: bool = Field(default=True, description="publish the state of each camera: the label that it shows stably")
    state_labels: int = Field(
        default=3, ge=1, le=1000, description="so many of the last --state-window labels make the state"
    )
    state_window: int = Field(default=5, ge=1, le=1000, description="labels that count for the state")
    state_hysteresis: int = Field(
        default=2, ge=0, le=1000, description="so many more labels it takes to leave a label than to leave unknown"
    )
    state_dwell: float = Field(default=2.0, ge=0, le=86_400, description="shortest time that a state lasts, in seconds")
    state_timeout: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        description="seconds without a label that agrees with the state, after which it is unknown",
    )
    state_every: float = Field(
        default=30.0, ge=1, le=3600, description="seconds between messages of a state that does not change"
    )
    home_assistant: bool = Field(default=False, description="show the site in Home Assistant (MQTT discovery)")

    @model_validator(mode="after")
    def _state_can_change(self) -> Self:
        if self.state_labels + self.state_hysteresis > self.state_window:
            raise ValueError("--state-labels and --state-hysteresis together exceed --state-window: no state could end")
        if self.state_dwell > self.state_timeout:
            raise ValueError("--state-dwell exceeds --state-timeout")
        return self


class RemoveSettings(CommonSettings):
    """Settings of `vp home-assistant-remove`."""

    role: ClassVar[Role] = "watch"

    give_up_after: float = Field(default=5.0, ge=0, le=1e6, description=_GIVE_UP_HELP)


class CameraSettings(CommonSettings):
    """Settings of a camera node."""

    role: ClassVar[Role] = "camera"

    camera: Name = Field(default="cam0", description="name of the camera, a level of its topics")
    source: str = Field(
        default="samples", description="number of a webcam, video file, URL of a stream, folder of images, or 'samples'"
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
    loop: bool = Field(default=True, description="at the end of a file or folder, start over (--loop) or exit (--once)")
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
    motion_threshold: float = Field(
        default=12.0, ge=1, le=255, description="change of a place's brightness that counts as motion, in grey levels"
    )
    motion_area: float = Field(
        default=0.5, ge=0.01, le=100, description="share of the picture that must change to count as motion, in percent"
    )
    motion_region: Annotated[Rectangle, NoDecode, BeforeValidator(as_rectangle)] = Field(
        default=WHOLE,
        description="LEFT,TOP,RIGHT,BOTTOM: the part of a published picture in which motion is looked for, in shares",
    )
    motion_hold: float = Field(
        default=2.0, ge=0, le=3600, description="seconds for which every frame is published after the last motion"
    )
    heartbeat: float = Field(
        default=4.0, ge=0.5, le=300, description="seconds between the frames of a camera in which nothing moves"
    )
    in_flight: int = Field(
        default=2, ge=1, le=100, description="unacknowledged frames at a time; further ones are dropped"
    )
    frames: int = Field(default=0, ge=0, description="exit after so many frames; 0: never")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.source_file is not None and "source" in self.model_fields_set:
            raise ValueError("give either --source (VP_SOURCE) or --source-file, not both")
        return self

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
    def reencodes(self) -> bool:
        """Whether JPEG sources are re-encoded: if a quality is set, be it the default one."""
        return "quality" in self.model_fields_set


class WatchSettings(CommonSettings):
    """Settings of `vp watch`."""

    role: ClassVar[Role] = "watch"

    camera: Annotated[str, Field(pattern=r"^\+$|" + NAME_PATTERN)] = Field(
        default="+", description="camera whose labels to show; + for all"
    )
    give_up_after: float = Field(default=5.0, ge=0, le=1e6, description=_GIVE_UP_HELP)


class PushSettings(CommonSettings):
    """Settings of `vp push`."""

    role: ClassVar[Role] = "push"

    sign: InputFile | None = Field(default=None, description="private key (PEM) to sign the bundle with")
    chunk_bytes: int = Field(
        default=131_072,
        ge=64,
        le=900_000,
        description="largest chunk, in bytes; less if the broker accepts only smaller packets",
    )
    ready_within: float = Field(
        default=15.0, ge=0, le=3600, description="seconds to wait for fusion nodes to get ready before the switch"
    )
    taken_within: float = Field(
        default=30.0, ge=0, le=3600, description="seconds to wait for boards to run the bundle after the switch"
    )
    give_up_after: float = Field(default=10.0, ge=0, le=1e6, description=_GIVE_UP_HELP)


ROLES: dict[str, type[CommonSettings]] = {
    model.role: model for model in (CameraSettings, VariantSettings, FusionSettings, WatchSettings, PushSettings)
}
"""The settings by role, and thus by name of their table in a TOML file."""
