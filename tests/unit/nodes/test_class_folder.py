"""`vp capture`: what becomes of pictures that are offered to a class folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.inference.test_near_duplicates import scene
from vp_mqtt.errors import UserError
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.class_folder import ClassFolder, class_folder, fill
from vp_mqtt.nodes.sources import Captured


def folder_in(path: Path) -> ClassFolder:
    folder = ClassFolder(path / "things" / "cup")
    folder.open()
    return folder


def test_near_duplicates_are_left_out_also_of_earlier_pictures(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    jpeg = encode_jpeg(scene(1), 90)
    assert folder.offer(Captured(jpeg=Jpeg.parse(jpeg)))
    assert not folder.offer(Captured(scene(1, noise=7)))
    assert folder.offer(Captured(scene(2)))
    assert not folder.offer(Captured(encoded=b"nonsense"))
    assert (folder.counts.kept, folder.counts.near_duplicates, folder.counts.refused) == (2, 1, 1)
    files = list(folder.folder.glob("*.jpg"))
    assert len(files) == 2
    assert jpeg in [file.read_bytes() for file in files]
    (folder.folder / "damaged.jpg").write_bytes(b"nonsense")
    again = ClassFolder(folder.folder)
    assert again.open() == 3
    assert not again.offer(Captured(scene(1)))
    assert again.offer(Captured(scene(3)))


def test_it_is_filled_up_to_a_number_at_a_pace(tmp_path: Path) -> None:
    now = iter(np.arange(0, 100, 0.25).tolist())
    said: list[int] = []
    pictures = [None, *(Captured(scene(seed)) for seed in range(20))]
    counts = fill(folder_in(tmp_path), pictures, 3, every_s=0.5, on_kept=said.append, clock=lambda: next(now))
    assert (counts.kept, said) == (3, [1, 2, 3])
    assert fill(folder_in(tmp_path / "other"), pictures[:3], 10).kept == 2


def test_where_a_class_is_kept(tmp_path: Path) -> None:
    assert class_folder(tmp_path, "cup") == tmp_path / "cup"
    (tmp_path / "train").mkdir()
    assert class_folder(tmp_path, "none") == tmp_path / "train" / "none"
    for name in ("", " ", "../cup", "a/b", ".cup", "test", "cup\n"):
        with pytest.raises(UserError, match="--class"):
            class_folder(tmp_path, name)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        ClassFolder(tmp_path / "file" / "cup").open()
