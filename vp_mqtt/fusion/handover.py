"""Several bundles at one site, while its boards go from one to the next. Pure: the clock is passed in.

Every bundle has windows of its own, and a vote goes to those of the bundle that it names: votes of two bundles are
never added up. A frame's label is that of the *leading* bundle, the one with most of its weight alive; where the
leading bundle has no vote on a frame, it is that of the bundle with most of its weight in votes. Labels come out in
frame order per camera, exactly one for every announced frame.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.windows import Closed, Windows
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.votes import Vote

_OWN_COUNTS = ("announced", "duplicate_announces", "unannounced")
_MAX_FAMILIES = 3


@dataclass(frozen=True, eq=False)
class Family:
    """A bundle and its windows.

    Attributes:
        manifest: the bundle's.
        weights: of each variant's vote, by index.
        windows: of the frames that were announced while the bundle was known.
    """

    manifest: Manifest
    weights: list[float]
    windows: Windows

    def share(self, variants: set[int]) -> float:
        """Return the share of the family's weight that these variants have, 0..1."""
        return sum(self.weights[v] for v in variants) / sum(self.weights)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A frame's outcome, and the family whose votes it comes from."""

    family: Family
    closed: Closed


@dataclass(eq=False, slots=True)
class _Frame:
    camera: str
    waiting: set[bytes]
    closed: dict[bytes, Outcome] = field(default_factory=dict)
    chosen: Outcome | None = None


class Families:
    """The bundles that a fusion node knows, by their short digest, and the frames they are asked about.

    Methods that take `now`, a monotonic clock in s, return the outcomes whose labels are due, in their order.
    """

    def __init__(self, manifest: Manifest, *, deadline: float, suspect_after: int) -> None:
        """Start with one bundle, which leads.

        Args:
            manifest: the bundle's.
            deadline: of a window, in s after it opened, greater than 0.
            suspect_after: frames in a row without a vote after which a variant is no longer waited for.
        """
        self._deadline = deadline
        self._suspect_after = suspect_after
        self._families: dict[bytes, Family] = {}
        self._nodes: dict[str, tuple[bytes, int]] = {}
        # By camera and frame, in the order of their announces; dicts keep it.
        self._frames: dict[str, dict[FrameId, _Frame]] = {}
        self._own: Counter[str] = Counter()
        self._past: Counter[str] = Counter()
        self._leader = self._settled_for = manifest.short_digest
        self.add(manifest, 0.0)

    @property
    def leader(self) -> Family:
        """The bundle with most of its weight alive; of equal ones, the one that led before."""
        best = self._families[self._leader]
        for family in self._families.values():
            if family.share(family.windows.roster.alive()) > best.share(best.windows.roster.alive()):
                best = family
        self._leader = best.manifest.short_digest
        return best

    def known(self) -> list[Manifest]:
        """Return the manifests of the bundles that are known."""
        return [family.manifest for family in self._families.values()]

    def elsewhere(self) -> dict[int, Manifest]:
        """Return the bundle of the variants whose nodes are online, but do not run the leading bundle."""
        leader = self.leader.manifest.short_digest
        return {v: self._families[d].manifest for d, v in self._nodes.values() if d != leader}

    def get(self, digest: bytes) -> Family | None:
        """Return the family with this short digest, None if it is not known."""
        return self._families.get(digest)

    def add(self, manifest: Manifest, now: float) -> list[Outcome]:
        """Know a bundle from now on; the one with the least weight alive makes room for a fourth."""
        digest = manifest.short_digest
        if digest in self._families:
            return []
        due: list[Outcome] = []
        if len(self._families) >= _MAX_FAMILIES:
            leader = self.leader
            idle = [family for family in self._families.values() if family is not leader]
            due = self._forget(min(idle, key=lambda family: family.share(family.windows.roster.alive())), now)
        weights = [variant.weight for variant in manifest.variants]
        windows = Windows(
            weights=weights,
            classes=len(manifest.classes),
            deadline=self._deadline,
            suspect_after=self._suspect_after,
        )
        self._families[digest] = Family(manifest, weights, windows)
        return due

    def _forget(self, family: Family, now: float) -> list[Outcome]:
        digest = family.manifest.short_digest
        # Nobody will look at its windows any more: what they have by now is their outcome.
        due = self._settle([(digest, outcome) for outcome in family.windows.expire(now + self._deadline)])
        del self._families[digest]
        self._past.update({k: n for k, n in family.windows.counts.items() if k not in _OWN_COUNTS})
        self._nodes = {node: place for node, place in self._nodes.items() if place[0] != digest}
        return due

    def announce(self, camera: str, announce: Announce, now: float) -> list[Outcome]:
        """Take a camera's word that it has published a frame."""
        taken: set[bytes] = set()
        closed: list[tuple[bytes, Closed]] = []
        duplicate = False
        for digest, family in self._families.items():
            before = family.windows.counts["announced"]
            twice = family.windows.counts["duplicate_announces"]
            closed += [(digest, outcome) for outcome in family.windows.announce(camera, announce, now)]
            if family.windows.counts["announced"] > before:
                taken.add(digest)
            duplicate |= family.windows.counts["duplicate_announces"] > twice
        if duplicate:
            self._own["duplicate_announces"] += 1
        elif taken:
            self._own["announced"] += 1
            self._insert(camera, announce.frame, _Frame(camera, taken))
        return self._settle(closed)

    def _insert(self, camera: str, frame: FrameId, entry: _Frame) -> None:
        frames = self._frames.setdefault(camera, {})
        # The windows' own order: announces of one run that overtook each other are put right.
        newer = [other for other in frames if other.run == frame.run and other > frame]
        frames[frame] = entry
        for other in newer:
            frames[other] = frames.pop(other)

    def vote(self, camera: str, frame: FrameId, variant: int, vote: Vote, now: float) -> list[Outcome]:
        """Take a variant's vote, which has been checked against the family that it names.

        Raises:
            KeyError: no such family is known.
        """
        family = self._families[vote.digest]
        return self._settle(
            [(vote.digest, outcome) for outcome in family.windows.vote(camera, frame, variant, vote, now)]
        )

    def set_node(self, node: str, place: tuple[bytes, int] | None, now: float) -> list[Outcome]:
        """Take a variant node's status.

        Args:
            node: its name.
            place: the short digest of a known bundle and the variant of it that the node runs; None when it is gone, or
                runs a bundle that is not known.
            now: the time.
        """
        closed: list[tuple[bytes, Closed]] = []
        before = self._nodes.pop(node, None)
        if place is not None:
            self._nodes[node] = place
            digest, variant = place
            windows = self._families[digest].windows
            closed += [(digest, outcome) for outcome in windows.set_node(node, variant, online=True, now=now)]
        if before is not None and (place is None or before[0] != place[0]):
            digest, variant = before
            windows = self._families[digest].windows
            closed += [(digest, outcome) for outcome in windows.set_node(node, variant, online=False, now=now)]
        return self._settle(closed)

    def suspect(self, variant: int, now: float) -> list[Outcome]:
        """No longer wait for a variant, whatever its bundle, until a vote of it arrives in time."""
        return self._settle(
            [
                (digest, closed)
                for digest, family in self._families.items()
                for closed in family.windows.suspect(variant, now)
            ]
        )

    def expire(self, now: float) -> list[Outcome]:
        """Close the windows whose deadline has fallen."""
        return self._settle(
            [(digest, outcome) for digest, family in self._families.items() for outcome in family.windows.expire(now)]
        )

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, on the caller's clock; None while no window is open."""
        dues = [family.windows.next_deadline() for family in self._families.values()]
        return min((due for due in dues if due is not None), default=None)

    @property
    def counts(self) -> Counter[str]:
        """What became of what arrived: as `Windows.counts`, each frame counted once."""
        total = self._past + self._own
        for family in self._families.values():
            total.update({k: n for k, n in family.windows.counts.items() if k not in _OWN_COUNTS})
        total["unannounced"] = self.leader.windows.counts["unannounced"]
        return total

    def _settle(self, closed: list[tuple[bytes, Closed]]) -> list[Outcome]:
        leader = self.leader.manifest.short_digest
        touched: dict[str, None] = {}
        for digest, outcome in closed:
            entry = self._frames.get(outcome.camera, {}).get(outcome.announce.frame)
            if entry is not None and entry.chosen is None:
                entry.waiting.discard(digest)
                entry.closed[digest] = Outcome(self._families[digest], outcome)
                self._choose(entry, leader)
                touched[outcome.camera] = None
        if leader != self._settled_for:
            # What it has closed already was not good enough while another bundle led.
            self._settled_for = leader
            for camera, frames in self._frames.items():
                for entry in frames.values():
                    self._choose(entry, leader)
                touched[camera] = None
        return [outcome for camera in touched for outcome in self._release(camera)]

    def _choose(self, entry: _Frame, leader: bytes) -> None:
        """Choose a frame's outcome, if that need not wait any longer."""
        leading = entry.closed.get(leader)
        if leading is not None and leading.closed.winner is not None:
            entry.chosen = leading
        elif not entry.waiting:
            by_votes = sorted(entry.closed, key=lambda digest: digest != leader)
            best = max(by_votes, key=lambda d: entry.closed[d].family.share(set(entry.closed[d].closed.votes)))
            entry.chosen = entry.closed[best]

    def _release(self, camera: str) -> list[Outcome]:
        frames = self._frames[camera]
        due: list[Outcome] = []
        for frame, entry in list(frames.items()):
            if entry.chosen is None:
                break
            due.append(entry.chosen)
            del frames[frame]
        if not frames:
            del self._frames[camera]
        return due
