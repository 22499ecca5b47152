"""Class folders: what can be done with them, and what cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from vp_mqtt.web.teaching.collection import DELETED, Collection, CollectionError


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    for name, count in (("cup", 3), ("spoon", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"%s %d" % (name.encode(), number))
    return Collection(tmp_path)


def counts(collection: Collection) -> dict[str, int]:
    return {one.name: len(one.pictures) for one in collection.classes()}


def test_a_users_folders_are_the_classes(collection: Collection) -> None:
    (collection.folder / "cup" / "more").mkdir()
    (collection.folder / "cup" / "more" / "x.PNG").write_bytes(b"x")
    (collection.folder / "cup" / ".hidden.jpg").write_bytes(b"x")
    (collection.folder / ".git").mkdir()
    assert counts(collection) == {"cup": 4, "spoon": 2}
    assert collection.path("cup", "more/x.PNG").read_bytes() == b"x"


def test_pictures_are_added_moved_deleted_and_come_back(collection: Collection) -> None:
    assert collection.add("cup", b"new", "0.jpg").name == "0-2.jpg"
    moved = collection.move("cup", ["0.jpg", "gone.jpg"], "spoon")
    assert (counts(collection), collection.path("spoon", "0-2.jpg").read_bytes()) == ({"cup": 3, "spoon": 3}, b"cup 0")
    moved.undo()
    assert collection.path("cup", "0.jpg").read_bytes() == b"cup 0"
    deleted = collection.delete("spoon", ["0.jpg", "1.jpg"])
    assert counts(collection)["spoon"] == 0
    deleted.undo()
    assert counts(collection) == {"cup": 4, "spoon": 2}


def test_classes_are_created_renamed_deleted_and_come_back(collection: Collection) -> None:
    assert collection.create(" Löffel ") == "Löffel"
    renamed = collection.rename("cup", "Cup")
    assert counts(collection) == {"Cup": 3, "Löffel": 0, "spoon": 2}
    renamed.undo()
    deleted = collection.delete_class("cup")
    assert counts(collection) == {"Löffel": 0, "spoon": 2}
    assert not (collection.folder / "cup").exists()
    deleted.undo()
    assert counts(collection)["cup"] == 3


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", "x" * 200, "CUP", "train", "Val", "\u202ex"],
)
def test_names_that_cannot_be_folders_are_refused(collection: Collection, name: str) -> None:
    with pytest.raises(CollectionError):
        collection.create(name)
    with pytest.raises(CollectionError):
        collection.rename("spoon", name)
    assert counts(collection) == {"cup": 3, "spoon": 2}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "systems and tools") for name in ("CVS", "@tmp", "lost+found", "__pycache__", "#recycle", "License")),
        ("System Volume Information", "systems and tools"),
        *((name, "invisible characters") for name in ("cup\u202eback", "a\nb", "a\ud800")),
        ("x" * 300, "too long"),
        *((name, "without / and") for name in ("", "a/b", ".cup")),
    ],
)
def test_why_a_name_is_refused_is_said(collection: Collection, name: str, why: str) -> None:
    with pytest.raises(CollectionError, match=why):
        collection.create(name)


@pytest.mark.parametrize("picture", ["../spoon/0.jpg", "/etc/passwd", "..", "", "0.jpg/", ".hidden.jpg"])
def test_nothing_but_its_pictures_is_reached_through_a_class(collection: Collection, picture: str) -> None:
    with pytest.raises(CollectionError):
        collection.path("cup", picture)
    assert collection.move("cup", [picture], "spoon").places == ()
    assert collection.delete("cup", [picture]).places == ()
    for name in ("..", ".", DELETED, "nothing", ""):
        with pytest.raises(CollectionError):
            collection.get(name)


def test_what_was_deleted_is_kept_for_a_while_only(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.web.teaching.collection._MOST_DELETED", 3)
    for number in range(5):
        collection.add("cup", b"more", f"more-{number}.jpg")
        collection.delete("cup", [f"more-{number}.jpg"])
    assert len(list((collection.folder / DELETED).iterdir())) == 3
    assert counts(collection) == {"cup": 3, "spoon": 2}
