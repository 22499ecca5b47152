"""From announces and votes to one result per frame. Pure: the clock is passed in.

A window opens with the frame's announce, with the votes that came before it. A family's votes are closed at the first
of: every variant known to be alive has voted; no outstanding vote can change the winner; the deadline. Results come out
in frame order per camera, exactly one for every announced frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.cameras import Cameras
from vp_mqtt.fusion.early_votes import EarlyVote, EarlyVotes
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.handover import Handover, Place
from vp_mqtt.fusion.open_windows import OpenWindows
from vp_mqtt.fusion.window import FamilyVotes, Finished, Window, WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote


class Windows:
    """The windows of all cameras.

    Every method that takes `now`, a monotonic clock in s that never goes back, returns the results that are due, those
    of each camera in the order in which its labels are to be published.

    Attributes:
        cameras: the cameras that are known.
        deadline: of a window, in s after it opened.
        counts: what became of the messages: "announced", "votes", "late" (votes after closing), "overdue" (those of
            them that came after the deadline), "duplicate_votes" (also after closing), "duplicate_announces",
            "unannounced" (votes on frames that were not announced in time), "suspected" (times that a variant became
            suspected), "refused" (too many cameras or open windows) and "abandoned" (frames left without a label).
    """

    def __init__(
        self,
        handover: Handover,
        *,
        deadline: float,
        cameras: Collection[str] | None = None,
        max_cameras: int = 256,
        max_open: int = 4096,
        history: int = 1024,
    ) -> None:
        """Start without windows.

        Args:
            handover: the families whose votes can be fused, at least one by the first announce or vote.
            deadline: of a window, in s after it opened, greater than 0.
            cameras: the only ones whose frames get labels; None for those that come first.
            max_cameras: cameras that are known at a time, where they are not given.
            max_open: windows open at a time; a single camera can have a quarter of them.
            history: finished frames remembered per camera, to recognise late votes on them.
        """
        self.counts: Counter[str] = Counter()
        self._handover = handover
        self.deadline = deadline
        self._early = EarlyVotes(keep_s=deadline, counts=self.counts)
        self.cameras = Cameras(only=cameras, limit=max_cameras, history=history)
        self._open = OpenWindows(self.cameras, max_open=max_open, counts=self.counts)

    def add_family(self, manifest: Manifest, now: float) -> list[WindowResult]:
        """Fuse the votes of a further family from now on, if need be in place of another."""
        removed = self._handover.add(manifest)
        if removed is None:
            return []
        self._open.forget_family(removed.digest)
        self._early.forget_family(removed.digest)
        windows = [window for window in self._open if removed.digest in window.by_family]
        for window in windows:
            window.by_family[removed.digest].close(ClosedBy.DEADLINE, now)
        return self._release(windows)

    def announce(self, camera: str, announce: Announce, now: float) -> list[WindowResult]:
        """Handle a camera's announce."""
        window = self._open.open(camera, announce, now)
        if window is None:
            return []
        self.counts["announced"] += 1
        for family in self._handover.families():
            window.votes_of(family)
        touched = [window]
        for early in self._early.take(camera, announce.frame):
            family_votes = window.by_family[early.vote.digest]
            touched += self._count(window, family_votes, early.variant, early.vote, early.arrived)
        return self._settle(touched, now)

    def vote(
        self, camera: str, frame: FrameId, variant: int, vote: Vote, now: float, *, arrived: float | None = None
    ) -> list[WindowResult]:
        """Handle a variant's vote, which has been checked against the family that it names.

        It arrived at the time `arrived`, if that is not now.

        Raises:
            KeyError: no such family is known.
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        family = self._handover.find(vote.digest)
        if family is None:
            raise KeyError(vote.digest)
        early = EarlyVote(variant, vote, now if arrived is None else arrived)
        window = self._open.find(camera, frame)
        if window is None:
            return self._without_window(camera, frame, family, early, now)
        votes = window.votes_of(family)
        if not votes.is_open:
            return self._late(camera, frame, window.finished(), family=family, early=early, now=now)
        if variant in votes.votes:
            self.counts["duplicate_votes"] += 1
            return []
        return self._settle([*self._count(window, votes, variant, vote, early.arrived), window], now)

    def set_node(
        self, node: str, place: Place | None, now: float, *, arrived: float | None = None, is_heard: bool = True
    ) -> list[WindowResult]:
        """Handle a variant node's status, see `Handover.set_node`: windows stop waiting for a variant that is gone.

        The status arrived at the time `arrived`, if that is not now.
        """
        at = now if place is not None or arrived is None else arrived
        has_changed = self._handover.set_node(node, place, at, is_heard=is_heard)
        return self._settle(self._open, now) if has_changed else []

    def suspect(self, variant: int, now: float) -> list[WindowResult]:
        """Stop waiting for a variant, in every family, until a vote of it arrives in time."""
        self._handover.suspect(variant)
        return self._settle(self._open, now)

    def expire(self, now: float) -> list[WindowResult]:
        """Close the windows whose deadline has passed."""
        self._early.expire(now)
        due = self._open.due(now, self.deadline)
        if not due:
            return []
        suspected = 0
        for camera, family, variant in self._open.missed(due):
            suspected += family.liveness.note_missed(camera, variant)
        self.counts["suspected"] += suspected
        touched = self._open.up_to(due)
        for window in touched:
            window.close(ClosedBy.DEADLINE, now)
        return self._settle([*touched, *self._open] if suspected else touched, now)

    def abandon(self) -> None:
        """Leave the frames whose windows are open without labels."""
        self.counts["abandoned"] += self._open.abandon()

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, on the caller's clock; None while nothing waits."""
        first, early = self._open.first(), self._early.next_expiry()
        if first is None:
            return early
        due = first.opened + self.deadline
        return due if early is None else min(due, early)

    def _count(self, window: Window, votes: FamilyVotes, variant: int, vote: Vote, arrived: float) -> list[Window]:
        """Count a vote in time; return the windows of older frames, which stop waiting for the variant."""
        votes.add(variant, vote)
        window.voters.add(votes.family.digest, variant)
        self.counts["votes"] += 1
        votes.family.liveness.note_vote(window.camera, variant, arrived)
        return self._open.pass_over(window.camera, window.frame, window.order, (votes.family, variant))

    def _without_window(
        self, camera: str, frame: FrameId, family: Family, early: EarlyVote, now: float
    ) -> list[WindowResult]:
        """Handle a vote on a frame that is labelled already, or is yet to be announced."""
        known = self.cameras.find(camera)
        if known is None or not known.has_seen(frame):
            family.check(early.variant, early.vote)
            if not self._early.add(camera, frame, early, now):
                self.counts["duplicate_votes"] += 1
            return []
        finished = known.finished(frame)
        if finished is None:
            self.counts["late"] += 1
            return []
        return self._late(camera, frame, finished, family=family, early=early, now=now)

    def _late(
        self, camera: str, frame: FrameId, finished: Finished, *, family: Family, early: EarlyVote, now: float
    ) -> list[WindowResult]:
        if not finished.voters.add(family.digest, early.variant):
            self.counts["duplicate_votes"] += 1
            return []
        self.counts["late"] += 1
        # Late only because nothing waited for it: had the votes been open until the deadline, it would count.
        if now - finished.opened > self.deadline:
            self.counts["overdue"] += 1
        else:
            family.liveness.note_vote(camera, early.variant, early.arrived)
        return self._settle(self._open.pass_over(camera, frame, finished.order, (family, early.variant)), now)

    def _settle(self, windows: Iterable[Window], now: float) -> list[WindowResult]:
        """Close the votes that need not wait any longer, and return the results that are due."""
        # Where nothing is closed that was open, nothing follows.
        return self._release([one for one in windows if self._open.close_votes(one, now) or one.is_labelled])

    def _release(self, windows: Iterable[Window]) -> list[WindowResult]:
        """Return the results that are due after these windows changed, and remove the windows that are finished."""
        # Under another leader, results that were not good enough before may be now.
        changed = list(self._open) if self._handover.update_leader() else list(windows)
        if not changed:
            return []
        for window in changed:
            window.decide(self._handover.leader)
        results: list[WindowResult] = []
        for camera in dict.fromkeys(window.camera for window in changed):
            for window in self.cameras[camera].release():
                window.is_labelled = True
                changed.append(window)
                if window.result is not None:
                    results.append(window.result)
        for window in changed:
            # Other families' votes may still come: their silent variants are noticed at the deadline.
            if window.is_labelled and not any(self._open.outstanding(window, votes) for votes in window.open_votes()):
                self._open.remove(window)
        return results
