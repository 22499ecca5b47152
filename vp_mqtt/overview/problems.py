"""What is wrong with a site's nodes, a sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.protocol.presence import Presence

_RESTARTS_WITHIN_S = 60.0
_MANY_RESTARTS = 2
_SWITCHING_S = 20.0  # while a site takes another bundle, its boards differ


def any_online(nodes: Iterable[NodeState]) -> bool:
    """Return whether one of the nodes is online."""
    return any(node.is_online for node in nodes)


def _names(nodes: Iterable[NodeState]) -> str:
    return ", ".join(node.status.node for node in nodes)


def _states(nodes: Iterable[NodeState]) -> str:
    return ", ".join(f"'{node.status.node}' is {node.presence}" for node in nodes)


def fusion_problems(nodes: list[NodeState]) -> list[str]:
    """Return what is missing of a site's fusion nodes."""
    online = [node for node in nodes if node.is_online]
    if not nodes:
        return ["no fusion node: start vp-fusion, there is no label without"]
    if not online:
        return [f"no fusion node is online: {_states(nodes)}"]
    return []


def twin_problems(nodes: Iterable[NodeState]) -> list[str]:
    """Return which nodes do the same work, a sentence each: fusion nodes, and boards with one variant."""
    online = [node for node in nodes if node.is_online]
    fusion = [node for node in online if node.status.role == "fusion"]
    found = []
    if len(fusion) > 1 and any(node.status.shard is None for node in fusion):
        alone = [node for node in fusion if node.status.shard is None]
        # Those that share the cameras make one label together.
        found.append(
            f"{len(fusion)} fusion nodes ({_names(fusion)}): every frame gets "
            + (
                "a label from each; stop one, or start all with --shard"
                if len(alone) == len(fusion)
                else f"{len(alone) + 1} labels, as not all share the cameras; start {_names(alone)} with --shard, too"
            )
        )
    variants = [node for node in online if node.status.role == "variant"]
    for variant in sorted({node.status.variant for node in variants if node.status.variant is not None}):
        same = [node for node in variants if node.status.variant == variant]
        alone = [node for node in same if not node.status.is_replica]
        if len(same) > 1 and alone:
            which = f"; not started with --replica: {_names(alone)}" if len(alone) < len(same) else ""
            found.append(f"variant {variant} runs on {len(same)} boards ({_names(same)}): the first vote counts{which}")
    return found


def restart_problems(nodes: Iterable[NodeState], now: float) -> list[str]:
    """Return which nodes are started again and again, a sentence each: two machines with one account oust each other.

    Args:
        nodes: of all roles.
        now: on the monotonic clock.
    """
    found = []
    for node in nodes:
        recent = [restart for restart in node.restarts if now - restart.at <= _RESTARTS_WITHIN_S]
        if len(recent) < _MANY_RESTARTS:
            continue
        hosts = sorted({host for restart in recent for host in (restart.host, restart.host_before)})
        cause = "each has its name and account; stop one" if len(hosts) > 1 else "does it run twice there? see its log"
        name, where = node.status.node, " and ".join(hosts)
        found.append(f"{node.status.role} node '{name}' is started again and again, on {where}: {cause}")
    return found


def own_problems(nodes: Iterable[NodeState]) -> list[str]:
    """Return what nodes themselves say is wrong, a sentence each, such as a camera that has no pictures."""
    same: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if node.is_online and node.status.problem is not None:
            same.setdefault((node.status.role, node.status.problem), []).append(node.status.node)
    # Several boards that see the same say it once.
    return [
        f"{role} node '{names[0]}'{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {problem}"
        for (role, problem), names in same.items()
    ]


def why_labels_should_come(fusion: list[NodeState]) -> str:
    """Return what speaks for labels, and what to look at if none come."""
    if any(node.is_online and node.activity is not None and node.activity.per_s for node in fusion):
        return "the fusion node publishes them: are they passed on to this broker, and may this account read them?"
    return "a camera and a fusion node are online: see their logs"


def camera_problems(nodes: list[NodeState]) -> list[str]:
    """Return what is missing of a site's camera nodes."""
    if not nodes:
        return ["no camera node: start vp-camera"]
    if not any_online(nodes):
        return [f"no camera node is online: {_states(nodes)}"]
    return [f"camera node {_states([node])}" for node in nodes if node.presence in {Presence.OFFLINE, Presence.SILENT}]


def _variant_name(node: NodeState) -> str:
    variant, name = node.status.variant, node.status.node
    # Of a board that chooses its variant, the will does not know which.
    return f"board '{name}'" if variant is None else f"variant {variant} ('{name}')"


def variant_problems(nodes: list[NodeState], fusion: list[NodeState]) -> list[str]:
    """Return which boards are missing, or run what the fusion node does not know."""
    if not any_online(nodes):
        states = f": {_states(nodes)}" if nodes else ": start vp-node on the boards"
        return [f"no variant node is online{states}"]
    online = [node for node in nodes if node.is_online]
    running = {node.status.variant for node in online} - {None}
    found = [
        f"board '{node.status.node}', another one of variant {node.status.variant}, is {node.presence}"
        if node.status.variant in running
        else f"{_variant_name(node)} is {node.presence}"
        for node in nodes
        if node.presence in {Presence.OFFLINE, Presence.SILENT}
    ]
    known = {digest for node in fusion if node.is_online for digest in (node.status.digest, *(node.status.ready or ()))}
    found += [
        f"{_variant_name(node)} runs bundle '{node.status.bundle}', "
        "which the fusion node does not: its votes do not count"
        for node in online
        if known and node.status.digest is not None and node.status.digest not in known
    ]
    return found


def minority_problems(nodes: list[NodeState], fusion: list[NodeState], now: float) -> list[str]:
    """Return which boards have long run a bundle that the fusion node knows, while most boards run another.

    Args:
        nodes: the variant nodes.
        fusion: the fusion nodes.
        now: on the monotonic clock.
    """
    leading = {node.status.digest: node for node in fusion if node.is_online and node.status.digest is not None}
    ready = {digest for node in leading.values() for digest in node.status.ready or ()} - leading.keys()
    switched = max((node.bundle_since for node in leading.values()), default=now)
    names = " or ".join(sorted({f"'{node.status.bundle}'" for node in leading.values()}))
    return [
        f"{_variant_name(node)} runs bundle '{node.status.bundle}', most boards {names}: its votes do not count"
        for node in nodes
        if node.is_online and node.status.digest in ready and now - max(node.bundle_since, switched) > _SWITCHING_S
    ]
