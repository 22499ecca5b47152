"""From announces and votes to one result per frame. Pure: the clock is passed in.

A window opens with the frame's announce or its first vote. A family's votes are closed at the first of: every variant
known to be alive has voted; no outstanding vote can change the winner; the deadline. Results come out in frame order
per camera, exactly one for every announced frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.handover import Handover, Place
from vp_mqtt.fusion.open_windows import OpenWindows
from vp_mqtt.fusion.window import FamilyVotes, Window, WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote


class Windows:
    """The windows of all cameras.

    Every method that takes `now`, a monotonic clock in s that never goes back, returns the results that are due, those
    of each camera in the order in which its labels are to be published.

    Attributes:
        counts: what became of the messages: "announced", "votes", "late" (votes after closing), "duplicate_votes",
            "duplicate_announces", "unannounced" (windows without an announce), "suspected" (variants) and "refused"
            (too many cameras or open windows).
    """

    def __init__(
        self,
        handover: Handover,
        *,
        deadline: float,
        max_cameras: int = 256,
        max_open: int = 4096,
        history: int = 1024,
    ) -> None:
        """Start without windows.

        Args:
            handover: the families whose votes can be fused, at least one by the first announce or vote.
            deadline: of a window, in s after it opened, greater than 0.
            max_cameras: cameras that are remembered; the one idle for longest makes room for a new one.
            max_open: windows open at a time.
            history: finished frames remembered per camera, to recognise late votes and duplicates.
        """
        self.counts: Counter[str] = Counter()
        self._handover = handover
        self._deadline = deadline
        self._open = OpenWindows(max_cameras=max_cameras, max_open=max_open, history=history, counts=self.counts)

    def add_family(self, manifest: Manifest, now: float) -> list[WindowResult]:
        """Fuse the votes of a further family from now on, if need be in place of another."""
        removed = self._handover.add(manifest)
        if removed is None:
            return []
        self._open.forget_family(removed.digest)
        windows = [window for window in self._open if removed.digest in window.by_family]
        for window in windows:
            if window.announce is None:
                del window.by_family[removed.digest]
            else:
                window.by_family[removed.digest].close(ClosedBy.DEADLINE, now)
        return self._release(windows)

    def announce(self, camera: str, announce: Announce, now: float) -> list[WindowResult]:
        """Handle a camera's announce."""
        window = self._open.find(camera, announce.frame)
        is_duplicate = window is not None and window.announce is not None
        if is_duplicate or self._open.finished(camera, announce.frame) is not None:
            self.counts["duplicate_announces"] += 1
            return []
        if window is None:
            window = self._open.open(camera, announce.frame, now)
        if window is None:
            return []
        window.announce = announce
        self.counts["announced"] += 1
        self._open.camera(window).enqueue(window)
        touched = [window]
        for family in self._handover.families():
            for variant in window.votes_of(family).votes:
                touched += self._pass_over(window.camera, window.frame, family, variant)
        return self._settle(touched, now)

    def vote(self, camera: str, frame: FrameId, variant: int, vote: Vote, now: float) -> list[WindowResult]:
        """Handle a variant's vote, which has been checked against the family that it names.

        Raises:
            KeyError: no such family is known.
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        family = self._handover.find(vote.digest)
        if family is None:
            raise KeyError(vote.digest)
        opened = self._open.finished(camera, frame)
        if opened is not None:
            return self._late(camera, frame, family, variant, opened=opened, now=now)
        window = self._open.find(camera, frame) or self._open.open(camera, frame, now)
        if window is None:
            return []
        votes = window.votes_of(family)
        if not votes.is_open:
            return self._late(camera, frame, family, variant, opened=window.opened, now=now)
        if variant in votes.votes:
            self.counts["duplicate_votes"] += 1
            return []
        votes.add(variant, vote)
        self.counts["votes"] += 1
        family.liveness.note_vote(variant, now)
        older = self._pass_over(camera, frame, family, variant) if window.announce is not None else []
        return self._settle([*older, window], now)

    def set_node(self, node: str, place: Place | None, now: float) -> list[WindowResult]:
        """Handle a variant node's status, see `Handover.set_node`: windows stop waiting for a variant that is gone."""
        return self._settle(self._open, now) if self._handover.set_node(node, place, now) else []

    def suspect(self, variant: int, now: float) -> list[WindowResult]:
        """Stop waiting for a variant, in every family, until a vote of it arrives in time."""
        self._handover.suspect(variant)
        return self._settle(self._open, now)

    def expire(self, now: float) -> list[WindowResult]:
        """Close the windows whose deadline has passed."""
        due = self._open.due(now, self._deadline)
        has_suspects = False
        for window in due:
            for votes in window.open_votes():
                for variant in self._outstanding(window, votes):
                    has_suspects |= self._note_missed(votes.family, variant)
        by_camera: dict[str, list[Window]] = {}
        for window in due:
            if window.announce is None:
                self._open.remove(window)
            else:
                by_camera.setdefault(window.camera, []).append(window)
        touched: list[Window] = []
        for camera, windows in by_camera.items():
            # No label comes later than its deadline, and none before an older frame's: that window closes with it.
            touched += self._open.frames(camera).up_to(windows)
        for window in touched:
            window.close(ClosedBy.DEADLINE, now)
        return self._settle([*touched, *self._open] if has_suspects else touched, now)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, on the caller's clock; None while no window is open."""
        first = self._open.first()
        return None if first is None else first.opened + self._deadline

    def _late(
        self, camera: str, frame: FrameId, family: Family, variant: int, *, opened: float, now: float
    ) -> list[WindowResult]:
        self.counts["late"] += 1
        # Late only because nothing waited for it: had the votes been open until the deadline, it would count.
        if now - opened <= self._deadline:
            family.liveness.note_vote(variant, now)
        return self._settle(self._pass_over(camera, frame, family, variant), now)

    def _pass_over(self, camera: str, frame: FrameId, family: Family, variant: int) -> list[Window]:
        """Note a vote on an announced frame; return the windows of older frames, which stop waiting for the variant."""
        frames = self._open.frames(camera)
        frames.note_vote(family.digest, variant, frame)
        return frames.older(frame)

    def _passed(self, window: Window, votes: FamilyVotes) -> set[int]:
        return self._open.camera(window).passed(votes.family.digest, window.frame)

    def _outstanding(self, window: Window, votes: FamilyVotes) -> set[int]:
        return votes.outstanding(window.opened, self._passed(window, votes))

    def _note_missed(self, family: Family, variant: int) -> bool:
        becomes_suspected = family.liveness.note_missed(variant)
        self.counts["suspected"] += becomes_suspected
        return becomes_suspected

    def _settle(self, windows: Iterable[Window], now: float) -> list[WindowResult]:
        """Close the votes that need not wait any longer, and return the results that are due."""
        announced = [window for window in windows if window.announce is not None]
        for window in announced:
            for votes in window.open_votes():
                reason = votes.reason_to_close(window.opened, self._passed(window, votes))
                if reason is not None:
                    votes.close(reason, now)
        return self._release(announced)

    def _release(self, windows: Iterable[Window]) -> list[WindowResult]:
        """Return the results that are due after these windows changed, and remove the windows that are finished."""
        # Under another leader, results that were not good enough before may be now.
        changed = list(self._open) if self._handover.update_leader() else list(windows)
        for window in changed:
            window.decide(self._handover.leader)
        results: list[WindowResult] = []
        for camera in dict.fromkeys(window.camera for window in changed):
            for window in self._open.frames(camera).release():
                window.is_labelled = True
                changed.append(window)
                if window.result is not None:
                    results.append(window.result)
        for window in changed:
            # Other families' votes may still come: their silent variants are noticed at the deadline.
            if window.is_labelled and not any(self._outstanding(window, votes) for votes in window.open_votes()):
                self._open.remove(window)
        return results
