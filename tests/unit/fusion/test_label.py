"""What a label message says of a window's result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fusing import manifest, windows_of
from vp_mqtt.fusion.label import Label, make_label
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.messages import ClassScore, LabelMessage
from vp_mqtt.protocol.votes import Vote

FAMILY = manifest((1.0, 3.0, 0.5), 6, name="three")
FRAME = FrameId(1, 7)


def vote(*pairs: tuple[int, float]) -> Vote:
    classes, probabilities = zip(*pairs, strict=True)
    return Vote(classes, probabilities, FAMILY.short_digest)


def result(votes: dict[int, Vote], next_within_s: float | None = None) -> WindowResult:
    """Return the result of a frame that was announced at 10.0 s and that was closed at 10.2512345 s."""
    windows, _ = windows_of(FAMILY, deadline=0.25)
    for variant in (0, 1, 2):
        windows.set_node(f"v{variant}", (FAMILY.short_digest, variant), 0.0)
    windows.announce("cam0", Announce(FRAME, captured=1234.5, truth="class 2", next_within_s=next_within_s), 10.0)
    for variant, one in votes.items():
        windows.vote("cam0", FRAME, variant, one, 10.1)
    (closed,) = windows.expire(10.2512345)
    return closed


def test_a_label_says_who_voted_on_what_and_how_sure_they_are() -> None:
    closed = result({1: vote((2, 0.6), (4, 0.4)), 0: vote((4, 0.5), (0, 0.25), (2, 0.125))})
    assert LabelMessage.decode(make_label(closed, valid_for_s=5.0).encode()) == LabelMessage(
        camera="cam0",
        frame=str(FRAME),
        label="class 2",
        class_index=2,
        # (1 x 0.125 + 3 x 0.6) / 4, and so on: the variants that are missing do not count.
        confidence=0.4812,
        score=round(closed.score or 0.0, 4),
        known_score=0.9688,
        top=(
            ClassScore(label="class 2", confidence=0.4812),
            ClassScore(label="class 4", confidence=0.425),
            ClassScore(label="class 0", confidence=0.0625),
        ),
        voted=(0, 1),
        missing=(2,),
        alive=(0, 1, 2),
        closed_by=ClosedBy.DEADLINE,
        latency_ms=251.235,
        captured=1234.5,
        valid_for_s=5.0,
        bundle="three",
        digest=FAMILY.short_digest.hex(),
        truth="class 2",
    )


def test_the_score_is_the_softmax_of_the_weighted_sums() -> None:
    label = make_label(result({0: vote((3, 1.0))}), valid_for_s=1.0)
    assert label.score == pytest.approx(np.e / (np.e + 5), abs=1e-4)
    assert label.confidence == 1.0


def test_of_more_classes_only_the_best_three_are_named_and_the_lower_of_equal_ones_comes_first() -> None:
    label = make_label(result({0: vote((5, 0.3), (1, 0.2), (3, 0.2), (0, 0.2), (2, 0.1))}), valid_for_s=1.0)
    assert [one["label"] for one in label.top] == ["class 5", "class 0", "class 1"]


def test_confidences_that_rounding_puts_over_one_are_one() -> None:
    label = make_label(result({0: vote((1, 1.0 + 1e-3))}), valid_for_s=1.0)
    assert label.confidence == 1.0


def test_a_frame_without_votes_has_a_label_without_a_class() -> None:
    label = make_label(result({}), valid_for_s=2.0)
    assert (label.label, label.class_index, label.confidence, label.score) == (None, None, None, None)
    assert (label.top, label.voted, label.missing) == ((), (), (0, 1, 2))
    assert (label.known, label.known_score) == (None, None)
    assert label.valid_for_s == 2.0


def test_votes_without_any_probability_give_a_label_that_nothing_speaks_for() -> None:
    label = make_label(result({0: vote((3, 0.0), (5, 0.0)), 1: vote((4, 0.0))}), valid_for_s=1.0)
    assert (label.label, label.class_index, label.confidence) == ("class 0", 0, 0.0)
    assert (label.known, label.known_score) == (None, 0.0)
    assert [one["label"] for one in label.top] == ["class 3", "class 4", "class 5"]


def test_an_unknown_frame_has_no_label_and_names_the_closest_classes() -> None:
    closed = result({0: vote((5, 0.3), (1, 0.2))})
    label = make_label(closed, valid_for_s=1.0, unknown=0.51)
    assert (label.known, label.known_score) == (False, 0.5)
    assert (label.label, label.class_index, label.confidence, label.score) == (None, None, None, None)
    assert [one["label"] for one in label.top] == ["class 5", "class 1"]
    assert label.voted == (0,)
    known = make_label(closed, valid_for_s=1.0, unknown=0.5)
    assert (known.known, known.label, known.confidence) == (True, "class 5", 0.3)


def test_none_is_never_a_label_nor_among_the_closest_classes() -> None:
    closed = result({0: vote((2, 0.6), (4, 0.3))})
    closed.family.manifest = FAMILY.model_copy(update={"classes": ("a", "b", "none", "d", "e", "f")})
    label = make_label(closed, valid_for_s=1.0)
    assert (label.known, label.label, [one["label"] for one in label.top]) == (False, None, ["e"])


def test_the_label_of_a_camera_whose_frames_come_seldom_is_valid_until_one_may_be_missing() -> None:
    votes = {0: vote((3, 1.0))}
    assert make_label(result(votes, 4.0), valid_for_s=5.0).valid_for_s == 10.0
    assert make_label(result(votes, 1.0), valid_for_s=5.0).valid_for_s == 5.0


SHARES = st.none() | st.floats(0, 1).map(lambda share: round(share, 4))
INDICES = st.lists(st.integers(0, 65_535), max_size=4).map(tuple)
TEXTS = st.sampled_from(["class 2", "T-shirt/top", "Schl\u00fcssel", 'in "quotes" \\', "\u732b \U0001f408"])
SECONDS = st.floats(0, 1e11) | st.sampled_from([0.0, 1e-7, 1.0, 1e11, 5e-324, 1764277200.123])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_label_is_encoded_byte_by_byte_as_the_message_is(data: st.DataObject) -> None:
    draw = data.draw
    voted = draw(INDICES)
    fields: dict[str, Any] = {
        "camera": "cam0",
        "frame": str(FrameId(draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**32 - 1)))),
        "label": draw(st.none() | TEXTS),
        "known": draw(st.none() | st.booleans()),
        "class_index": draw(st.none() | st.integers(0, 65_535)),
        "confidence": draw(SHARES),
        "score": draw(SHARES),
        "known_score": draw(SHARES),
        "top": tuple({"label": draw(TEXTS), "confidence": draw(SHARES) or 0.0} for _ in range(draw(st.integers(0, 3)))),
        "voted": voted,
        "missing": tuple(variant for variant in draw(INDICES) if variant not in voted),
        "alive": draw(INDICES),
        "closed_by": draw(st.sampled_from(ClosedBy)),
        "latency_ms": round(draw(st.floats(0, 1e8)), 3),
        "captured": draw(SECONDS),
        "valid_for_s": draw(SECONDS),
        "bundle": "three",
        "digest": "0123abcd",
        "owner": draw(st.none() | st.just("fusion-2")),
        "truth": draw(st.none() | TEXTS),
    }
    message = LabelMessage.model_validate(fields | {"top": tuple(ClassScore(**one) for one in fields["top"])})
    assert tuple(LabelMessage.model_fields) == Label._fields
    assert Label(**fields).encode() == message.encode()
