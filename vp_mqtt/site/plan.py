"""A site's plan: the file site.toml, with its broker, boards, cameras and people."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vp_mqtt.config.regions import Rectangle, Region, as_rectangle, as_regions, region_names
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import error_lines, parse_toml, read_toml
from vp_mqtt.fusion.state import StateRules
from vp_mqtt.protocol.topics import NAME_PATTERN

_HOST = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$")


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise ValueError(f"{text!r} is neither a host name nor an IP address")
    return text


def _whole(value: object) -> object:
    # TOML distinguishes true from 1; pydantic does not.
    if isinstance(value, bool):
        raise ValueError("write a whole number")  # noqa: TRY004 (pydantic reports ValueError as the user's)
    return value


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Host = Annotated[str, AfterValidator(_host)]
Index = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=9999)]
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


STATE_DEFAULTS: dict[str, Any] = {
    name: FusionSettings.model_fields[name].default
    for name in ("state", "state_labels", "state_window", "state_hysteresis", "state_dwell", "state_timeout")
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerPlan(_Table):
    """The broker: its address, and where its machine stores data.

    Attributes:
        host: host name or IP address under which the boards reach it; its certificate is for this.
        port: TCP port, TLS only.
        names: further host names and IP addresses that its certificate is for.
        bind: the address that it listens on; None: every address of the machine.
        state: folder on its machine in which Mosquitto stores retained messages.
    """

    host: Host
    port: int = Field(default=8883, ge=1, le=65_535)
    names: tuple[Host, ...] = ()
    bind: Host | None = None
    state: FolderText = "/var/lib/mosquitto/"


class BoardPlan(_Table):
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


class CameraPlan(_Table):
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
    rotate: Literal[0, 90, 180, 270] = 0
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


class FusionPlan(_Table):
    """The board that fuses the votes, and when the cameras' states change, see the settings of the same names."""

    board: Name
    home_assistant: bool = False
    state: bool | None = None
    state_labels: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1000)] | None = None
    state_window: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1000)] | None = None
    state_hysteresis: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1000)] | None = None
    state_dwell: Annotated[float, Field(ge=0, le=86_400)] | None = None
    state_timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None

    @model_validator(mode="after")
    def _state_can_change(self) -> Self:
        chosen = STATE_DEFAULTS | self.state_settings()
        StateRules(*(chosen[f"state_{name}"] for name in ("labels", "window", "hysteresis", "dwell", "timeout")))
        return self

    def state_settings(self) -> dict[str, Any]:
        """Return what the plan says of states, by setting."""
        return {name: value for name in STATE_DEFAULTS if (value := getattr(self, name)) is not None}


class PersonPlan(_Table):
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


class SitePlan(_Table):
    """A whole site.

    Attributes:
        name: second level of every topic.
        bundle: what the boards run until another one is pushed: the name of a built-in bundle, or a bundle's folder
            (relative to site.toml), which is copied to the boards.
        bundle_key: file of the public key (relative to site.toml, `vp keygen` makes it) that pushed bundles must be
            signed with, copied to the boards; None lets the operator push bundles without a signature.
        deadline_ms: how long a frame's votes are waited for, in ms.
        package: file of the wheel (relative to site.toml) that is copied to the boards and installed there, with its
            dependencies, all by hash; None: the newest wheel beside site.toml.
        certificate_days: how long certificates are valid, in days.
    """

    name: Name
    bundle: Line = "fashion-mnist"
    bundle_key: Line | None = None
    deadline_ms: float = Field(default=250.0, gt=0, le=60_000)
    package: Line | None = None
    certificate_days: int = Field(default=825, ge=1, le=3650)
    broker: BrokerPlan
    fusion: FusionPlan
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


def read_plan(path: Path, missing_hint: str = "make one with `vp site init`") -> SitePlan:
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
