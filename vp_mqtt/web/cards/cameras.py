"""The cards of the live page. Pure: the clocks are passed in."""

from __future__ import annotations

from dataclasses import dataclass

from vp_mqtt.overview.activity import Outcome
from vp_mqtt.overview.site_overview import SeenState
from vp_mqtt.overview.site_view import BoardVote, SiteView
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.web.cards.places import Drawing, on_card
from vp_mqtt.web.cards.words import ago, milliseconds, outcome_words, percent, why_closed

_MAX_BARS = 24


@dataclass(frozen=True, slots=True)
class VoteBar:
    """A board's vote.

    Attributes:
        board: the variant's index.
        name: the board's name, for a tooltip.
        label: the class it voted for; empty without a vote.
        share: its probability, 0..100.
        kind: "agrees", "differs", "unclear" where there is no label to compare with, or "absent".
        note: what became of a vote that did not count.
    """

    board: int
    name: str
    label: str
    share: float
    kind: str
    note: str


@dataclass(frozen=True, slots=True)
class StateLine:
    """A camera's state.

    Attributes:
        label: what to show.
        kind: "known", "unknown", "expired" or "none".
        since: when it began, in seconds since 1970; None without a state.
    """

    label: str
    kind: str
    since: float | None = None


@dataclass(frozen=True, slots=True)
class CameraCard:
    """A camera.

    Attributes:
        name: the camera's.
        whole: the camera whose region it is; None for a whole picture.
        frame: id of the frame that is shown; empty without one.
        state: its state.
        label: the newest label; what is shown in place of one that is missing.
        label_kind: "known", "unknown", "wrong", "none" or "expired".
        confidence: in words.
        share: the confidence, 0..100.
        closest: of an unknown picture: the most probable class.
        truth: the true class, where the camera knows it.
        why: why the label came when it did.
        bars: the boards' votes.
        more_bars: how many boards are left out.
        rate: labels per second, in words.
        response: time from capture to label, in words.
        drawing: regions of its picture, to be drawn on it; None where there are none.
        place: of a region, where it lies in the whole picture; None where that is not known.
    """

    name: str
    whole: str | None
    frame: str
    state: StateLine
    label: str
    label_kind: str
    confidence: str
    share: float
    closest: str
    truth: str
    why: str
    bars: tuple[VoteBar, ...]
    more_bars: int
    rate: str
    response: str
    drawing: Drawing | None = None
    place: Drawing | None = None


def camera_cards(view: SiteView, now: float) -> list[CameraCard]:
    """Return the cards of all cameras, regions beside each other."""
    overview = view.overview
    rates, recently = overview.rates(now), overview.recently(now)
    found = []
    for name in view.cameras(now):
        frames = view.frames(name)
        seen = frames.labelled()
        shown = frames.shown()
        label = None if seen is None or seen.label is None else seen.label
        is_expired = label is not None and label.is_expired(now)
        text, kind = _label(None if label is None else label.label)
        message = None if label is None or is_expired else label.label
        votes = [] if seen is None or is_expired else view.votes(seen, now)
        response = recently.response_ms(name)
        confidence = None if message is None else message.confidence
        node = view.camera_node(name, now)
        regions, place = (None, None) if node is None else on_card(node.status, name)
        found.append(
            CameraCard(
                name=name,
                whole=view.whole(name, now),
                frame="" if shown is None else shown.frame,
                state=_state(overview.states.get(name), now),
                label=f"no label for {ago(now - label.at)}" if label is not None and is_expired else text,
                label_kind="expired" if is_expired else kind,
                confidence="" if confidence is None else percent(confidence),
                share=0.0 if confidence is None else round(confidence * 100, 1),
                closest=message.top[0].label if message is not None and kind == "unknown" and message.top else "",
                truth="" if message is None or message.truth is None else message.truth,
                why="" if message is None else why_closed(message.closed_by, votes),
                bars=tuple(_bar(vote) for vote in votes[:_MAX_BARS]),
                more_bars=max(0, len(votes) - _MAX_BARS),
                rate=f"{rates[name]:.1f}/s" if name in rates else "",
                response="" if response is None else milliseconds(response),
                drawing=regions,
                place=place,
            )
        )
    return sorted(found, key=lambda card: (card.whole or card.name, card.name))


def _label(label: LabelMessage | None) -> tuple[str, str]:
    if label is None:
        return "no label yet", "none"
    if label.known is False:
        return "unknown", "unknown"
    if label.label is None:
        return "no vote", "none"
    return label.label, "known" if label.truth in {None, label.label} else "wrong"


def _state(seen: SeenState | None, now: float) -> StateLine:
    if seen is None:
        return StateLine("no state yet", "none")
    if seen.is_expired(now):
        return StateLine("out of date", "expired", seen.state.since)
    if seen.state.label is None:
        return StateLine("unknown", "unknown", seen.state.since)
    return StateLine(seen.state.label, "known", seen.state.since)


def _bar(vote: BoardVote) -> VoteBar:
    label, share = vote.top[0] if vote.top else ("", 0.0)
    if vote.outcome not in {Outcome.VOTED, None}:
        kind = "absent"
    else:
        kind = "unclear" if vote.agrees is None else "agrees" if vote.agrees else "differs"
    name = f"variant {vote.variant}" if vote.node is None else vote.node.status.node
    return VoteBar(vote.variant, name, label, round(share * 100, 1), kind, outcome_words(vote))
