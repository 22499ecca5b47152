"""The features of a broker that are looked at: what each is for, and what replaces it. Pure: nothing here talks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Need(StrEnum):
    """How much vp-mqtt depends on a feature."""

    NEEDED = "needed"
    USED = "used"
    """Where it is missing, something else takes its place."""
    UNUSED = "not used"
    """Shown for those who choose a broker: clients beside vp-mqtt, or a later version, may want it."""


class Outcome(StrEnum):
    """What was seen of a feature."""

    YES = "yes"
    NO = "no"
    UNTRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a broker.

    Attributes:
        key: its name for scripts.
        name: its name for people.
        need: how much vp-mqtt depends on it.
        without: what happens where it is missing.
    """

    key: str
    name: str
    need: Need
    without: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen of one feature.

    Attributes:
        outcome: whether the broker has it.
        detail: what was seen, in a few words; may be empty.
    """

    outcome: Outcome
    detail: str = ""


_N, _U, _X = Need.NEEDED, Need.USED, Need.UNUSED

MQTT_5 = Feature("mqtt_5", "MQTT 5", _N, "nodes do not connect")
FEATURES = (
    MQTT_5,
    Feature("qos_1", "QoS 1, in order", _N, "statuses, announces and bundles are lost"),
    Feature("wildcards", "wildcards in subscriptions", _N, "nodes do not find each other"),
    Feature("properties", "correlation data and content type passed on", _N, "votes cannot be matched to frames"),
    Feature("retained", "retained messages: kept, replaced, cleared", _N, "no statuses, no `vp push`"),
    Feature(
        "retained_wildcard",
        "retained messages to a wildcard filter",
        _U,
        "`vp push` subscribes to exact topics; a node that is silent since before you looked is not seen, and fusion "
        "and `vp watch` learn of a node with its next status",
    ),
    Feature(
        "retain_handling",
        "retain handling 2: subscribe without retained messages",
        _U,
        "retained messages come with frames and votes, where nodes retain none",
    ),
    Feature("expiry", "message expiry", _U, "an outdated state stays at the broker; old frames are discarded by age"),
    Feature("aliases", "topic aliases", _U, "topics travel in full: about 30 bytes more for each vote"),
    Feature(
        "frame", "a frame of 8 MB", _U, "cameras make frames smaller if the broker states its limit; else set --size"
    ),
    Feature(
        "client_limit",
        "maximum packet size of the client respected",
        _U,
        "a node receives packets that it does not want, and refuses them",
    ),
    Feature("will", "will, when the connection is lost", _U, "a dead node is noticed by its silence, within 15 s"),
    Feature("will_silence", "will, when the client falls silent", _U, "the same: by its silence, within 15 s"),
    Feature(
        "takeover",
        "session take-over is told (0x8E)",
        _U,
        "a second process with a node's name is noticed by the node's own status",
    ),
    Feature("shared", "shared subscriptions ($share)", _U, "one board for each variant, without --replica"),
    Feature("receive_maximum", "receive maximum of the client respected", _X, "no client of vp-mqtt sets one"),
    Feature("will_delay", "will delay", _X, "statuses change at once"),
    Feature("retain_as_published", "retain as published", _X, "none: vp-mqtt tells old messages from new ones without"),
    Feature("no_local", "no local", _X, "none"),
    Feature("user_properties", "user properties passed on", _X, "none: nodes drop them"),
)
"""In the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen of a broker.

    Attributes:
        address: the broker's, without what may be secret in it.
        verdicts: by the feature's key; one that is missing was not tried.
        topics: below which the trial's messages were; None if there were none.
    """

    address: str
    verdicts: Mapping[str, Verdict]
    topics: str | None = None

    def verdict(self, feature: Feature) -> Verdict:
        """Return what was seen of a feature."""
        return self.verdicts.get(feature.key, Verdict(Outcome.UNTRIED))

    def _with(self, need: Need, outcome: Outcome) -> list[Feature]:
        return [one for one in FEATURES if one.need is need and self.verdict(one).outcome is outcome]

    @property
    def is_enough(self) -> bool:
        """Whether everything needed was seen to work."""
        return not self._with(Need.NEEDED, Outcome.NO) and not self._with(Need.NEEDED, Outcome.UNTRIED)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return feature, need, verdict, and what replaces it where it is missing, for people."""
        rows = []
        for feature in FEATURES:
            verdict = self.verdict(feature)
            shown = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)
            instead = feature.without if verdict.outcome is Outcome.NO else ""
            rows.append((feature.name, str(feature.need), shown, instead))
        return rows

    def conclusion(self) -> str:
        """Return in one line whether vp-mqtt works with the broker."""
        missing, untried = self._with(Need.NEEDED, Outcome.NO), self._with(Need.NEEDED, Outcome.UNTRIED)
        if MQTT_5 in missing:
            return f"{self.address}: it does not speak MQTT 5, without which vp-mqtt does not work (docs/brokers.md)"
        if missing:
            return f"{self.address}: vp-mqtt does not work without: {', '.join(one.name for one in missing)}"
        if untried:
            return (
                f"{self.address}: nothing needed was seen to be missing, but not all was tried: this account may not "
                "publish and subscribe to topics of its own; an operator's may"
            )
        replaced = self._with(Need.USED, Outcome.NO)
        if replaced:
            return f"{self.address}: vp-mqtt works; replaced: {', '.join(one.name for one in replaced)}"
        return f"{self.address}: vp-mqtt works, with everything that it uses"

    def as_dict(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        features = {}
        for feature in FEATURES:
            verdict = self.verdict(feature)
            features[feature.key] = {
                "name": feature.name,
                "need": str(feature.need),
                "outcome": str(verdict.outcome),
                "detail": verdict.detail,
                "without": feature.without,
            }
        return {"broker": self.address, "ok": self.is_enough, "conclusion": self.conclusion(), "features": features}
