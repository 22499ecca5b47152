"""The settings of each role, as pydantic models; see `loading` for where their values come from."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vp_mqtt.config.broker import DEFAULT_URL, BrokerOptions, check_url
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.messages import Role
from vp_mqtt.protocol.topics import NAME_PATTERN

ENV_PREFIX = "VP_"
NCNN_REMOVED = "ncnn is no longer supported: use onnxruntime or openvino"


def _readable_file(path: Path) -> Path:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return path


def _size(value: object) -> object:
    if isinstance(value, str):
        width, cross, height = value.lower().partition("x")
        if not (cross and width.isdecimal() and height.isdecimal()):
            raise ValueError(f"{value!r} is not a size; write WIDTHxHEIGHT, such as 640x480")
        return int(width), int(height)
    return value


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
InputFile = Annotated[Path, AfterValidator(_readable_file)]
Side = Annotated[int, Field(ge=16, le=8192)]


class CommonSettings(BaseSettings):
    """What every node needs to know."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, validate_default=False)
    role: ClassVar[Role]

    broker: Annotated[str, AfterValidator(check_url)] = Field(
        default=DEFAULT_URL, description="the broker's address: mqtt://, mqtts://, ws:// or wss://HOST:PORT"
    )
    site: Name = Field(default="home", description="the site's name: second level of every topic")
    name: Name | None = Field(default=None, description="the node's name; by default from role, index and host")
    username: str | None = Field(default=None, description="account at the broker")
    password: SecretStr | None = Field(default=None, description="only from the environment")
    password_file: InputFile | None = Field(default=None, description="file that holds the account's password")
    ca_file: InputFile | None = Field(
        default=None, description="certificate authority that the broker must be signed by"
    )
    cert_file: InputFile | None = Field(default=None, description="client certificate (PEM)")
    key_file: InputFile | None = Field(default=None, description="key of the client certificate (PEM)")
    keepalive: int = Field(default=10, ge=2, le=3600, description="seconds of silence after which a link is tested")
    give_up_after: float = Field(
        default=0, ge=0, le=1e6, description="seconds to look for the broker at start before giving up; 0: for ever"
    )
    stats_every: float = Field(default=5.0, gt=0, le=3600, description="seconds between two messages with counters")
    log_json: bool = Field(default=False, description="log as JSON, one object a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level logged")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a client certificate needs both --cert-file and --key-file")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give either VP_PASSWORD or --password-file, not both")
        return self

    def secret(self) -> str | None:
        """Return the password, from the environment or from its file.

        Raises:
            UserError: the file cannot be read.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
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
            password=self.secret(),
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
    """A node that works with a family."""

    bundle: str = Field(
        default="auto",
        description="the family: a bundle's folder, the name of one in the box, 'broker' (what was pushed to the site) "
        "or 'auto' (that if there is one, else --fallback)",
    )
    fallback: str = Field(
        default="fashion-mnist",
        description="what 'auto' runs until a bundle is pushed: a bundle's folder, or the name of one in the box",
    )
    bundle_key: InputFile | None = Field(
        default=None, description="public key (PEM) that a bundle from the broker must be signed by"
    )
    bundle_cache: Path | None = Field(default=None, description="folder that bundles from the broker are kept in")


def _refuse_ncnn(value: object) -> object:
    if value == "ncnn":
        raise ValueError(NCNN_REMOVED)
    return value


class VariantSettings(FamilySettings):
    """A variant node."""

    role: ClassVar[Role] = "variant"

    variant: int = Field(ge=0, description="index of the variant that this node runs")
    k: int | None = Field(default=None, ge=1, le=255, description="classes in a vote; by default what the bundle says")
    threads: int = Field(default=1, ge=1, le=64, description="threads of the model's runtime")
    runtime: Annotated[Literal["auto", "onnxruntime", "openvino"], BeforeValidator(_refuse_ncnn)] = Field(
        default="auto", description="what runs the model; auto: the fastest that is installed, measured once"
    )
    max_frame_bytes: int = Field(default=8_000_000, ge=1_000, le=250_000_000, description="larger frames are refused")


class StageSettings(CommonSettings):
    """A stage of model parallelism, which variant parallelism is compared with."""

    role: ClassVar[Role] = "stage"

    stage: int = Field(ge=0, description="index of the stage that this node runs")
    bundle: str = Field(description="the pipeline's folder")
    precision: Literal["float32", "float16", "int8"] = Field(
        default="float32", description="how the feature maps travel that this node sends"
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads of the model's runtime")
    max_frame_bytes: int = Field(default=8_000_000, ge=1_000, le=250_000_000, description="larger frames are refused")


class FusionSettings(FamilySettings):
    """The fusion node."""

    role: ClassVar[Role] = "fusion"

    deadline_ms: float = Field(
        default=250.0, gt=0, le=60_000, description="how long a frame's votes are waited for, in ms"
    )
    suspect_after: int = Field(
        default=3, ge=1, le=1000, description="frames in a row without a vote after which a variant is not waited for"
    )
    valid_for: float = Field(default=5.0, gt=0, le=86_400, description="how long a label is valid, in seconds")
    home_assistant: bool = Field(default=False, description="show the site in Home Assistant (MQTT discovery)")


class RemoveSettings(CommonSettings):
    """`vp home-assistant-remove`."""

    role: ClassVar[Role] = "watch"

    give_up_after: float = Field(
        default=5.0, ge=0, le=1e6, description="seconds to look for the broker at start before giving up; 0: for ever"
    )


class CameraSettings(CommonSettings):
    """A camera node."""

    role: ClassVar[Role] = "camera"

    camera: Name = Field(default="cam0", description="the camera's name, a level of its topics")
    source: str = Field(
        default="samples", description="webcam number, video file, stream's address, folder of pictures, or 'samples'"
    )
    fps: float = Field(default=10.0, gt=0, le=1000, description="frames per second")
    size: Annotated[tuple[Side, Side] | None, NoDecode, BeforeValidator(_size)] = Field(
        default=None, description="WIDTHxHEIGHT of the published frames; by default the source's own"
    )
    quality: int = Field(
        default=90,
        ge=1,
        le=100,
        description="quality of the JPEGs that the camera makes; given, JPEG sources are encoded anew, too",
    )
    loop: bool = Field(default=True, description="start again at the end of a file or folder, or end the node (--once)")
    in_flight: int = Field(default=2, ge=1, le=100, description="frames on their way to the broker; more are dropped")
    frames: int = Field(default=0, ge=0, description="end after so many frames; 0: never")

    @property
    def encodes_anew(self) -> bool:
        """Whether JPEG sources are encoded anew, since somebody named a quality, even if it is the default's."""
        return "quality" in self.model_fields_set


class WatchSettings(CommonSettings):
    """`vp watch`."""

    role: ClassVar[Role] = "watch"

    camera: Annotated[str, Field(pattern=r"^\+$|" + NAME_PATTERN)] = Field(
        default="+", description="the camera whose labels are shown; + for all"
    )
    give_up_after: float = Field(
        default=5.0, ge=0, le=1e6, description="seconds to look for the broker at start before giving up; 0: for ever"
    )


class PushSettings(CommonSettings):
    """`vp push`."""

    role: ClassVar[Role] = "push"

    sign: InputFile | None = Field(default=None, description="private key (PEM) to sign the bundle with")
    chunk_bytes: int = Field(
        default=131_072, ge=64, le=900_000, description="largest chunk; smaller where the broker takes no such packet"
    )
    ready_within: float = Field(
        default=15.0, ge=0, le=3600, description="seconds that fusion nodes have to get ready before the switch"
    )
    give_up_after: float = Field(
        default=10.0, ge=0, le=1e6, description="seconds to look for the broker at start before giving up; 0: for ever"
    )


ROLES: dict[str, type[CommonSettings]] = {
    model.role: model
    for model in (CameraSettings, VariantSettings, FusionSettings, WatchSettings, StageSettings, PushSettings)
}
