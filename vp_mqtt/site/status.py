"""`vp site status`: which nodes are online and how they perform, from their statuses and stats at the broker."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.table import Table
from rich.text import Text

from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import connected
from vp_mqtt.overview.frame_sizes import frames_of
from vp_mqtt.overview.node_state import NodeState, note_of
from vp_mqtt.overview.problems import own_problems, restart_problems, twin_problems
from vp_mqtt.overview.site_overview import Overview
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import StatsMessage, StatusMessage, decode_of_node
from vp_mqtt.protocol.topics import ANY, Kind, Topics
from vp_mqtt.site.accounts import accounts
from vp_mqtt.site.plan import SitePlan

_WORK_COUNTERS = {"camera": "frames", "variant": "frames", "fusion": "labels"}
_MISSING = "never seen"
_UNHEARD = "not heard yet"
_MAX_NODES = 512
_CONNECT_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node of the plan, as seen at the broker.

    Attributes:
        node: the node's name, which is also its account.
        board: the board that it should run on.
        role: camera, variant or fusion.
        state: online, silent (its status says online, but it is not heard), "not heard yet" (the same, after too short
            a time to tell), stopped, offline (the connection broke), or "never seen".
        host: name of the machine that it runs on.
        version: version of its software.
        bundle: name and short digest of the bundle that it works with.
        rate: recent frames published, votes or labels per second; since its start if only one stats message arrived.
        dropped: frames, votes and messages dropped since its start.
        p50_ms: median of recent latencies: camera: capture to label; variant: frame to vote; fusion: window.
        p95_ms: their 95th percentile.
        temperature_c: its board's temperature, in degrees Celsius.
        rss_mb: resident memory, in MB.
        note: "still" of a camera before which nothing moves, "spare" of a board that waits for a variant; else empty.
        frames: of a camera node: how large its frames are, for people; else empty.
        published: of a camera node: by camera, width and height of its frames, in pixels, and whether they are the
            source's JPEGs as they are.
        frame_side: of a variant node: side of the square that it resizes frames to, in pixels.
    """

    node: str
    board: str
    role: str
    state: str = _MISSING
    host: str | None = None
    version: str | None = None
    bundle: str | None = None
    rate: float | None = None
    dropped: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    temperature_c: float | None = None
    rss_mb: float | None = None
    note: str = ""
    frames: str = ""
    published: dict[str, dict[str, Any]] | None = None
    frame_side: int | None = None


@dataclass(frozen=True, slots=True)
class SiteReport:
    """A whole site: its nodes, and its problems, one sentence each."""

    site: str
    nodes: tuple[NodeReport, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        nodes = [asdict(node) for node in self.nodes]
        return {"site": self.site, "ok": not self.problems, "problems": list(self.problems), "nodes": nodes}

    def as_table(self) -> Table:
        """Return the nodes as a table."""
        table = Table(title=f"site '{self.site}'", title_justify="left", box=None, pad_edge=False)
        for heading in ("node", "board", "state", "bundle"):
            table.add_column(heading, overflow="fold")
        for heading in ("per s", "dropped", "p50 ms", "p95 ms", "°C"):
            table.add_column(heading, no_wrap=True, justify="right", min_width=len(heading))
        for node in self.nodes:
            shown = ", ".join(filter(None, (node.state, node.note, node.frames)))
            state = Text(shown, style="green" if node.state == "online" else "bold red")
            numbers = (node.rate, node.dropped, node.p50_ms, node.p95_ms, node.temperature_c)
            cells = ("" if number is None else f"{number:g}" for number in numbers)
            table.add_row(
                Text(node.node), Text(node.board), state, Text((node.bundle or "").rpartition(" ")[2]), *cells
            )
        return table


class _Listener:
    """Collects the newest status, and the first and the last stats, of every node."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._change = threading.Condition()
        self.overview = Overview(site, now=time.monotonic())
        self.stats: dict[str, list[StatsMessage]] = {}

    def _receive(self, message: Received) -> None:
        with self._change:
            try:
                topic = topics.parse(message.topic)
                if topic.kind is Kind.STATUS and message.payload:
                    status = decode_of_node(StatusMessage, topic.source, message.payload)
                    self.overview.note_status(status, retained=message.retained, now=message.at)
                elif topic.kind is Kind.STATUS:
                    self.overview.forget(topic.source)
                elif topic.kind is Kind.STATS and len(self.stats) < _MAX_NODES and not message.retained:
                    stats = decode_of_node(StatsMessage, topic.source, message.payload)
                    # The first and the last say all, however many come.
                    self.stats[topic.source] = [*self.stats.get(topic.source, ())[:1], stats]
                    self.overview.note_stats(stats, retained=False, now=message.at)
            except ValueError:
                return
            self._change.notify_all()

    def _end(self, _: UserError) -> None:
        with self._change:
            self._change.notify_all()

    def nodes(self) -> dict[str, NodeState]:
        """Return the nodes of which something is known, by name."""
        return {node.status.node: node for node in self.overview.nodes(None, time.monotonic())}

    def listen(self, settings: WatchSettings, names: set[str], seconds: float) -> None:
        """Listen until every node is online and has sent its stats twice, or the time is over.

        Args:
            settings: of the account to log in with.
            names: the nodes; empty for those whose statuses the broker has kept.
            seconds: the longest time to listen.

        Raises:
            UserError: the broker cannot be reached, or refuses us.
        """

        def has_all() -> bool:
            known = self.nodes()
            expected = names or {name for name, node in known.items() if node.is_online}
            # Of one that was started meanwhile, the rest of the time shows whether it is started again.
            return bool(expected) and all(
                name in known
                and known[name].is_heard
                and len(self.stats.get(name, ())) > 1
                and not known[name].restarts
                for name in expected
            )

        site = Topics(self._site)
        with connected(
            settings.broker_options(),
            client_id=f"vp-{self._site}-status-{time.time_ns():x}",
            subscriptions=[(site.status(ANY), 1), (site.stats(ANY), 0)],
            on_message=self._receive,
            on_end=self._end,
            finds_statuses=True,
            timeout_s=_CONNECT_WITHIN_S,
        ) as session:
            with self._change:
                self._change.wait_for(lambda: session.failure is not None or has_all(), seconds)
            session.check()


def site_report(plan: SitePlan, settings: WatchSettings, seconds: float) -> SiteReport:
    """Listen at the broker, and return the state of a site that has a plan.

    Args:
        plan: the site's plan.
        settings: of the account to log in with.
        seconds: the longest time to listen; what is silent shows after 15 s.

    Raises:
        UserError: the broker cannot be reached, or refuses us.
    """
    planned = [account for account in accounts(plan) if account.is_node]
    listener = _Listener(plan.name)
    listener.listen(settings, {node.name for node in planned}, seconds)
    known = listener.nodes()
    reports = tuple(
        _report(node.name, node.board or "", node.role, known.get(node.name), listener.stats.get(node.name, []))
        for node in planned
    )
    nodes = known.values()
    found = (
        *_problems(reports),
        *twin_problems(nodes),
        *restart_problems(nodes, time.monotonic()),
        *own_problems(nodes),
    )
    return SiteReport(plan.name, reports, found)


def heard_report(settings: WatchSettings, seconds: float) -> SiteReport:
    """Listen at the broker, and return the state of a site without a plan: of the nodes that are heard.

    Args:
        settings: the site, and how to log in.
        seconds: the longest time to listen; what is silent shows after 15 s.

    Raises:
        UserError: the broker cannot be reached, or refuses us.
    """
    listener = _Listener(settings.site)
    listener.listen(settings, set(), seconds)
    now = time.monotonic()
    nodes = listener.overview.nodes(None, now)
    reports = tuple(
        _report(node.status.node, node.status.host, node.status.role, node, listener.stats.get(node.status.node, []))
        for node in sorted(nodes, key=lambda node: (node.status.role, node.status.variant or 0, node.status.node))
    )
    # No labels are listened to, so that none are missed.
    found = listener.overview.problems(now, grace_s=0.0)
    problems = [problem for problem in found if not problem.startswith("no label")]
    problems += [_unheard(report) for report in reports if report.state == _UNHEARD]
    return SiteReport(settings.site, reports, tuple(problems))


def _report(name: str, board: str, role: str, node: NodeState | None, stats: list[StatsMessage]) -> NodeReport:
    report = NodeReport(name, board, role)
    if node is None:
        return report
    status, published = node.status, node.status.published
    report = replace(
        report,
        state=str(node.presence) if node.is_heard or not node.is_online else _UNHEARD,
        host=status.host,
        version=status.version,
        bundle=f"{status.bundle} {status.digest}" if status.bundle else None,
        note=note_of(node),
        frames=frames_of(node),
        published=None if published is None else {camera: f.model_dump() for camera, f in published.items()},
        frame_side=status.frame_side,
    )
    if not node.is_online or not stats:
        return report
    last = stats[-1]
    latency = last.latency_ms
    return replace(
        report,
        # Two processes count each for itself.
        rate=_rate(role, last if node.restarts else stats[0], last),
        dropped=sum(n for key, n in last.counts.items() if "dropped" in key or "unsent" in key),
        p50_ms=None if latency is None else round(latency.p50, 1),
        p95_ms=None if latency is None else round(latency.p95, 1),
        temperature_c=last.temperature_c,
        rss_mb=last.rss_mb,
    )


def _rate(role: str, first: StatsMessage, last: StatsMessage) -> float | None:
    key = _WORK_COUNTERS.get(role, "")
    seconds, count = last.uptime_s - first.uptime_s, last.counts.get(key, 0) - first.counts.get(key, 0)
    if seconds <= 0 or count < 0:
        seconds, count = last.uptime_s, last.counts.get(key, 0)
    return round(count / seconds, 1) if seconds > 0 else None


def _unheard(node: NodeReport) -> str:
    return f"{node.node} on board '{node.board}' was not heard while we listened: try a longer --wait"


def _problems(nodes: tuple[NodeReport, ...]) -> list[str]:
    found = []
    for node in nodes:
        if node.state == _MISSING:
            found.append(f"{node.node} on board '{node.board}' has never been seen: is it installed and on?")
        elif node.state == _UNHEARD:
            found.append(_unheard(node))
        elif node.state != "online":
            found.append(f"{node.node} on board '{node.board}' is {node.state}: see its log, or `vp site doctor` there")
    fusion = next((node for node in nodes if node.role == "fusion" and node.state == "online"), None)
    if fusion is not None:
        found += [
            f"{node.node} on board '{node.board}' runs '{node.bundle}', the fusion node '{fusion.bundle}'"
            for node in nodes
            if node.role == "variant" and node.state == "online" and node.bundle not in {fusion.bundle, None}
        ]
    return found
