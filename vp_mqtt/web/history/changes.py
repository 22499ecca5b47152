"""A change of a camera's state, as the history keeps it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vp_mqtt.overview.site_view import BoardVote, SiteView
from vp_mqtt.protocol.messages import StateMessage


@dataclass(frozen=True, slots=True)
class StoredVote:
    """A board's vote on the frame of a change.

    Attributes:
        variant: the variant's index.
        label: its most probable class.
        confidence: that class's probability, 0..1.
    """

    variant: int
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of a camera's state.

    Attributes:
        camera: the camera's name.
        since: when the state began, in seconds since 1970.
        label: the class name; None for unknown.
        previous: the state before; None for unknown, or none.
        confidence: mean of the labels that made the state, 0..1.
        reason: why it changed, see `StateReason`.
        bundle: the bundle's name.
        votes: on the frame that is kept.
        picture: that frame, a JPEG; None if none was received.
    """

    camera: str
    since: float
    label: str | None
    previous: str | None
    confidence: float | None
    reason: str
    bundle: str
    votes: tuple[StoredVote, ...] = ()
    picture: bytes | None = None

    @property
    def is_disputed(self) -> bool:
        """Whether the boards did not all vote for the same class."""
        return len({vote.label for vote in self.votes}) > 1


def describe(view: SiteView, state: StateMessage, *, retained: bool, arrived: float, now: float) -> StateChange:
    """Return a change with the votes and the picture of the frame whose label has made it.

    Args:
        view: of the site.
        state: the new state.
        retained: whether the broker had kept the message: the pictures of that time are gone then.
        arrived: when it came, on the monotonic clock, in seconds: right after the label that made it.
        now: on the monotonic clock, in seconds.
    """
    frames = view.frames(state.camera)
    frame = None if retained else frames.picture_of(state.label, arrived) or frames.shown()
    votes = () if frame is None else tuple(_stored(vote) for vote in view.votes(frame, now) if vote.top)
    return StateChange(
        camera=state.camera,
        since=state.since,
        label=state.label,
        previous=state.previous,
        confidence=state.confidence,
        reason=str(state.reason),
        bundle=state.bundle,
        votes=votes,
        picture=None if frame is None else frame.picture,
    )


def _stored(vote: BoardVote) -> StoredVote:
    label, confidence = vote.top[0]
    return StoredVote(vote.variant, label, round(confidence, 4))
