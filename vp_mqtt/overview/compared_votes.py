"""How many votes are for the label of their frame, whenever they arrive: which variant disagrees. Pure."""

from __future__ import annotations

from collections import Counter

from vp_mqtt.overview.frames import SeenFrame

# Any client can name a camera or a variant: only so many pairs are counted.
_MAX_PAIRS = 4096


class ComparedVotes:
    """Compares votes with the labels of their frames, those that come after the label, too.

    Labels that say unknown have no class to compare with.

    Attributes:
        counts: votes by camera, variant, and whether their most probable class is the label's.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.counts: Counter[tuple[str, int, bool]] = Counter()

    def note(self, frame: SeenFrame) -> None:
        """Note a frame's votes that have not been compared yet, if it has a label."""
        if frame.label is None or frame.label.label.class_index is None:
            return
        label = frame.label.label
        for variant, vote in frame.votes.items():
            if variant in frame.compared:
                continue
            frame.compared.add(variant)
            if label.digest is None or label.digest == vote.digest:
                self._count(label.camera, variant, is_same=vote.top[0][0] == label.class_index)

    def _count(self, camera: str, variant: int, *, is_same: bool) -> None:
        if (camera, variant, True) not in self.counts:
            if len(self.counts) >= 2 * _MAX_PAIRS:
                return
            # Both are there at 0, so that the first increase is seen.
            self.counts.update({(camera, variant, True): 0, (camera, variant, False): 0})
        self.counts[camera, variant, is_same] += 1
