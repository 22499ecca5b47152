"""Which boards of a site have taken the bundle that was pushed, as their statuses say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vp_mqtt.bundle.refusal import is_refusal
from vp_mqtt.protocol.messages import State, StatusMessage
from vp_mqtt.protocol.presence import NodePresence, Presence

_HEARD_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the boards that are online do with a bundle; names of nodes, in order.

    Attributes:
        taken: boards that run it.
        waiting: boards that follow the site and do not run it (yet).
        silent: boards of which nothing is heard, although the broker has kept that they are online.
        pinned: boards that keep a bundle of their own (`--bundle NAME`), each with its name.
        fusion: fusion nodes that follow the site or run the bundle.
        fusion_pinned: fusion nodes pinned to another bundle, each with its name: they do not fuse votes of this one.
        reasons: of boards that do not run it (yet), what they say is wrong.
        refusals: what boards, silent ones too, say that do not accept it.
    """

    taken: tuple[str, ...]
    waiting: tuple[str, ...]
    silent: tuple[str, ...]
    pinned: dict[str, str]
    fusion_pinned: dict[str, str]
    fusion: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Iterable[NodePresence], digest: str, now: float) -> Adoption:
        """Return what the nodes do with a bundle.

        Args:
            nodes: of the site.
            digest: the bundle's, in hexadecimal.
            now: on the monotonic clock.
        """
        online = [node for node in nodes if node.status.state is State.ONLINE]
        boards = [node for node in online if node.status.role == "variant"]
        taken = [node for node in boards if node.status.digest == digest[:8] and node.heard_at is not None]
        # A spare runs nothing: it fetches what the site runs when a variant is free.
        busy = [node for node in boards if node not in taken and not node.status.is_spare]
        followers = [node for node in busy if not _is_pinned(node.status)]
        silent = [node for node in followers if node.at(now) is Presence.SILENT]
        pinned = [node.status for node in busy if _is_pinned(node.status)]
        fusion = [node.status for node in online if node.status.role == "fusion"]
        waiting = [node for node in followers if node not in silent]
        problems = ((node.status.node, node.status.problem) for node in followers)
        return cls(
            taken=_names(taken),
            waiting=_names(waiting),
            silent=_names(silent),
            pinned=_bundles(pinned),
            fusion_pinned=_bundles(one for one in fusion if _is_deaf(one, digest)),
            fusion=tuple(sorted(one.node for one in fusion if not _is_deaf(one, digest))),
            reasons={node.status.node: node.status.problem for node in waiting if node.status.problem is not None},
            refusals={node: said for node, said in problems if said is not None and is_refusal(said, digest)},
        )

    def is_settled(self, waited_s: float, before: Adoption | None = None) -> bool:
        """Return whether no board is waited for; that there is none is known after a while only.

        Args:
            waited_s: since when they are waited for.
            before: how it was before the switch: a refusal from then may be of an earlier switch to the same bundle.
        """
        earlier = {} if before is None else before.refusals
        refused = {node for node, said in self.refusals.items() if earlier.get(node) != said}
        has_boards = bool(self.taken or self.silent or self.pinned or refused)
        return refused.issuperset(self.waiting) and (has_boards or waited_s > _HEARD_WITHIN_S)

    @property
    def is_refused(self) -> bool:
        """Whether there are boards and none of them runs the bundle, or no fusion node is left to count their votes."""
        is_unheard = not self.fusion and bool(self.fusion_pinned)
        return is_unheard or (not self.taken and bool(self.waiting or self.silent or self.pinned))

    def as_dict(self) -> dict[str, Any]:
        """Return the adoption for JSON."""
        return {
            "taken": list(self.taken),
            "waiting": list(self.waiting),
            "silent": list(self.silent),
            "pinned": self.pinned,
            "fusion_pinned": self.fusion_pinned,
            "reasons": self.reasons,
        }

    def lines(self, bundle: str) -> list[str]:
        """Return the adoption for people, a line each.

        Args:
            bundle: the bundle's name.
        """
        following = len(self.taken) + len(self.waiting) + len(self.silent)
        if not following and not self.pinned:
            lines = ["no board is online: boards fetch it when they start"]
        else:
            lines = [f"{len(self.taken)} of {following} boards that follow the site run it now"]
        if unexplained := [name for name in self.waiting if name not in self.reasons]:
            lines.append(f"not running it yet: {', '.join(unexplained)}; see their logs")
        for reason in sorted(set(self.reasons.values())):
            nodes = [node for node, its in sorted(self.reasons.items()) if its == reason]
            lines.append(f"not running it yet: {', '.join(nodes)}: {reason}")
        if self.silent:
            lines.append(f"silent: {', '.join(self.silent)}; are they on?")
        for name in sorted(set(self.pinned.values())):
            nodes = [node for node, its in self.pinned.items() if its == name]
            lines.append(f"pinned to '{name}' with --bundle: {', '.join(nodes)}; start without --bundle to follow")
        for node, name in self.fusion_pinned.items():
            lines.append(f"the fusion node {node} is pinned to '{name}' with --bundle: it ignores votes of '{bundle}'")
        return lines


def _is_pinned(status: StatusMessage) -> bool:
    """Return whether a node keeps its bundle; nodes of versions that do not say so are taken to follow."""
    return status.follows is False


def _is_deaf(fusion: StatusMessage, digest: str) -> bool:
    return _is_pinned(fusion) and fusion.digest != digest[:8]


def _names(nodes: Iterable[NodePresence]) -> tuple[str, ...]:
    return tuple(sorted(node.status.node for node in nodes))


def _bundles(statuses: Iterable[StatusMessage]) -> dict[str, str]:
    return {one.node: one.bundle or "(none)" for one in sorted(statuses, key=lambda one: one.node)}
