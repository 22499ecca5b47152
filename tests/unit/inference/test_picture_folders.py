from __future__ import annotations

from pathlib import Path

import pytest

from vp_mqtt.inference.picture_folders import (
    CIRCULAR,
    DANGLING,
    OUTSIDE,
    UNREADABLE,
    describe_left_out,
    find_pictures,
    list_folders,
)


def create(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(files: list[Path], folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in files]


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".ppm"])
def test_pictures_are_found_at_any_depth(suffix: str, tmp_path: Path) -> None:
    create(tmp_path, f"1{suffix}", f"a/b/2{suffix}", f"a/3{suffix}")
    found = find_pictures(tmp_path)
    assert names(found.files, tmp_path) == [f"1{suffix}", f"a/3{suffix}", f"a/b/2{suffix}"]
    assert not found.left_out


def test_other_files_are_counted_by_kind(tmp_path: Path) -> None:
    create(tmp_path, "1.jpg", "2.heic", "3.HEIC", "a/4.gif", "a/5.txt", "6")
    found = find_pictures(tmp_path)
    assert names(found.files, tmp_path) == ["1.jpg"]
    assert found.left_out == {".heic": 2, ".gif": 1, ".txt": 1, "no suffix": 1}
    assert describe_left_out(found.left_out) == "2 .heic, 1 .gif, 1 .txt, 1 no suffix (convert pictures to JPEG)"
    assert describe_left_out({".txt": 1}) == "1 .txt"
    assert describe_left_out({}) == ""


@pytest.mark.parametrize(
    "hidden",
    [
        ".ipynb_checkpoints/1.jpg",
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_S.jpg",
        "__MACOSX/._1.jpg",
        ".thumbnails/1.png",
        "$RECYCLE.BIN/1.jpg",
        "._1.jpg",
        "Thumbs.db",
        "desktop.ini",
    ],
)
def test_hidden_files_and_those_of_systems_and_tools_are_no_data(hidden: str, tmp_path: Path) -> None:
    create(tmp_path, "1.jpg", hidden, f"cup/{hidden}", "cup/2.jpg")
    found = find_pictures(tmp_path)
    assert names(found.files, tmp_path) == ["1.jpg", "cup/2.jpg"]
    assert not found.left_out
    assert names(list_folders(tmp_path).files, tmp_path) == ["cup"]


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    create(tmp_path, "real/key/1.jpg", "data/cup/2.jpg")
    data = tmp_path / "data"
    (data / "key").symlink_to(tmp_path / "real" / "key")
    (data / "cup" / "3.jpg").symlink_to(tmp_path / "real" / "key" / "1.jpg")
    (data / "cup" / "more").symlink_to(tmp_path / "real")
    assert names(find_pictures(data).files, data) == ["cup/2.jpg", "cup/3.jpg", "cup/more/key/1.jpg", "key/1.jpg"]
    assert names(list_folders(data).files, data) == ["cup", "key"]


def test_links_that_lead_nowhere_or_back_are_counted(tmp_path: Path) -> None:
    create(tmp_path, "cup/1.jpg", "pen/2.jpg", "one/3.jpg", "two/4.jpg")
    (tmp_path / "cup" / "gone.jpg").symlink_to("/nowhere.jpg")
    (tmp_path / "cup" / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "cup" / "up").symlink_to("..")
    (tmp_path / "one" / "two").symlink_to("../two")
    (tmp_path / "two" / "one").symlink_to("../one")
    found = find_pictures(tmp_path)
    expected = ["cup/1.jpg", "one/3.jpg", "one/two/4.jpg", "pen/2.jpg", "two/4.jpg", "two/one/3.jpg"]
    assert names(found.files, tmp_path) == expected
    assert found.left_out == {DANGLING: 2, CIRCULAR: 3}
    (tmp_path / "gone").symlink_to("/nowhere")
    (tmp_path / "self").symlink_to(".")
    assert list_folders(tmp_path).left_out == {DANGLING: 1, CIRCULAR: 1}


def test_what_cannot_be_read_or_lies_beside_class_folders_is_counted(tmp_path: Path) -> None:
    assert find_pictures(tmp_path / "missing").left_out == {UNREADABLE: 1}
    create(tmp_path, "1.jpg", "cup/2.jpg", "notes.txt")
    assert list_folders(tmp_path).left_out == {OUTSIDE: 1}
