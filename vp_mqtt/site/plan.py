"""A site's plan: the file site.toml, with its broker, boards, cameras and people."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from vp_mqtt.config.defaults import DEFAULT_BUNDLE
from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.config.regions import Rectangle, Region, as_rectangle, as_regions, region_names
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.config.web_settings import check_host_names, check_listen
from vp_mqtt.errors import UserError
from vp_mqtt.files import error_lines, parse_toml, read_toml
from vp_mqtt.fusion.state import StateRules
from vp_mqtt.protocol.messages import MAX_FRAME_SIDE, MAX_SHARDS
from vp_mqtt.protocol.topics import NAME_PATTERN

_HOW = "make one with `vp site init`; for several sites: docs/cells.md"
_HOST_NAME = re.compile(r"(?=.{1,253}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_LOOKS_LIKE_IP = re.compile(r".*:.*|(.*\.)?[0-9]+")
"""No host name has a colon, or ends in a number: such a text is an IP address, or a mistake."""


def _host(text: str) -> str:
    if not (_is_ip_address(text) if _LOOKS_LIKE_IP.fullmatch(text) else _HOST_NAME.fullmatch(text)):
        raise ValueError(f"{text!r} is neither a host name nor an IP address")
    return text


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    # An interface (fe80::1%eth0) is one machine's own name: it means nothing on the others.
    return "%" not in text


def _whole(value: object) -> object:
    # Where the values are listed, pydantic takes false for 0 and 90.0 for 90, though it is strict elsewhere.
    if isinstance(value, (bool, float)):
        raise ValueError("write a whole number")  # noqa: TRY004 (pydantic reports ValueError as the user's)
    return value


def _as_hosts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Host = Annotated[str, AfterValidator(_host)]
Hosts = Annotated[tuple[Host, ...], BeforeValidator(_as_hosts), Field(min_length=1, max_length=16)]
Index = Annotated[int, Field(ge=0, le=9999)]
Line = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _own_folder(text: str) -> str:
    """Refuse a folder that belongs to the system: the broker's install script gives it to Mosquitto."""
    levels = PurePosixPath(text).parts[1:]
    is_system = not levels or levels[0] in _SYSTEM_FOLDERS or len(levels) < _OWN_LEVELS.get(levels[0], 2)
    # Elsewhere the name has to say whose it is: there are too many folders that belong to something.
    is_named = any(level.startswith(_OWN_NAMES) for level in levels)
    is_elsewhere = not levels or levels[0] not in _PLACES_FOR_DATA
    is_hidden = any(level.startswith(".") for level in levels)
    if is_system or is_hidden or (is_elsewhere and not is_named):
        raise ValueError(f"{text!r} belongs to the system: name a folder of the broker's own, like /var/lib/mosquitto/")
    return text


_SYSTEM_FOLDERS = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "root", "run", "sbin", "sys", "usr"}
_OWN_LEVELS = {"var": 3, "home": 3}
"""Levels that a folder of one's own has at least, below some folders of the root; 2 below others."""
_PLACES_FOR_DATA = {"data", "home", "media", "mnt", "opt", "srv", "tmp"}
_OWN_NAMES = ("mosquitto", "vp-mqtt")
FolderText = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./-]*$", max_length=255), AfterValidator(_own_folder)]


def _teach_folder(text: str) -> str:
    # What the page's service can reach, and is nobody else's: the install script gives it to the service's user.
    if _TEACH_FOLDER.fullmatch(text) is None:
        raise ValueError(
            f"{text!r}: name a folder like /srv/vp-mqtt/teach, below /srv, /mnt, /media, /data or /var/lib"
        )
    return text


_TEACH_FOLDER = re.compile(r"/(srv|mnt|media|data|var/lib)(/[A-Za-z0-9_-]+)*/vp-mqtt[A-Za-z0-9_-]*(/[A-Za-z0-9_-]+)*")
TeachFolderText = Annotated[str, Field(max_length=255), AfterValidator(_teach_folder)]


STATE_DEFAULTS: dict[str, Any] = {
    name: FusionSettings.model_fields[name].default
    for name in ("state", "state_labels", "state_window", "state_hysteresis", "state_dwell", "state_timeout")
}


class Table(BaseModel):
    """A table of a plan: nothing in it is unknown, and every value has the type that its key says.

    "yes" is no truth value and "5" no number: whoever wrote them may have meant something else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        # TOML has lists only, which strictly are no tuples.
        return tuple(value) if isinstance(value, list) else value


class BrokerPlan(Table):
    """The broker: its address, and where its machine stores data.

    Attributes:
        hosts: in the file `host`: host name or IP address under which the boards reach it, or a list of them, which are
            tried in this order: further addresses of the same broker, or the brokers of one cluster. The certificate is
            for all of them.
        port: TCP port, TLS only.
        names: further host names and IP addresses that its certificate is for.
        bind: the address that it listens on; None: every address of the machine.
        state: folder on its machine in which Mosquitto stores retained messages.
    """

    hosts: Hosts = Field(alias="host")
    port: int = Field(default=8883, ge=1, le=65_535)
    names: tuple[Host, ...] = ()
    bind: Host | None = None
    state: FolderText = "/var/lib/mosquitto/"


class BoardPlan(Table):
    """A board: a machine of the site that runs nodes.

    Attributes:
        name: its name in the plan and of its folder.
        variants: indices of the variants that it runs, usually one.
        threads: threads of the models' runtime.
    """

    name: Name
    variants: tuple[Index, ...] = ()
    threads: int = Field(default=1, ge=1, le=64)


_GATE_SETTINGS = frozenset({"motion_threshold", "motion_area", "motion_region", "motion_hold", "heartbeat"})


class CameraPlan(Table):
    """A camera: its name, the board that it is connected to, and its node's settings.

    Attributes:
        source_file: file (relative to site.toml) with the source, for an address that holds a password; copied to the
            camera's board.
        regions: parts of the picture, each a camera of its own: edges by name, see `Rectangle`.
        motion_gate: whether nothing is published while nothing moves; the further settings are those of `vp-camera`.
    """

    name: Name
    board: Name
    source: Line = "0"
    source_file: Line | None = None
    fps: float = Field(default=5.0, gt=0, le=1000)
    size: Annotated[str, Field(pattern=r"^[0-9]{2,4}x[0-9]{2,4}$")] | None = None
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    encode: Literal["auto", "never", "always"] | None = None
    frame_side: Annotated[int, Field(ge=16, le=MAX_FRAME_SIDE)] | None = None
    rotate: Annotated[Literal[0, 90, 180, 270], BeforeValidator(_whole)] = 0
    mirror: bool = False
    regions: Annotated[tuple[Region, ...], BeforeValidator(as_regions)] = ()
    motion_gate: bool = False
    motion_threshold: Annotated[float, Field(ge=1, le=255)] | None = None
    motion_area: Annotated[float, Field(ge=0.01, le=100)] | None = None
    motion_region: Annotated[Rectangle, BeforeValidator(as_rectangle)] | None = None
    motion_hold: Annotated[float, Field(ge=0, le=3600)] | None = None
    heartbeat: Annotated[float, Field(ge=0.5, le=300)] | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.source_file is not None and "source" in self.model_fields_set:
            raise ValueError("give either source or source_file, not both")
        self.names()
        idle = sorted(name for name in _GATE_SETTINGS & self.model_fields_set if not self.motion_gate)
        if idle:
            raise ValueError(f"{', '.join(idle)}: without effect unless motion_gate = true")
        return self

    def names(self) -> tuple[str, ...]:
        """Return the names under which its frames are published: its own, or those of its regions."""
        return region_names(self.name, self.regions)


class FusionPlan(Table):
    """The board that fuses the votes, and when the cameras' states change, see the settings of the same names.

    Attributes:
        shards: further boards that fuse votes; all of them share the cameras.
    """

    board: Name
    shards: tuple[Name, ...] = Field(default=(), max_length=MAX_SHARDS - 1)
    home_assistant: bool = False
    state: bool | None = None
    state_labels: Annotated[int, Field(ge=1, le=1000)] | None = None
    state_window: Annotated[int, Field(ge=1, le=1000)] | None = None
    state_hysteresis: Annotated[int, Field(ge=0, le=1000)] | None = None
    state_dwell: Annotated[float, Field(ge=0, le=86_400)] | None = None
    state_timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None

    @model_validator(mode="after")
    def _state_can_change(self) -> Self:
        chosen = STATE_DEFAULTS | self.state_settings()
        StateRules(*(chosen[f"state_{name}"] for name in ("labels", "window", "hysteresis", "dwell", "timeout")))
        return self

    def all_boards(self) -> tuple[str, ...]:
        """Return the boards that fuse votes."""
        return (self.board, *self.shards)

    def state_settings(self) -> dict[str, Any]:
        """Return what the plan says of states, by setting."""
        return {name: value for name in STATE_DEFAULTS if (value := getattr(self, name)) is not None}


class WebPlan(Table):
    """The board that shows the page, see `vp web` and its settings of the same names.

    Attributes:
        passwords_file: file of the page's passwords (relative to site.toml, `vp web --set-password` makes it), copied
            to the board.
        metrics_token_file: file of the token that Prometheus presents (relative to site.toml), copied to the board.
        teach: folder on the board for one's own classes, which its install script creates; None: the service's own.
        sign: file of the private key (relative to site.toml) that the page signs bundles with, copied to the board:
            whoever takes over the board can sign then. It needs `may_push`.
        may_push: whether the page's account may publish bundles, so that its operators can send what they have trained;
            whoever takes over the page's board could then do so, too.
        may_change: likewise, whether it may change the settings of cameras and fusion nodes, and ask for pictures.
    """

    board: Name
    may_push: bool = False
    may_change: bool = False
    listen: Annotated[str, AfterValidator(check_listen)] = "127.0.0.1:8321"
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(check_host_names)] = ()
    passwords_file: Line | None = None
    metrics_token_file: Line | None = None
    history_days: Annotated[float, Field(ge=0, le=36_500)] | None = None
    history_mb: Annotated[float, Field(ge=1, le=1e6)] | None = None
    teach: TeachFolderText | None = None
    teach_from: Literal["caltech101", "cifar10", "fashion-mnist"] | None = None
    queue_frames: Annotated[int, Field(ge=0, le=10_000)] | None = None
    queue_mb: Annotated[float, Field(ge=1, le=1e5)] | None = None
    sign: Line | None = None

    @model_validator(mode="after")
    def _signs_what_it_sends(self) -> Self:
        if self.sign is not None and not self.may_push:
            raise ValueError("sign: without effect unless may_push = true")
        return self

    @model_validator(mode="after")
    def _asks_for_a_password(self) -> Self:
        if self.passwords_file is None and (self.allowed_hosts or not ListenAddress.parse(self.listen).is_local):
            raise ValueError("others could see the page without a password: name a passwords_file")
        return self


class PersonPlan(Table):
    """An account for people and their programs.

    Attributes:
        name: the account.
        role: "watch" sees labels and statuses; "operator" may also push bundles and remove nodes from the broker;
            "home-assistant" is the account of Home Assistant.
        frames: whether a "watch" account may also see the pictures.
    """

    name: Name
    role: Literal["watch", "operator", "home-assistant"] = "watch"
    frames: bool = False


class SitePlan(Table):
    """A whole site.

    Attributes:
        name: second level of every topic.
        bundle: what the boards run until another one is pushed: the name of a built-in bundle, or a bundle's folder
            (relative to site.toml), which is copied to the boards.
        bundle_key: file of the public key (relative to site.toml, `vp keygen` makes it) that pushed bundles must be
            signed with, copied to the boards; None lets the operator push bundles without a signature.
        deadline_ms: how long a frame's votes are waited for, in ms.
        replicas: variants that may run on several boards, which share their frames.
        package: file of the wheel (relative to site.toml) that is copied to the boards and installed there, with its
            dependencies, all by hash; None: the newest wheel beside site.toml.
        certificate_days: how long certificates are valid, in days.
    """

    name: Name
    bundle: Line = DEFAULT_BUNDLE
    bundle_key: Line | None = None
    deadline_ms: float = Field(default=250.0, gt=0, le=60_000)
    replicas: tuple[Index, ...] = ()
    package: Line | None = None
    certificate_days: int = Field(default=825, ge=1, le=3650)
    broker: BrokerPlan
    fusion: FusionPlan
    web: WebPlan | None = None
    boards: tuple[BoardPlan, ...] = Field(min_length=1, max_length=1000)
    cameras: tuple[CameraPlan, ...] = Field(min_length=1, max_length=1000)
    people: tuple[PersonPlan, ...] = (PersonPlan(name="operator", role="operator"), PersonPlan(name="watch"))

    @model_validator(mode="after")
    def _has_an_operator(self) -> Self:
        if not any(person.role == "operator" for person in self.people):
            raise ValueError('no account may push bundles or see the status: add [[people]] with role = "operator"')
        return self

    def board(self, name: str) -> BoardPlan | None:
        """Return the board of this name, None if there is none."""
        return next((board for board in self.boards if board.name == name), None)

    def operator(self) -> str:
        """Return the first operator's account."""
        return next(person.name for person in self.people if person.role == "operator")


def read_plan(path: Path, missing_hint: str = _HOW) -> SitePlan:
    """Read a site's plan.

    Args:
        path: of site.toml.
        missing_hint: what to do if it does not exist.

    Raises:
        UserError: the file cannot be read, is not TOML, or has keys or values that are not a plan's; the message
            lists all of them.
    """
    hint = "" if path.exists() else missing_hint
    return _validated(read_toml(path, hint=hint), str(path))


def parse_plan(text: str, name: str) -> SitePlan:
    """Parse a site's plan; see `read_plan`.

    Args:
        text: the plan, in TOML.
        name: what error messages call it.

    Raises:
        UserError: it is not a plan.
    """
    return _validated(parse_toml(text, name), name)


def _validated(document: dict[str, object], name: str) -> SitePlan:
    try:
        return SitePlan.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{name}: {'; '.join(error_lines(error))}") from None
