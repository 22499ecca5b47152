"""What the page of the settings shows. Pure: the clock is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.settings_values import MotionValues, SettingsInForce, StateValues
from vp_mqtt.protocol.site_settings import CameraSettingsMessage, FusionSettingsMessage
from vp_mqtt.protocol.topics import Kind, parse
from vp_mqtt.web.cards.places import Drawing, drawing
from vp_mqtt.web.tuning.desk import Retained, SettingsDesk, read_settings
from vp_mqtt.web.tuning.store import StoredSettings

_SPARE_ROWS = 1

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class InForce:
    """Whether a node works with the site's settings.

    Attributes:
        node: its name.
        text: what to say of it.
        kind: "good", "waits" or "bad".
    """

    node: str
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class FusionCard:
    """The settings of the fusion nodes.

    Attributes:
        nodes: whether they work with them.
        mark: of the site's settings, see `Retained`.
        has_own: whether the site has settings, which can be taken away.
        unknown: "auto", "off" or "score".
        score: below which a frame is unknown.
        state: when states change; None where no node publishes any.
    """

    nodes: tuple[InForce, ...]
    mark: str
    has_own: bool
    unknown: str
    score: float
    state: StateValues | None


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region in a form: its edges in percent; empty texts for a further one."""

    name: str = ""
    left: str = ""
    top: str = ""
    right: str = ""
    bottom: str = ""


@dataclass(frozen=True, slots=True)
class CameraSettingsCard:
    """The settings of a camera node.

    Attributes:
        camera: its name.
        nodes: whether it works with them.
        mark: of the site's settings, see `Retained`.
        has_own: whether the site has settings, which can be taken away.
        rows: the regions, and room for a further one.
        motion: the motion gate; None where the node does not say.
        motion_region: where it looks, as text.
        drawing: the regions on the picture.
        snapshot: number of the newest snapshot; 0 without one.
        taken: how long ago it was taken, in seconds.
        newest: id of the newest frame, where that is the whole picture; empty where it is not.
    """

    camera: str
    nodes: tuple[InForce, ...]
    mark: str
    has_own: bool
    rows: tuple[RegionRow, ...]
    motion: MotionValues | None
    motion_region: str
    drawing: Drawing
    snapshot: int
    taken: float
    newest: str


@dataclass(frozen=True, slots=True)
class Former:
    """A line of the settings' history.

    Attributes:
        number: of the entry.
        seen: when, in seconds since 1970.
        whose: settings.
        text: what they say.
        person: who changed them.
        is_newest: whether they are the newest ones of theirs.
    """

    number: int
    seen: float
    whose: str
    text: str
    person: str
    is_newest: bool


def fusion_card(view: SiteView, desk: SettingsDesk, now: float) -> FusionCard | None:
    """Return the settings of the fusion nodes; None if no fusion node is known that takes any."""
    nodes = [node for node in view.overview.nodes("fusion", now) if node.is_online]
    nodes.sort(key=NodeState.doubt)
    said = next((node.status.settings for node in nodes if node.status.settings is not None), None)
    if said is None:
        return None
    retained = desk.retained(desk.topics.fusion_settings())
    unknown, state = said.unknown, said.state
    if isinstance(retained.message, FusionSettingsMessage):
        unknown, state = _first(retained.message.unknown, unknown), _first(retained.message.state, state)
    return FusionCard(
        _in_force(nodes, retained),
        retained.mark,
        bool(retained.payload),
        "score" if isinstance(unknown, float) else unknown or "auto",
        unknown if isinstance(unknown, float) else 0.5,
        state,
    )


def camera_settings_cards(view: SiteView, desk: SettingsDesk, now: float) -> list[CameraSettingsCard]:
    """Return the settings of all camera nodes that take any, by camera."""
    found: dict[str, list[NodeState]] = {}
    for node in view.overview.nodes("camera", now):
        if node.status.camera is not None and node.status.settings is not None and node.is_online:
            found.setdefault(node.status.camera, []).append(node)
    return [
        _camera_card(view, desk, sorted(nodes, key=lambda node: node.doubt(camera)), now)
        for camera, nodes in sorted(found.items())
    ]


def _camera_card(view: SiteView, desk: SettingsDesk, nodes: Sequence[NodeState], now: float) -> CameraSettingsCard:
    """Return the settings of the nodes that say they have a camera, by the first of them."""
    status = nodes[0].status
    camera, said = status.camera or "", status.settings or SettingsInForce()
    retained = desk.retained(desk.topics.camera_settings(camera))
    regions, motion = said.regions, said.motion
    if isinstance(retained.message, CameraSettingsMessage):
        regions, motion = _first(retained.message.regions, regions), _first(retained.message.motion, motion)
    rows = [RegionRow(name, *map(_percent, edges)) for name, edges in (regions or {}).items()]
    snapshot, frame = view.snapshots.get(camera), view.frames(camera).shown()
    return CameraSettingsCard(
        camera=camera,
        nodes=_in_force(nodes, retained),
        mark=retained.mark,
        has_own=bool(retained.payload),
        rows=(*rows, *[RegionRow()] * _SPARE_ROWS),
        motion=motion,
        motion_region="" if motion is None else ",".join(f"{edge:g}" for edge in motion.region),
        drawing=drawing(status),
        snapshot=0 if snapshot is None else snapshot.number,
        taken=0.0 if snapshot is None else now - snapshot.at,
        newest="" if frame is None or frame.picture is None or status.regions else frame.frame,
    )


def _first(wanted: _T | None, otherwise: _T | None) -> _T | None:
    """Return what the broker keeps, where it keeps anything: what a node works with, only the node itself says."""
    return otherwise if wanted is None else wanted


def former_lines(entries: Sequence[StoredSettings]) -> list[Former]:
    """Return the lines of the settings' history."""
    seen: set[str] = set()
    found = []
    for entry in entries:
        topic = parse(entry.topic)
        is_fusion = topic.kind is Kind.FUSION_SETTINGS
        found.append(
            Former(
                entry.number,
                entry.seen,
                "Labels and states" if is_fusion else f"Camera {topic.source}",
                _in_words(read_settings(entry.topic, entry.payload)),
                entry.person,
                entry.topic not in seen,
            )
        )
        seen.add(entry.topic)
    return found


def _in_words(retained: Retained) -> str:
    match retained.message:
        case FusionSettingsMessage(unknown=unknown, state=state):
            by = {"auto": "unknown by the bundle's threshold", "off": "never unknown", None: ""}
            parts = [f"unknown below {unknown:g}" if isinstance(unknown, float) else by[unknown]]
            if state is not None:
                parts.append(
                    f"{state.labels} of {state.window} labels, {state.hysteresis} more to leave, {state.dwell:g} s at "
                    f"least, time-out {state.timeout:g} s"
                )
            return "; ".join(part for part in parts if part)
        case CameraSettingsMessage(regions=regions, motion=motion):
            parts = []
            if regions is not None:
                parts.append(f"regions {', '.join(regions)}" if regions else "the whole picture")
            if motion is not None:
                parts.append("motion gate on" if motion.gate else "motion gate off")
            return "; ".join(parts)
    return "the nodes' own settings"


def _in_force(nodes: Sequence[NodeState], retained: Retained) -> tuple[InForce, ...]:
    return tuple(InForce(node.status.node, *_say(node.status, retained)) for node in nodes)


def _say(status: StatusMessage, retained: Retained) -> tuple[str, str]:
    said = status.settings
    if said is None:
        return "takes no settings from the site: its version is older", "bad"
    if said.refused is not None:
        return f"refuses the newest settings ({said.refused}), and works with those before", "bad"
    wanted = None if retained.message is None else retained.message.version
    if said.version != wanted:
        return "has not taken the newest settings yet", "waits"
    return ("works with its own settings" if wanted is None else f"works with these settings, version {wanted}"), "good"


def _percent(edge: float) -> str:
    return f"{edge * 100:.2f}".rstrip("0").rstrip(".")
