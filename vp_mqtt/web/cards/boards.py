"""The cards of the boards page. Pure: the clocks are passed in."""

from __future__ import annotations

from dataclasses import dataclass

from vp_mqtt.overview.activity import Outcome
from vp_mqtt.overview.frame_sizes import frames_of, need_of
from vp_mqtt.overview.node_state import NodeState, note_of
from vp_mqtt.overview.site_view import STRIP_FRAMES, SiteView
from vp_mqtt.protocol.presence import Presence
from vp_mqtt.web.cards.words import ago, milliseconds

STRIP_CELLS = STRIP_FRAMES
_KINDS = {Outcome.VOTED: "voted", Outcome.NOT_NEEDED: "unneeded", Outcome.LATE: "late", Outcome.AWAY: "away"}
_ROLES = {"camera": 0, "fusion": 1}
# A broker that is stopped publishes the wills of nodes that are well before it closes the connections.
_UNCLEAR = "not known: no connection to the broker"
_RATES = {"camera": "frames", "fusion": "labels", "variant": "votes"}


@dataclass(frozen=True, slots=True)
class BoardCard:
    """A node.

    Attributes:
        key: its place on the page.
        name: the node's name.
        role: camera, variant or fusion, or something of the site's own.
        variant: the variant's index; None for other nodes.
        kind: "online", "gone", or "unclear" while there is no connection to the broker.
        presence: in words, with how long it has been gone.
        problem: what keeps it from its work; empty if nothing does.
        facts: names and values.
        strip: SVG paths of the cells, by kind.
        votes: what became of its votes, in words.
    """

    key: str
    name: str
    role: str
    variant: int | None
    kind: str
    presence: str
    problem: str
    facts: tuple[tuple[str, str], ...]
    strip: dict[str, str]
    votes: str


def board_cards(view: SiteView, now: float) -> list[BoardCard]:
    """Return the cards of all nodes: first the boards with variants, then the others."""
    nodes = view.overview.nodes(None, now)
    recently = view.overview.recently(now)
    boards = [node for node in nodes if node.status.variant is not None]
    others = sorted(
        (node for node in nodes if node.status.variant is None),
        key=lambda node: (_ROLES.get(node.status.role, 2), node.status.node),
    )
    online = {node.status.variant for node in boards if node.is_online}
    is_connected = view.overview.is_connected
    found = []
    for node in [*boards, *others]:
        variant = node.status.variant
        # Votes name their variant only: they are another board's if one with the same variant is there.
        voting = variant if node.is_online or variant not in online else None
        found.append(
            BoardCard(
                key=node.status.node,
                name=node.status.node,
                role=node.status.role,
                variant=variant,
                kind=("online" if node.is_online else "gone") if is_connected else "unclear",
                presence=_presence(node, now) if is_connected else _UNCLEAR,
                problem=(node.status.problem or "") if node.is_online else "",
                facts=tuple(_facts(view, node)),
                strip={} if voting is None else strip_paths(view.strip(voting)),
                votes="" if voting is None else recently.votes(voting),
            )
        )
    return found


def _presence(node: NodeState, now: float) -> str:
    if node.presence is Presence.ONLINE:
        return "online"
    if node.heard_at is None:
        return f"{node.presence}, since before this page was started"
    return f"{node.presence} for {ago(now - node.heard_at)}"


def _facts(view: SiteView, node: NodeState) -> list[tuple[str, str]]:
    status = node.status
    activity = node.activity if node.is_online else None
    stats = None if activity is None else activity.stats
    found = []
    if status.bundle is not None:
        found.append(("bundle", status.bundle))
    if status.camera is not None:
        found.append(("camera", status.camera))
    if note := note_of(node):
        found.append(("now", note))
    if frames := frames_of(node):
        found.append(("publishes", frames))
    if need := need_of(node):
        found.append(("looks at", need))
    if activity is not None and activity.per_s is not None:
        found.append(("rate", f"{activity.per_s:.1f} {_RATES.get(status.role, 'messages')}/s"))
    if stats is not None and stats.latency_ms is not None:
        name = {"variant": "compute", "camera": "response", "fusion": "window"}.get(status.role, "takes")
        found.append((name, f"{milliseconds(stats.latency_ms.p50)} (p99 {milliseconds(stats.latency_ms.p99)})"))
    if status.variant is not None and node.is_online:
        found.append(("response", milliseconds(view.series.newest(status.variant))))
    if stats is not None:
        dropped = stats.counts.get("frames_dropped")
        found += [] if dropped is None else [("dropped", "1 frame" if dropped == 1 else f"{dropped} frames")]
        found += [] if stats.temperature_c is None else [("temperature", f"{stats.temperature_c:.0f} °C")]
        found += [] if stats.rss_mb is None else [("memory", f"{stats.rss_mb:.0f} MB")]
    return [*found, ("host", status.host)]


def strip_paths(outcomes: list[Outcome | None]) -> dict[str, str]:
    """Return one SVG path for each kind of cell: a unit wide each, oldest first, with a gap between."""
    paths: dict[str, str] = {}
    for place, outcome in enumerate(outcomes):
        if outcome is not None:
            kind = _KINDS[outcome]
            paths[kind] = paths.get(kind, "") + f"M{place} 0h.8v10h-.8z"
    return paths


def response_chart(view: SiteView, now: float, wall_time: float, deadline_ms: float | None) -> dict[str, object]:
    """Return the boards' response times of the last minutes, for the chart.

    Args:
        view: of the site.
        now: on the monotonic clock, in seconds.
        wall_time: now, in seconds since 1970.
        deadline_ms: of the fusion node; None if it does not say.
    """
    ages, rows = view.series.table(now)
    return {
        "times": [round(wall_time - age, 1) for age in ages],
        "boards": [
            {"variant": variant, "ms": [None if ms is None else round(ms, 2) for ms in row]}
            for variant, row in rows.items()
        ],
        "deadline": deadline_ms,
    }
