"""The settings of each role, as pydantic models; `loading` reads them from flags, environment and files."""

from __future__ import annotations

import socket
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vp_mqtt.config.broker import DEFAULT_URL, BrokerOptions, check_url
from vp_mqtt.config.defaults import DEFAULT_BUNDLE
from vp_mqtt.config.fields import (
    Folder,
    InputFile,
    Name,
    PasswordFile,
    as_names,
    as_text,
    as_unknown,
    as_variant,
    lower_case,
)
from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.errors import UserError
from vp_mqtt.files import read_text
from vp_mqtt.protocol.messages import DEFAULT_STATS_EVERY_S, MAX_STATS_EVERY_S, Role
from vp_mqtt.protocol.settings_values import StateDwell, StateHysteresis, StateLabels, StateTimeout
from vp_mqtt.protocol.topics import NAME_PATTERN

ENV_PREFIX = "VP_"
_GIVE_UP_HELP = "seconds to keep looking for the broker at startup; 0: for ever"
NCNN_REMOVED = "ncnn is no longer supported: use onnxruntime or openvino"
_Names = Annotated[tuple[Name, ...] | None, NoDecode, BeforeValidator(as_names)]


class CommonSettings(BaseSettings):
    """Settings that every role has."""

    # A program reads the settings of one role: the validators of all others would take 2 MB for nothing.
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        validate_default=False,
        env_ignore_empty=True,
        defer_build=True,
    )
    role: ClassVar[Role]

    broker: Annotated[str, AfterValidator(check_url)] = Field(
        default=DEFAULT_URL,
        description="broker address: mqtt://, mqtts://, ws:// or wss://HOST:PORT; of a cluster: HOST:PORT,HOST:PORT,..",
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


def _check_metrics(text: str) -> str:
    ListenAddress.parse_port(text)
    return text


class NodeSettings(CommonSettings):
    """Settings of every node."""

    metrics: Annotated[str, BeforeValidator(as_text), AfterValidator(_check_metrics)] | None = Field(
        default=None,
        description="port, on this machine alone, or ADDRESS:PORT, at which Prometheus reads the node's metrics "
        "(/metrics); needs the extra [metrics]",
    )

    @property
    def metrics_address(self) -> ListenAddress | None:
        """Where the node's metrics are served; None: nowhere."""
        return None if self.metrics is None else ListenAddress.parse_port(self.metrics)


class FamilySettings(NodeSettings):
    """Settings of a node that runs or fuses a family."""

    bundle: str = Field(
        default="auto",
        description="the family: folder of a bundle, name of a bundled one, 'broker' (the one pushed to the site) "
        "or 'auto' (that one if there is any, else --fallback)",
    )
    fallback: str = Field(
        default=DEFAULT_BUNDLE,
        description="what 'auto' runs until a bundle is pushed: folder of a bundle, or name of a bundled one",
    )
    bundle_key: InputFile | None = Field(
        default=None, description="public key (PEM); bundles from the broker must be signed with its private key"
    )
    bundle_cache: Folder | None = Field(default=None, description="folder to keep bundles from the broker in")
    cameras: _Names = Field(
        default=None,
        description="cameras whose frames get votes and labels, separated by commas; default: those that come first",
    )


def _refuse_ncnn(value: object) -> object:
    value = lower_case(value)
    if value == "ncnn":
        raise ValueError(NCNN_REMOVED)
    return value


class VariantSettings(FamilySettings):
    """Settings of a variant node."""

    role: ClassVar[Role] = "variant"

    variant: Annotated[Literal["auto"] | Annotated[int, Field(ge=0)], BeforeValidator(as_variant)] = Field(
        description="index of the variant that this node runs; auto: one that no other board runs, the largest first"
    )
    replica: bool = Field(
        default=False, description="share the variant's frames with the other boards that run it with this flag"
    )
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
    valid_for: float = Field(default=5.0, gt=0, le=86_400, description="validity of a label, in seconds")
    unknown: Annotated[Literal["auto", "off"] | float, BeforeValidator(as_unknown)] = Field(
        default="auto",
        description="when a frame is unknown: auto: by the bundle's threshold; off: never; or a number from 0 to 1: if "
        "`known_score` of its label is lower",
    )
    state: bool = Field(default=True, description="publish the state of each camera: the label that it shows stably")
    state_labels: StateLabels = Field(default=3, description="so many of the last --state-window labels make the state")
    state_window: StateLabels = Field(default=5, description="labels that count for the state")
    state_hysteresis: StateHysteresis = Field(
        default=2, description="so many more labels it takes to leave a label than to leave unknown"
    )
    state_dwell: StateDwell = Field(default=2.0, description="shortest time that a state lasts, in seconds")
    state_timeout: StateTimeout = Field(
        default=30.0,
        description="seconds without a label that agrees with the state, after which it is unknown; not before that "
        "label is no longer valid (--valid-for)",
    )
    state_every: float = Field(
        default=30.0, ge=1, le=3600, description="seconds between messages of a state that does not change"
    )
    shard: bool = Field(
        default=False,
        description="share the site's cameras with the other fusion nodes that have this flag: each labels some",
    )
    shard_members: _Names = Field(
        default=None,
        description="names of the fusion nodes that share the cameras, separated by commas; default: all with --shard",
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


class BrokerCheckSettings(CommonSettings):
    """Settings of `vp broker check`."""

    role: ClassVar[Role] = "watch"

    give_up_after: float = Field(default=5.0, gt=0, le=1e6, description="seconds to keep looking for the broker")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower_case)] = Field(
        default="warning", description="lowest level to log"
    )


class WatchSettings(CommonSettings):
    """Settings of `vp watch`."""

    role: ClassVar[Role] = "watch"

    camera: Annotated[str, Field(pattern=r"^\+$|" + NAME_PATTERN)] = Field(
        default="+", description="camera whose labels to show; + for all"
    )
    give_up_after: float = Field(default=5.0, ge=0, le=1e6, description=_GIVE_UP_HELP)


class CaptureSettings(WatchSettings):
    """Settings of `vp capture`."""

    camera: Annotated[str, Field(pattern=r"^\+$|" + NAME_PATTERN)] = Field(
        default="+", description="camera whose frames to take; + for all"
    )


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
