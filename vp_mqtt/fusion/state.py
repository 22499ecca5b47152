"""The state of a camera: the label that it has shown often enough. Pure: the clocks are passed in.

Labels flicker; automations need "the door is open since 18:02". The state changes to a label, or to unknown, when it is
`labels` of the last `window` labels. To leave a label takes more than that (`hysteresis`), and no state is left
within `dwell` seconds. After `timeout` seconds without a label that agrees with it, or when the last one that did is no
longer valid, if that is later, a state is unknown. Frames may be many per second, or few: a motion gate in the camera
lets none pass while nothing moves, but for a heartbeat.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

_APART_S = 0.001
"""A state begins so much later than the one before it, in s: its beginning tells it from others."""


@dataclass(frozen=True, slots=True)
class StateRules:
    """When a state changes.

    Attributes:
        labels: so many of the last labels make a state; at least 1.
        window: so many labels are the last ones; at least `labels`.
        hysteresis: so many more labels it takes to leave a label than to leave unknown.
        dwell: a state lasts at least so long, in s.
        timeout: without a label that agrees with it for so long, in s, a state becomes unknown, but not before the last
            one that did is no longer valid; at least `dwell`.
    """

    labels: int
    window: int
    hysteresis: int
    dwell: float
    timeout: float

    def __post_init__(self) -> None:
        """Check the rules.

        Raises:
            ValueError: they contradict each other.
        """
        if not 1 <= self.labels <= self.labels + self.hysteresis <= self.window:
            raise ValueError(
                f"{self.labels} + {self.hysteresis} labels can never agree in a window of {self.window}: widen it"
            )
        if not 0 <= self.dwell <= self.timeout:
            raise ValueError(f"a state that lasts {self.dwell:g} s cannot time out after {self.timeout:g} s")


@dataclass(frozen=True, slots=True)
class SeenLabel:
    """What one frame's label says.

    Attributes:
        name: the class name; None for a picture of no known class.
        confidence: 0..1.
        variants: that agree with it.
        valid_for: how long the label is valid, in s: no state times out sooner than its newest label.
    """

    name: str | None
    confidence: float
    variants: frozenset[int] = frozenset()
    valid_for: float = 0.0


@dataclass(frozen=True, slots=True)
class CameraState:
    """A camera's state.

    Attributes:
        label: the class name; None for unknown.
        since: when it began, in s since 1970.
        previous: the state before, as `label`; None also for the first.
        confidence: mean of the labels that made the state, 0..1; None for unknown.
        agreeing: the variants that agreed with one of them, in ascending order.
        is_timeout: whether it is unknown because no label agreed with the last one for long.
    """

    label: str | None
    since: float
    previous: str | None = None
    confidence: float | None = None
    agreeing: tuple[int, ...] = ()
    is_timeout: bool = False


class StateMachine:
    """The state of one camera.

    Of the clocks, `now` is monotonic, in s, and decides; `wall`, in s since 1970, is only what `since` tells.
    """

    def __init__(self, rules: StateRules, now: float, before: CameraState | None = None) -> None:
        """Begin undecided: the first state is there when the labels, or the time-out, have decided on one.

        Args:
            rules: when the state changes.
            now: on the monotonic clock.
            before: the last state that was published before this process began: if the first one has the same label,
                it is that one still, and nothing has changed.
        """
        self._rules = rules
        self._before = before
        self._last: deque[SeenLabel] = deque(maxlen=rules.window)
        self._state: CameraState | None = None
        self._changed_at = float("-inf")
        self._agreed_at = now
        # For how long the labels that count are valid, in s: nothing times out sooner.
        self._valid_for = 0.0

    @property
    def state(self) -> CameraState | None:
        """The state; None while it is undecided."""
        return self._state

    @property
    def patience(self) -> float:
        """After how many s without a label that agrees with it the state times out."""
        return max(self._rules.timeout, self._valid_for)

    def set_rules(self, rules: StateRules) -> None:
        """Follow other rules from now on: the state stays, and so do its last labels, as many as count now."""
        self._rules = rules
        self._last = deque(self._last, maxlen=rules.window)

    def note(self, label: SeenLabel, now: float, wall: float) -> CameraState | None:
        """Note a frame's label; return the state if it has changed."""
        timed_out = self._expire(now, wall)
        self._last.append(label)
        if self._state is None:
            self._valid_for = max(self._valid_for, self._rules.labels * label.valid_for)
        elif label.name == self._state.label:
            self._agreed_at = now
            self._valid_for = label.valid_for
        # One change at a time: the next one is due at once.
        return timed_out or self._decide(now, wall)

    def tick(self, now: float, wall: float) -> CameraState | None:
        """Return the state if it has changed with the time."""
        return self._expire(now, wall) or self._decide(now, wall)

    def next_due(self) -> float:
        """Return when `tick` may have something to say, on the monotonic clock; infinity if never without a label."""
        times_out = self._state is None or self._state.label is not None
        due = self._agreed_at + self.patience if times_out else float("inf")
        return min(due, self._changed_at + self._rules.dwell) if self._candidate() is not None else due

    def _expire(self, now: float, wall: float) -> CameraState | None:
        if now < self._agreed_at + self.patience or (self._state is not None and self._state.label is None):
            return None
        return self._change(CameraState(None, wall, is_timeout=True), now)

    def _decide(self, now: float, wall: float) -> CameraState | None:
        if now < self._changed_at + self._rules.dwell or (candidate := self._candidate()) is None:
            return None
        name = candidate.name
        agreeing = [label for label in self._last if label.name == name]
        mean = sum(label.confidence for label in agreeing) / len(agreeing)
        variants = sorted(frozenset[int]().union(*(label.variants for label in agreeing)))
        confidence = None if name is None else mean
        return self._change(CameraState(name, wall, confidence=confidence, agreeing=tuple(variants)), now)

    def _candidate(self) -> SeenLabel | None:
        """Return a label of what the state is about to become; None if it is to stay as it is."""
        state, rules = self._state, self._rules
        leaves_label = state is not None and state.label is not None
        needed = rules.labels + (rules.hysteresis if leaves_label else 0)
        if len(self._last) < needed:
            return None
        counts = Counter(label.name for label in self._last)
        enough = {name for name, count in counts.items() if count >= needed}
        if state is not None:
            enough.discard(state.label)
        if not enough:
            return None
        # Of two that have enough, the one with more evidence; and none against more evidence for another.
        weights = self._weights()
        best = max(enough, key=lambda name: (weights[name], counts[name], name or ""))
        if best is not None and weights[best] < max(weights.values()):
            return None
        return next(label for label in self._last if label.name == best)

    def _weights(self) -> dict[str | None, float]:
        """Return the sum of the confidences of each of the last labels, by name; that of unknown is 0."""
        sums: dict[str | None, float] = {}
        for label in self._last:
            sums[label.name] = sums.get(label.name, 0.0) + (0.0 if label.name is None else label.confidence)
        return sums

    def _change(self, state: CameraState, now: float) -> CameraState:
        last = self._state if self._state is not None else self._before
        if self._state is None and last is not None and last.label == state.label:
            self._state = last
        elif last is not None:
            # A wall clock may be set back: beginnings stay in order nevertheless, also when rounded to ms.
            since = max(state.since, round(last.since, 3) + _APART_S)
            self._state = replace(state, previous=last.label, since=since)
        else:
            self._state = state
        self._valid_for = max((one.valid_for for one in self._last if one.name == state.label), default=0.0)
        self._last.clear()
        self._changed_at = self._agreed_at = now
        return self._state
