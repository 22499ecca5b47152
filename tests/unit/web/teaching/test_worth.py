"""What a frame is worth a look, and how many are kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.labels import label
from vp_mqtt.protocol.messages import ClassScore, LabelMessage
from vp_mqtt.web.teaching.worth import LEAST_WORTH, Pace, Reason, worth_of

VOTES = st.lists(st.integers(0, 5), max_size=12)


def said(first: float, second: float, *, known: bool | None = None) -> LabelMessage:
    top = (ClassScore(label="Coat", confidence=first), ClassScore(label="Bag", confidence=second))
    return label(None if known is False else "Coat").model_copy(update={"top": top, "known": known})


SHARES = st.floats(0, 1)


@given(first=SHARES, second=SHARES, known=st.sampled_from([None, True, False]), votes=VOTES, changed=st.booleans())
def test_a_score_is_a_share_and_a_further_reason_never_lowers_it(
    first: float, second: float, *, known: bool | None, votes: list[int], changed: bool
) -> None:
    frame = said(max(first, second), min(first, second), known=known)
    found = worth_of(frame, votes, has_changed=changed)
    assert 0 <= found.score <= 1
    assert worth_of(frame, votes, has_changed=True).score >= found.score
    unknown = frame.model_copy(update={"known": False})
    assert worth_of(unknown, votes, has_changed=changed).score >= found.score
    assert worth_of(frame, votes[:1], has_changed=changed).score <= found.score


@given(st.floats(0.9, 1), st.integers(1, 12))
def test_what_all_boards_are_sure_of_is_not_worth_a_look(confidence: float, boards: int) -> None:
    found = worth_of(said(confidence, 0, known=True), [3] * boards, has_changed=False)
    assert (found.score < LEAST_WORTH, found.reasons) == (True, ())


def test_each_reason_alone_is_enough() -> None:
    sure = said(1, 0, known=True)
    alone = [
        worth_of(sure, [1, 1, 2], has_changed=False),
        worth_of(said(1, 0, known=False), [1, 1], has_changed=False),
        worth_of(said(0.5, 0.4), [1, 1], has_changed=False),
        worth_of(sure, [1, 1], has_changed=True),
    ]
    assert [one.reasons for one in alone] == [
        (Reason.DISPUTED,),
        (Reason.UNKNOWN,),
        (Reason.UNSURE,),
        (Reason.CHANGED,),
    ]
    assert min(one.score for one in alone) >= LEAST_WORTH


def test_a_label_without_the_next_class_is_as_sure_as_its_confidence() -> None:
    assert worth_of(label("Coat"), [3], has_changed=False).score < LEAST_WORTH
    assert worth_of(label(None), [], has_changed=False).score == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=200),
    st.floats(1, 120),
    st.integers(1, 10),
)
def test_no_camera_exceeds_its_pace(events: list[tuple[str, float]], per_minute: float, at_once: int) -> None:
    pace, now = Pace(per_minute=per_minute, at_once=at_once), 0.0
    taken: dict[str, list[float]] = {}
    for camera, passed in events:
        now += passed
        if pace.take(camera, now):
            taken.setdefault(camera, []).append(now)
    for times in taken.values():
        for first, start in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= at_once + (times[last] - start) * per_minute / 60 + 1e-6


def test_a_flood_of_cameras_is_not_remembered() -> None:
    pace = Pace(per_minute=1, at_once=1, cameras=2)
    assert [pace.take(name, 0.0) for name in "abca"] == [True, True, False, False]
    assert pace.take("a", 61.0)
