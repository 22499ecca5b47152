"""What the labels of a site add up to since the listener started: for metrics. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter

from vp_mqtt.overview.activity import Outcome, outcome
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import LabelMessage

# Any client can name a camera or a variant: only so many are counted.
_MAX_CAMERAS = 512
_MAX_VARIANTS = 256


class Totals:
    """Counts labels and votes.

    Attributes:
        labels: by camera and why their windows closed.
        last_label: when the newest one of each camera arrived, in seconds since 1970.
        outcomes: what became of the votes, by variant.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.labels: Counter[tuple[str, ClosedBy]] = Counter()
        self.last_label: dict[str, float] = {}
        self.outcomes: Counter[tuple[int, Outcome]] = Counter()

    def note(self, label: LabelMessage, wall_time: float) -> None:
        """Note a label that arrived at this time, in seconds since 1970."""
        if label.camera not in self.last_label:
            if len(self.last_label) >= _MAX_CAMERAS:
                return
            # All are there at 0, so that the first increase is seen.
            self.labels.update({(label.camera, reason): 0 for reason in ClosedBy})
        self.last_label[label.camera] = wall_time
        self.labels[label.camera, label.closed_by] += 1
        for variant in (*label.voted, *label.missing):
            if (variant, Outcome.VOTED) not in self.outcomes:
                if len(self.outcomes) >= _MAX_VARIANTS * len(Outcome):
                    continue
                self.outcomes.update({(variant, one): 0 for one in Outcome})
            self.outcomes[variant, outcome(label, variant)] += 1
