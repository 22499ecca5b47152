"""The messages that travel as JSON: announces, labels, statuses and stats (docs/wire.md).

Votes are binary: see `vp_mqtt.protocol.votes`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vp_mqtt.plain_text import plain
from vp_mqtt.protocol.class_names import ClassName
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.refusal import refusal_reason
from vp_mqtt.protocol.settings_values import MAX_REGIONS, PictureSize, SettingsInForce
from vp_mqtt.protocol.topics import NAME_PATTERN

MAX_MESSAGE_BYTES = 65_536
"""Of all messages but frames and bundle files; larger ones are refused without being decoded."""

MAX_PROBLEM_LETTERS = 500
MAX_NEXT_WITHIN_S = 3600.0
MAX_FRAME_SIDE = 1280
"""The largest resolution with the largest margin."""
MIN_CELSIUS, MAX_CELSIUS = -273.15, 10_000.0
MAX_CAMERAS = 256
MAX_SHARDS = 64

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
# In a text for people: whoever wrote it, it controls no terminal that shows it.
_PLAIN = AfterValidator(plain)
_Index = Annotated[int, Field(ge=0, lt=65_536)]
_Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
_Pixels = Annotated[int, Field(ge=1, le=65_535)]
_Celsius = Annotated[float, Field(ge=MIN_CELSIUS, le=MAX_CELSIUS, allow_inf_nan=False)]
_Milliseconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
_Megabytes = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_ShortDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
_Token = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _frame_id_text(value: object) -> object:
    if isinstance(value, str):
        FrameId.parse(value)
    return value


_FrameIdText = Annotated[str, BeforeValidator(_frame_id_text)]


class MessageError(ValueError):
    """An invalid message; the text is a short reason, the same for all messages with the same error."""


class Message(BaseModel):
    """Base class of the messages. Unknown fields are ignored, so that newer versions can add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    def encode(self) -> bytes:
        """Return the message as JSON."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode a message.

        Raises:
            MessageError: it is too large or not JSON, or a field is missing or out of range.
        """
        if len(data) > MAX_MESSAGE_BYTES:
            raise MessageError("too large")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise MessageError(refusal_reason(cls, error)) from None


class AnnounceMessage(Message):
    """A camera's announcement of a frame."""

    frame: _FrameIdText
    captured: _Seconds = Field(description="when it was captured, on the camera's wall clock, in seconds since 1970")
    truth: ClassName | None = Field(default=None, description="the true class name, where the camera knows it")
    next_within_s: Annotated[float, Field(gt=0, le=MAX_NEXT_WITHIN_S)] | None = Field(
        default=None,
        description="of a camera that publishes nothing while nothing moves: another frame follows within so many "
        "seconds",
    )

    @classmethod
    def of(cls, announce: Announce) -> Self:
        """Return the message of an announcement."""
        return cls(
            frame=str(announce.frame),
            captured=announce.captured,
            truth=announce.truth,
            next_within_s=announce.next_within_s,
        )

    def announce(self) -> Announce:
        """Return the announcement in the message."""
        return Announce(FrameId.parse(self.frame), self.captured, self.truth, self.next_within_s)


class ClassScore(Message):
    """A class and its confidence."""

    label: ClassName
    confidence: _Share


class LabelMessage(Message):
    """The fused result for one frame."""

    camera: Name
    frame: _FrameIdText
    label: ClassName | None = Field(description="the class name; null if no vote arrived in time, or if it is unknown")
    known: bool | None = Field(
        default=None,
        description="whether the picture shows one of the classes; false: unknown, `top` has the closest ones; "
        "left out if that is not decided",
    )
    class_index: _Index | None
    confidence: _Share | None = Field(
        description="probability that the label is right: weighted mean of the probabilities that the votes give it, "
        "sharpened by the temperature in the bundle"
    )
    score: _Share | None = Field(description="softmax of the weighted sums, as in arXiv 2210.08376")
    known_score: _Share | None = Field(
        default=None,
        description="share of the probability that the votes leave on the classes they name: `known` is false where it "
        "is below the threshold; left out if no vote arrived",
    )
    top: tuple[ClassScore, ...] = Field(default=(), max_length=10, description="most probable classes first")
    voted: tuple[_Index, ...] = Field(description="variants whose vote counted")
    missing: tuple[_Index, ...] = Field(description="variants of the family whose vote did not arrive in time")
    alive: tuple[_Index, ...] = Field(description="variants known to be alive")
    closed_by: ClosedBy
    latency_ms: _Milliseconds = Field(description="from the window's opening to its closing")
    captured: _Seconds = Field(description="as the camera announced it")
    valid_for_s: _Seconds = Field(description="after this time the label is out of date")
    bundle: Name
    digest: _ShortDigest | None = Field(default=None, description="of the bundle whose votes were fused, as in votes")
    owner: Name | None = Field(
        default=None, description="the fusion node that made it, where several share the site's cameras"
    )
    truth: ClassName | None = None

    @model_validator(mode="after")
    def _check_missing(self) -> Self:
        if not set(self.voted).isdisjoint(self.missing):
            raise ValueError("a variant is both in 'voted' and in 'missing'")
        return self

    def encode(self) -> bytes:
        """Return the message as JSON; `label`, `class_index`, `confidence` and `score` are never left out."""
        optional = ("truth", "digest", "owner", "known", "known_score")
        return self.model_dump_json(exclude={name for name in optional if getattr(self, name) is None}).encode()


class StateReason(StrEnum):
    """Why a camera's state is what it is."""

    LABELS = "labels"
    """Its labels agreed often enough."""
    TIMEOUT = "timeout"
    """No label agreed with the state before for too long."""


class StateMessage(Message):
    """A camera's state: the label that it has shown often enough. Retained, sent when it changes and regularly."""

    camera: Name
    label: ClassName | None = Field(description="the class name; null for unknown")
    since: _Seconds = Field(description="when the state began, on the fusion node's wall clock, in s since 1970")
    previous: ClassName | None = Field(description="the state before; null for unknown, or none")
    confidence: _Share | None = Field(description="mean of the labels that made the state; null for unknown")
    agreeing: tuple[_Index, ...] = Field(max_length=1024, description="variants that agreed with one of these labels")
    reason: StateReason
    published: _Seconds = Field(description="when the message was sent, on the fusion node's wall clock")
    valid_for_s: _Seconds = Field(description="without another message for so long, nobody vouches for the state")
    bundle: Name = Field(description="the name of the bundle whose class it is")

    def encode(self) -> bytes:
        """Return the message as JSON; null is never left out."""
        return self.model_dump_json().encode()


class State(StrEnum):
    """The state in a node's retained status."""

    ONLINE = "online"
    STOPPED = "stopped"
    """It was stopped on purpose."""
    OFFLINE = "offline"
    """Its connection broke, and the broker published its will."""


DEFAULT_STATS_EVERY_S = 5.0
"""Interval of a node's stats, unless its status gives another."""
MAX_STATS_EVERY_S = 3600.0

Role = Annotated[str, Field(pattern=NAME_PATTERN)]
"""What a node does: camera, variant or fusion, or something of the site's own."""


class PublishedFrames(Message):
    """How a camera's frames are published."""

    width: _Pixels
    height: _Pixels
    passed_through: bool = Field(description="whether the source's JPEGs are published as they are")


class StatusMessage(Message):
    """A node's status, retained; the same message with state "offline" is its will."""

    state: State
    node: Name
    role: Role = Field(description="camera, variant or fusion; further kinds of nodes are possible")
    version: Annotated[str, Field(max_length=64), _PLAIN]
    host: Annotated[str, Field(max_length=255), _PLAIN]
    client_id: Annotated[str, Field(max_length=255), _PLAIN]
    instance: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")] = Field(
        description="drawn at random when the node starts, to distinguish two processes with the same name"
    )
    started: _Seconds = Field(description="on the node's wall clock, in seconds since 1970")
    variant: _Index | None = None
    claim: _Index | None = Field(
        default=None, description="of a variant node that chooses its variant: the one that it is about to run, or runs"
    )
    claim_held: bool | None = Field(
        default=None,
        description="whether the claim is the node's; false: it waits whether another node claimed the same before it",
    )
    is_spare: bool | None = Field(
        default=None,
        description="of a variant node that chooses its variant: whether other nodes run all of them, and it waits for "
        "one",
    )
    is_replica: bool | None = Field(
        default=None, description="of a variant node: whether it shares the variant's frames with other nodes"
    )
    bundle: Name | None = None
    digest: _ShortDigest | None = Field(
        default=None, description="first 4 bytes of the bundle's digest, in hexadecimal"
    )
    follows: bool | None = Field(
        default=None,
        description="whether it switches to the bundles that are pushed to the site; false if it is pinned",
    )
    stats_every_s: Annotated[float, Field(gt=0, le=MAX_STATS_EVERY_S)] | None = Field(
        default=None, description="interval of its stats, in seconds; 5 if it is not given"
    )
    camera: Name | None = Field(
        default=None, description="of a camera node: the name that its frames are published under"
    )
    regions: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MAX_REGIONS,
        description="of a camera node that publishes parts of its pictures only: the names of these cameras",
    )
    still: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MAX_REGIONS,
        description="of a camera node that publishes nothing while nothing moves: its cameras where that is so now",
    )
    picture: PictureSize | None = Field(
        default=None, description="of a camera node: width and height of its source's whole picture, in pixels"
    )
    settings: SettingsInForce | None = Field(
        default=None, description="what is in force of the settings that can be changed while the node runs"
    )
    published: dict[Name, PublishedFrames] | None = Field(
        default=None, max_length=MAX_REGIONS, description="of a camera node: by camera, what its frames are like"
    )
    frame_side: Annotated[int, Field(ge=1, le=MAX_FRAME_SIDE)] | None = Field(
        default=None,
        description="of a variant node: side of the square that it resizes frames to, in pixels; larger frames are of "
        "no use to it",
    )
    problem: Annotated[str, Field(max_length=MAX_PROBLEM_LETTERS), _PLAIN] | None = Field(
        default=None, description="what keeps the node from its work, such as a camera without pictures, for people"
    )
    deadline_ms: _Milliseconds | None = Field(
        default=None, description="of a fusion node: how long it waits for the votes on a frame, in ms"
    )
    ready: tuple[_ShortDigest, ...] | None = Field(
        default=None, max_length=16, description="of a fusion node: the bundles whose votes it can fuse"
    )
    shard: _Token | None = Field(
        default=None,
        description="of a fusion node that shares the site's cameras with others: a token, another one with each "
        "connection, and after it was silent for too long",
    )
    yields: Annotated[dict[Name, _Token], Field(max_length=MAX_SHARDS)] | None = Field(
        default=None,
        description="of such a fusion node: the tokens of the others that have the cameras for which they score "
        "higher; left out until it has listened to them",
    )
    owns: tuple[Name, ...] | None = Field(
        default=None, max_length=MAX_CAMERAS, description="of such a fusion node: the cameras that it labels"
    )


class Quantiles(Message):
    """Quantiles of a latency, in ms."""

    p50: _Milliseconds
    p95: _Milliseconds
    p99: _Milliseconds


class StatsMessage(Message):
    """A node's counters since it started, and recent latencies (sliding window)."""

    node: Name
    uptime_s: _Seconds
    counts: dict[str, _Count]
    latency_ms: Quantiles | None = None
    rss_mb: _Megabytes | None = Field(default=None, description="resident memory, in MB")
    temperature_c: _Celsius | None = Field(default=None, description="of the board, in degrees Celsius")
    agreement: dict[Name, _Share] | None = Field(
        default=None,
        max_length=MAX_CAMERAS,
        description="of a fusion node: by camera, the share of votes whose most probable class is the label's (moving "
        "mean of the last 100 labels)",
    )


_OfNode = TypeVar("_OfNode", StatusMessage, StatsMessage)


def decode_of_node(kind: type[_OfNode], node: str, data: bytes) -> _OfNode:
    """Decode a message that was published under a node's topic, which is where access rules say who may speak for it.

    Args:
        kind: the message's.
        node: the node that the topic names.
        data: the payload.

    Raises:
        MessageError: it is invalid, or says that it is of another node.
    """
    message = kind.decode(data)
    if message.node != node:
        raise MessageError("of another node")
    return message
