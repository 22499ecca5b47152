"""Fusion nodes that share cameras, without a network: a simulated broker, links with delays, freezes and deaths."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.support.statuses import status_of
from vp_mqtt.fusion.shards import Shards, lease_s
from vp_mqtt.protocol.messages import State, StatusMessage

CAMERAS = tuple(f"cam{n}" for n in range(8))
STATS_EVERY_S = 1.0
STEP_S = 0.05
# The broker closes the connection of a client that is silent for so long, and publishes its will.
KEEPALIVE_S = 8.0


@dataclass(frozen=True)
class Announced:
    """A frame, on its way to a member."""

    camera: str
    number: int


@dataclass(frozen=True)
class Beat:
    """A member's stats."""

    node: str
    sent: float


@dataclass(frozen=True)
class Subscribe:
    """The cameras that a member wants the announces of."""

    cameras: frozenset[str]


Message = Announced | Beat | Subscribe | StatusMessage


class Link:
    """One direction of a connection: in order, with delays, stalled while it is cut."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[float, Message, bool]] = deque()
        self.last = 0.0

    def put(self, message: Message, at: float, *, retained: bool = False) -> None:
        self.last = max(self.last, at)
        self.waiting.append((self.last, message, retained))

    def take(self, now: float) -> Iterable[tuple[Message, bool]]:
        while self.waiting and self.waiting[0][0] <= now:
            _, message, retained = self.waiting.popleft()
            yield message, retained


@dataclass
class Member:
    """A member: what its node does around `Shards`."""

    name: str
    shards: Shards
    up: Link = field(default_factory=Link)
    down: Link = field(default_factory=Link)
    at_broker: frozenset[str] = frozenset()
    is_connected: bool = False
    delay: float = 0.01
    lag: float = 0.0
    slow_lane: Link = field(default_factory=Link)
    is_frozen: bool = False
    is_cut: bool = False
    is_dead: bool = False
    is_dropped: bool = False
    heard_at: float = 0.0
    beat_at: float = -1.0
    tokens: int = 0
    told: object = None
    wanted: frozenset[str] = frozenset()
    labelled: list[Announced] = field(default_factory=list)

    def status(self, state: State = State.ONLINE, *, is_ready: bool = False) -> StatusMessage:
        online = state is State.ONLINE
        return status_of(
            self.name,
            "fusion",
            state=state,
            stats_every_s=STATS_EVERY_S,
            shard=self.shards.token if online else None,
            yields=self.shards.yields() if online and (self.shards.is_ready or is_ready) else None,
        )

    def begin(self, now: float) -> None:
        self.tokens += 1
        self.shards.begin(f"{hash((self.name, self.tokens)) & 0xFFFFFFFF:08x}", now)
        self.beat_at = -1.0


class Network:
    """The broker and its members."""

    def __init__(self, names: Iterable[str]) -> None:
        self.now = 0.0
        self.members = {name: Member(name, Shards(name, lease_s=lease_s(STATS_EVERY_S))) for name in names}
        self.retained: dict[str, StatusMessage] = {}
        self.announced = 0

    def connect(self, member: Member) -> None:
        """A new connection, on which the kept statuses come first."""
        member.up, member.down = Link(), Link()
        # A session subscribes to what it had with each connection.
        member.is_connected, member.heard_at, member.at_broker = True, self.now, member.wanted
        member.told = None
        for status in self.retained.values():
            member.down.put(status, self.now, retained=True)
        member.begin(self.now)

    def publish(self, message: StatusMessage | Beat) -> None:
        if isinstance(message, StatusMessage):
            self.retained[message.node] = message
        for member in self.members.values():
            if member.is_connected:
                member.down.put(message, self.now + member.delay)

    def announce(self) -> None:
        """A frame of each camera."""
        for camera in CAMERAS:
            self.announced += 1
            frame = Announced(camera, self.announced)
            for member in self.members.values():
                if member.is_connected and camera in member.at_broker:
                    member.down.put(frame, self.now + member.delay)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_S
            for member in self.members.values():
                self._broker(member)
            self.announce()
            for member in self.members.values():
                if not (member.is_dead or member.is_frozen):
                    self._work(member)

    def _broker(self, member: Member) -> None:
        if not member.is_connected:
            return
        if member.is_dead or member.is_dropped or self.now - member.heard_at > KEEPALIVE_S:
            member.is_connected = member.is_dropped = False
            self.publish(member.status(State.OFFLINE))
            return
        if member.is_cut or member.is_frozen:
            return
        member.heard_at = self.now
        for message, _ in member.up.take(self.now):
            if isinstance(message, Subscribe):
                member.at_broker = message.cameras
            elif not isinstance(message, Announced):
                self.publish(message)

    def _work(self, member: Member) -> None:
        shards = member.shards
        if not member.is_connected and not member.is_cut:
            # What its socket has buffered is read first.
            self._read(member)
            self.connect(member)
        if shards.has_lost_lease(self.now):
            member.begin(self.now)
        if not member.is_cut:
            self._read(member)
        wanted = frozenset(camera for camera in CAMERAS if shards.owns(camera, self.now))
        if shards.is_settled(self.now) and wanted != member.wanted:
            member.wanted = wanted
            member.up.put(Subscribe(wanted), self.now + member.delay)
        is_ready = shards.is_ready or shards.knows_others(self.now)
        told = shards.token, is_ready, shards.yields(), shards.heard()
        if told != member.told:
            member.told = told
            member.up.put(member.status(is_ready=is_ready), self.now + member.delay)
            if is_ready and not shards.is_ready:
                shards.note_ready(self.now)
                member.beat_at = -1.0
        if self.now >= member.beat_at + STATS_EVERY_S:
            member.beat_at = self.now
            member.up.put(Beat(member.name, self.now), self.now + member.delay)

    def _read(self, member: Member) -> None:
        shards = member.shards
        if shards.has_lost_lease(self.now):
            member.begin(self.now)
        for message, retained in member.down.take(self.now):
            # A fusion node has announces in a lane of their own, before all else, which a busy one comes to later.
            if not isinstance(message, Announced):
                member.slow_lane.put(message, self.now + member.lag, retained=retained)
            elif shards.owns(message.camera, self.now):
                member.labelled.append(message)
        for message, retained in member.slow_lane.take(self.now):
            match message:
                case Beat() if message.node == member.name:
                    shards.note_heartbeat(message.sent)
                case Beat():
                    shards.note_heard(message.node, self.now)
                case StatusMessage():
                    shards.note_status(message, retained=retained, now=self.now)

    def labels(self) -> Counter[Announced]:
        """Return how often each frame was labelled."""
        return Counter(frame for member in self.members.values() for frame in member.labelled)

    def owned(self) -> dict[str, set[str]]:
        """Return what each member has."""
        return {
            name: {camera for camera in CAMERAS if member.shards.owns(camera, self.now)}
            for name, member in self.members.items()
            if not (member.is_dead or member.is_frozen)
        }
