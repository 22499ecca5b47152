from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.labels import label
from vp_mqtt.overview.frames import CameraFrames, SeenVote
from vp_mqtt.overview.site_overview import SeenLabel

VOTE = SeenVote(((3, 0.9), (1, 0.1)), "0000002a", at=1.0)


def labelled(frame: str, name: str | None = "Coat") -> SeenLabel:
    return SeenLabel(label(name).model_copy(update={"frame": frame}), at=2.0, wall_time=1000.0)


def test_a_label_finds_the_picture_and_the_votes_of_its_frame_whatever_came_first() -> None:
    frames = CameraFrames()
    frames.note_vote("1-1", 0, VOTE)
    frames.note_label(labelled("1-1"))
    frames.note_picture("1-1", b"one")
    frames.note_picture("1-2", b"two")
    shown = frames.shown()
    assert shown is not None
    assert (shown.frame, shown.picture, set(shown.votes)) == ("1-1", b"one", {0})


def test_without_a_label_the_newest_picture_is_shown() -> None:
    frames = CameraFrames()
    assert frames.shown() is None
    for number in range(3):
        frames.note_picture(f"1-{number}", b"picture")
    shown = frames.shown()
    assert shown is not None
    assert shown.frame == "1-2"


def test_the_first_vote_of_a_variant_counts() -> None:
    frames = CameraFrames()
    frames.note_announce("1-1", 0.5)
    frames.note_vote("1-1", 0, VOTE)
    seen = frames.note_vote("1-1", 0, SeenVote(((7, 1.0),), "0000002a", at=9.0))
    assert seen is not None
    assert seen.votes[0] is VOTE
    assert seen.response_ms(0) == 500.0


def test_votes_on_frames_that_nobody_announced_push_out_no_frame() -> None:
    frames = CameraFrames()
    frames.note_picture("1-1", b"real")
    frames.note_label(labelled("1-1"))
    for number in range(1000):
        frames.note_vote(f"2-{number}", 0, VOTE)
    shown = frames.shown()
    assert shown is not None
    assert shown.picture == b"real"
    assert len(frames) == 1


def test_the_picture_of_a_label_is_the_newest_that_is_still_there() -> None:
    frames = CameraFrames()
    for number, name in enumerate(["Coat", "Bag", "Coat", None]):
        frames.note_picture(f"1-{number}", bytes([number]))
        frames.note_label(labelled(f"1-{number}", name))
    coat, unknown = frames.picture_of("Coat"), frames.picture_of(None)
    assert coat is not None
    assert unknown is not None
    assert (coat.frame, unknown.frame) == ("1-2", "1-3")
    assert frames.picture_of("Shirt") is None


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["picture", "announce", "vote", "label", "forget"]), st.integers(0, 200), st.integers(0, 300)
    ),
    max_size=300,
)


@given(EVENTS)
def test_whatever_arrives_memory_is_bounded_and_the_bytes_are_counted_right(
    events: list[tuple[str, int, int]],
) -> None:
    frames = CameraFrames()
    for kind, number, size in events:
        name = f"1-{number}"
        match kind:
            case "picture":
                frames.note_picture(name, bytes(size))
            case "announce":
                frames.note_announce(name, 1.0)
            case "vote":
                frames.note_vote(name, size, VOTE)
            case "label":
                frames.note_label(labelled(name))
            case _:
                frames.forget_oldest_picture()
        kept = [seen for n in range(201) if (seen := frames.get(f"1-{n}")) is not None]
        assert len(kept) == len(frames) <= 64
        pictures = [seen.picture for seen in kept if seen.picture is not None]
        assert len(pictures) <= 8
        assert sum(map(len, pictures)) == frames.picture_bytes
        assert all(len(seen.votes) <= 256 for seen in kept)
