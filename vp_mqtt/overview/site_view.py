"""What a page shows of a site: its overview, and each camera's newest pictures and votes. Pure: the clock is passed in.

Memory is bounded whatever arrives: cameras, frames, pictures and their bytes, votes and series.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from vp_mqtt.overview.activity import Outcome, outcome
from vp_mqtt.overview.class_names import ClassNames
from vp_mqtt.overview.compared_votes import ComparedVotes
from vp_mqtt.overview.frames import CameraFrames, SeenFrame, SeenVote
from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.overview.response_series import ResponseSeries
from vp_mqtt.overview.site_overview import Overview, SeenLabel
from vp_mqtt.overview.snapshots import Snapshots
from vp_mqtt.protocol.votes import Vote

STRIP_FRAMES = 60
_MAX_CAMERAS = 64
_MAX_PICTURE_BYTES = 64_000_000
_FRESH_S = 5.0
_MISSED_FRAMES = 3
_GAPS = 5


@dataclass(frozen=True, slots=True)
class BoardVote:
    """What a variant contributed to a frame's label.

    Attributes:
        variant: its index.
        node: its board; None if none is known.
        outcome: what became of its vote; None before the label.
        top: class names and probabilities, most probable first; empty without a vote.
        agrees: whether its most probable class is the label's; None without a vote or a label.
        late_ms: how long after the label its vote arrived, in ms; None if it did not.
    """

    variant: int
    node: NodeState | None
    outcome: Outcome | None
    top: tuple[tuple[str, float], ...]
    agrees: bool | None
    late_ms: float | None


class SiteView:
    """A site as a page shows it.

    Attributes:
        overview: nodes, labels and states.
        series: response times.
        names: of classes.
        compared: how many votes are for the label of their frame.
        snapshots: whole pictures of cameras.
    """

    def __init__(
        self,
        site: str,
        *,
        now: float,
        known_classes: Mapping[str, Sequence[str]] | None = None,
        max_picture_bytes: int = _MAX_PICTURE_BYTES,
    ) -> None:
        """Begin to listen now.

        Args:
            site: the site's name.
            now: on the monotonic clock, in seconds.
            known_classes: class names of known bundles, by short digest in hexadecimal.
            max_picture_bytes: of all pictures together; the oldest ones are forgotten first.
        """
        self.overview = Overview(site, now=now)
        self.series = ResponseSeries()
        self.names = ClassNames(known_classes)
        self.compared = ComparedVotes()
        self.snapshots = Snapshots()
        self._max_picture_bytes = max_picture_bytes
        self._cameras: dict[str, CameraFrames] = {}
        self._pictured_at: dict[str, float] = {}
        self._gaps: dict[str, deque[float]] = {}
        self._strip: deque[SeenLabel] = deque(maxlen=STRIP_FRAMES)

    def note_picture(self, camera: str, frame: str, picture: bytes, now: float) -> None:
        """Note the picture of a frame: a JPEG of some size that has been checked."""
        frames = self._frames(camera)
        if frames is None or len(picture) > self._max_picture_bytes:
            return
        if camera in self._pictured_at:
            self._gaps.setdefault(camera, deque(maxlen=_GAPS)).append(now - self._pictured_at[camera])
        self._pictured_at[camera] = now
        frames.note_picture(frame, picture)
        while sum(one.picture_bytes for one in self._cameras.values()) > self._max_picture_bytes:
            max(self._cameras.values(), key=lambda one: one.picture_bytes).forget_oldest_picture()

    def note_announce(self, camera: str, frame: str, now: float) -> None:
        """Note the announce of a frame."""
        if (frames := self._frames(camera)) is not None:
            frames.note_announce(frame, now)

    def note_vote(self, camera: str, frame: str, variant: int, vote: Vote, now: float) -> None:
        """Note a variant's vote."""
        if (frames := self._frames(camera)) is None:
            return
        seen = frames.note_vote(frame, variant, SeenVote.of(vote, now))
        if seen is None:
            return
        self.compared.note(seen)
        response = seen.response_ms(variant)
        if response is not None:
            self.series.note(variant, response, now)

    def note_label(self, label: SeenLabel) -> None:
        """Note a label that the overview has noted."""
        self.names.note_label(label.label)
        self._strip.append(label)
        if (frames := self._frames(label.label.camera)) is not None:
            self.compared.note(frames.note_label(label))

    def cameras(self, now: float) -> list[str]:
        """Return the names of all cameras that are known, in order; without regions that their node has no more."""
        nodes = self.overview.nodes("camera", now)
        published = {name for node in nodes for name in self._names_of(node)}
        owners = {node.status.camera for node in nodes if node.is_online}
        others = {*self._cameras, *self.overview.states} - published
        known = {name for name in others if name not in owners and name.rpartition(".")[0] not in owners}
        return sorted(published | known)[:_MAX_CAMERAS]

    def whole(self, camera: str, now: float) -> str | None:
        """Return the camera whose picture a camera is a region of, as its node says; None if it is none."""
        node = self.camera_node(camera, now)
        return None if node is None or node.status.camera == camera else node.status.camera

    def camera_node(self, camera: str, now: float) -> NodeState | None:
        """Return the node that publishes a camera, as its status says; None if none is known."""
        nodes = self.overview.nodes("camera", now)
        found = [node for node in nodes if camera in self._names_of(node)]

        def doubt(node: NodeState) -> tuple[bool, bool, int]:
            own = node.status.camera or ""
            # Whatever a node says: a region's name begins with that of its camera.
            return not node.is_online, camera != own and not camera.startswith(f"{own}."), node.doubt(own)

        return min(found, key=doubt, default=None)

    def is_live(self, camera: str, now: float) -> bool:
        """Return whether a camera's newest picture shows what is before it now."""
        node = self.camera_node(camera, now)
        if node is not None and (not node.is_online or camera in (node.status.still or ())):
            # While nothing moves, a camera may publish nothing.
            return node.is_online
        patience = max(_FRESH_S, _MISSED_FRAMES * median(self._gaps.get(camera, [0.0])))
        return now - self._pictured_at.get(camera, -math.inf) <= patience

    def frames(self, camera: str) -> CameraFrames:
        """Return the newest frames of a camera."""
        return self._cameras.get(camera) or CameraFrames()

    def votes(self, frame: SeenFrame, now: float) -> list[BoardVote]:
        """Return what each variant contributed to a frame's label, by variant."""
        # Of several boards with one variant, that of the vote is rather one that is online.
        boards = sorted(self.overview.nodes("variant", now), key=lambda node: node.is_online)
        nodes = {node.status.variant: node for node in boards}
        label = None if frame.label is None else frame.label.label
        family = {*frame.votes} if label is None else {*label.voted, *label.missing}
        return [self._vote(frame, variant, nodes.get(variant)) for variant in sorted(family)]

    def strip(self, variant: int) -> list[Outcome | None]:
        """Return what became of a variant's votes on the newest frames, oldest first; None: not asked, or no frame."""
        found: list[Outcome | None] = [
            outcome(seen.label, variant) if variant in (*seen.label.voted, *seen.label.missing) else None
            for seen in self._strip
        ]
        return [None] * (STRIP_FRAMES - len(found)) + found

    def _vote(self, frame: SeenFrame, variant: int, node: NodeState | None) -> BoardVote:
        vote, seen = frame.votes.get(variant), frame.label
        top = () if vote is None else tuple((self.names.name(vote.digest, index), p) for index, p in vote.top)
        agrees = None
        if top and seen is not None and seen.label.label is not None:
            agrees = top[0][0] == seen.label.label
        what = None if seen is None else outcome(seen.label, variant)
        is_late = vote is not None and seen is not None and what is not Outcome.VOTED
        late_ms = max(0.0, vote.at - seen.at) * 1000 if is_late and vote is not None and seen is not None else None
        return BoardVote(variant, node, what, top, agrees, late_ms)

    def _frames(self, camera: str) -> CameraFrames | None:
        frames = self._cameras.get(camera)
        if frames is None and len(self._cameras) < _MAX_CAMERAS:
            frames = self._cameras[camera] = CameraFrames()
        return frames

    @staticmethod
    def _names_of(node: NodeState) -> tuple[str, ...]:
        status = node.status
        return status.regions or (() if status.camera is None else (status.camera,))
