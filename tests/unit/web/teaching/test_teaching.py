"""Labelling, capturing and uploading, and the undoing of each."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.web.teaching.test_queue import look, queue_in, sight
from vp_mqtt.inference.pictures import Picture, encode_jpeg
from vp_mqtt.web.teaching.collection import Collection, CollectionError
from vp_mqtt.web.teaching.teaching import Teaching, Uploaded, advice


@pytest.fixture
def teaching(tmp_path: Path) -> Teaching:
    found = Teaching(queue_in(tmp_path), Collection(tmp_path / "pictures"))
    found.collection.open()
    for name in ("cup", "spoon"):
        found.create(name)
    for number in range(4):
        found.queue.offer(sight(number), b"picture %d" % number, look(number))
    return found


def counts(teaching: Teaching) -> dict[str, int]:
    return {one.name: len(one.pictures) for one in teaching.collection.classes()}


def numbers(teaching: Teaching) -> list[int]:
    return sorted(one.number for one in teaching.queue.page(50))


def plain(blue: int) -> Picture:
    return np.full((48, 64, 3), (blue, 90, 90), np.uint8)


def test_frames_are_labelled_many_at_once_and_come_back(teaching: Teaching) -> None:
    first, second, third, fourth = numbers(teaching)
    assert teaching.label([first, second, 999], "cup") == 2
    assert teaching.dismiss([third, second]) == 1
    assert (counts(teaching), numbers(teaching)) == ({"cup": 2, "spoon": 0}, [fourth])
    assert teaching.collection.path("cup", "cam0-1-0.jpg").read_bytes() == b"picture 0"
    assert teaching.actions.undo() == "1 frame dismissed"
    assert teaching.actions.undo() == "2 frames into 'cup'"
    assert (counts(teaching), numbers(teaching)) == ({"cup": 0, "spoon": 0}, [first, second, third, fourth])


def test_a_label_that_cannot_be_kept_leaves_everything_as_it_was(
    teaching: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers(teaching)
    with pytest.raises(CollectionError, match="no class 'fork'"):
        teaching.label(before, "fork")

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(teaching.queue, "put", fail)
        with pytest.raises(sqlite3.OperationalError):
            teaching.label(before, "cup")
    assert (counts(teaching), numbers(teaching)) == ({"cup": 0, "spoon": 0}, before)


def test_a_burst_has_no_near_duplicates_and_is_undone_as_one(teaching: Teaching) -> None:
    grain = np.random.default_rng(0).integers(-2, 3, (48, 64, 3))
    shown = [plain(10), np.clip(plain(10) + grain, 0, 255).astype(np.uint8), plain(90), plain(170)]
    kept = [teaching.capture("cup", "cam0", f"1-{n}", encode_jpeg(one, 90)) for n, one in enumerate(shown)]
    assert kept == [True, False, True, True]
    assert teaching.actions.last() == "3 pictures captured into 'cup'"
    teaching.capture("spoon", "cam0", "1-9", encode_jpeg(plain(10), 90))
    assert teaching.actions.undo() == "1 picture captured into 'spoon'"
    teaching.actions.undo()
    assert counts(teaching) == {"cup": 0, "spoon": 0}


def test_what_is_uploaded_is_jpeg_or_png_that_can_be_decoded(teaching: Teaching) -> None:
    jpeg = encode_jpeg(plain(10), 90)
    png = cv2.imencode(".png", plain(10))[1].tobytes()
    bmp = cv2.imencode(".bmp", plain(10))[1].tobytes()
    assert teaching.upload("cup", [jpeg, png, bmp, b"<svg onload=alert(1)>", jpeg[:200], b""]) == Uploaded(
        added=2, unusable=4, repeated=0
    )
    assert {Path(one).suffix for one in teaching.collection.get("cup").pictures} == {".jpg", ".png"}
    teaching.actions.undo()
    assert counts(teaching)["cup"] == 0


def test_a_picture_that_a_class_has_is_not_uploaded_again(teaching: Teaching) -> None:
    first, second = (encode_jpeg(plain(grey), 90) for grey in (10, 200))
    assert teaching.upload("cup", [first, first]) == Uploaded(added=1, unusable=0, repeated=1)
    assert teaching.upload("cup", [second, first]) == Uploaded(added=1, unusable=0, repeated=1)
    assert teaching.upload("spoon", [first]).added == 1
    teaching.actions.undo()
    teaching.actions.undo()
    assert teaching.upload("cup", [second]).added == 1


def test_classes_and_pictures_are_changed_and_all_of_it_is_undone(teaching: Teaching) -> None:
    teaching.label(numbers(teaching)[:2], "cup")
    assert teaching.move("cup", ["cam0-1-0.jpg"], "spoon") == 1
    assert teaching.delete("cup", ["cam0-1-1.jpg"]) == 1
    teaching.rename("cup", "mug")
    teaching.delete_class("spoon")
    assert counts(teaching) == {"mug": 0}
    while teaching.actions.undo() is not None:
        pass
    assert (counts(teaching), len(numbers(teaching))) == ({}, 4)


def test_advice_says_how_many_more() -> None:
    assert [advice(number) for number in (0, 4, 5, 19, 20, 60)] == [
        "5 more needed",
        "1 more needed",
        "15 more would help much",
        "1 more would help much",
        "",
        "plenty",
    ]
