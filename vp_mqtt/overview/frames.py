"""The newest frames of a camera: picture, votes and label of each. Pure: the clock is passed in."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from vp_mqtt.overview.site_overview import SeenLabel
from vp_mqtt.protocol.votes import Vote

_MAX_FRAMES = 64
_MAX_PICTURES = 8
_MAX_EARLY = 32
# A family may have more, but nobody looks at so many bars.
_MAX_VOTES = 256
_CLASSES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class SeenVote:
    """A variant's vote as it arrived.

    Attributes:
        top: class indices and probabilities, most probable first.
        digest: first 4 bytes of the bundle's digest, in hexadecimal.
        at: when it arrived, on the monotonic clock, in seconds.
    """

    top: tuple[tuple[int, float], ...]
    digest: str
    at: float

    @classmethod
    def of(cls, vote: Vote, at: float) -> SeenVote:
        """Return what is remembered of a vote."""
        pairs = zip(vote.classes[:_CLASSES_SHOWN], vote.probabilities[:_CLASSES_SHOWN], strict=True)
        return cls(tuple(pairs), vote.digest.hex(), at)


@dataclass(slots=True)
class SeenFrame:
    """A frame and what is known of it.

    Attributes:
        frame: its id, as text.
        announced_at: when its announce arrived, on the monotonic clock, in seconds; None before it did.
        picture: the JPEG; None before it arrived, and once there are enough newer ones.
        votes: by variant.
        label: the fused result.
        compared: variants whose vote has been compared with the label.
    """

    frame: str
    announced_at: float | None = None
    picture: bytes | None = None
    votes: dict[int, SeenVote] = field(default_factory=dict)
    label: SeenLabel | None = None
    compared: set[int] = field(default_factory=set)

    def response_ms(self, variant: int) -> float | None:
        """Return the time from the announce to a variant's vote, in ms; None where either is missing."""
        vote = self.votes.get(variant)
        return None if vote is None or self.announced_at is None else max(0.0, vote.at - self.announced_at) * 1000


class CameraFrames:
    """The newest frames of one camera, so many that a label finds the picture and the votes that it is about.

    Attributes:
        picture_bytes: size of all pictures that are remembered.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.picture_bytes = 0
        self._frames: OrderedDict[str, SeenFrame] = OrderedDict()
        # Ids of frames whose pictures are remembered, oldest first.
        self._pictures: OrderedDict[str, None] = OrderedDict()
        # Votes may be read before their frame, but a vote alone makes no frame: a board cannot push out real ones.
        self._early: OrderedDict[str, dict[int, SeenVote]] = OrderedDict()
        self._newest_label: str | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def note_picture(self, frame: str, picture: bytes) -> None:
        """Note the picture of a frame."""
        seen = self._frame(frame)
        if seen.picture is not None:
            return
        seen.picture = picture
        self.picture_bytes += len(picture)
        self._pictures[frame] = None
        while len(self._pictures) > _MAX_PICTURES:
            self.forget_oldest_picture()

    def note_announce(self, frame: str, now: float) -> None:
        """Note the announce of a frame."""
        seen = self._frame(frame)
        if seen.announced_at is None:
            seen.announced_at = now

    def note_vote(self, frame: str, variant: int, vote: SeenVote) -> SeenFrame | None:
        """Note a vote, the first of a variant on a frame; return the frame if it is a known one."""
        seen = self._frames.get(frame)
        votes = self._early.setdefault(frame, {}) if seen is None else seen.votes
        if variant not in votes and len(votes) < _MAX_VOTES:
            votes[variant] = vote
        if len(self._early) > _MAX_EARLY:
            self._early.popitem(last=False)
        return seen

    def note_label(self, label: SeenLabel) -> SeenFrame:
        """Note a label and return its frame."""
        seen = self._frame(label.label.frame)
        seen.label = label
        self._newest_label = seen.frame
        return seen

    def forget_oldest_picture(self) -> bool:
        """Forget the oldest picture; return False if none is left."""
        if not self._pictures:
            return False
        self._drop_picture(next(iter(self._pictures)))
        return True

    def get(self, frame: str) -> SeenFrame | None:
        """Return a frame; None if it is not remembered."""
        return self._frames.get(frame)

    def labelled(self) -> SeenFrame | None:
        """Return the frame of the newest label; None if it is not remembered."""
        return None if self._newest_label is None else self._frames.get(self._newest_label)

    def shown(self) -> SeenFrame | None:
        """Return the frame to show: that of the newest label if its picture is there, else the newest picture."""
        labelled = self.labelled()
        if labelled is not None and labelled.picture is not None:
            return labelled
        return self._frames[next(reversed(self._pictures))] if self._pictures else None

    def picture_of(self, label: str | None, until: float = math.inf) -> SeenFrame | None:
        """Return the newest frame with a label whose picture is remembered.

        Args:
            label: of the frame; None for unknown.
            until: when its label had arrived, on the monotonic clock, in seconds.
        """
        for frame in reversed(self._frames.values()):
            seen = frame.label
            if frame.picture is not None and seen is not None and seen.label.label == label and seen.at <= until:
                return frame
        return None

    def complete(self) -> list[SeenFrame]:
        """Return the frames whose pictures and labels are remembered, oldest first."""
        return [self._frames[frame] for frame in self._pictures if self._frames[frame].label is not None]

    def _frame(self, frame: str) -> SeenFrame:
        seen = self._frames.get(frame)
        if seen is None:
            seen = self._frames[frame] = SeenFrame(frame, votes=self._early.pop(frame, {}))
            if len(self._frames) > _MAX_FRAMES:
                oldest = next(iter(self._frames))
                self._drop_picture(oldest)
                del self._frames[oldest]
        return seen

    def _drop_picture(self, frame: str) -> None:
        if frame in self._pictures:
            del self._pictures[frame]
            seen = self._frames[frame]
            self.picture_bytes -= len(seen.picture or b"")
            seen.picture = None
