from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import load
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import decode
from vp_mqtt.nodes.snapshot import check_not_source, draw_regions, take_picture, write_picture

GREY = np.full((240, 320, 3), 128, dtype=np.uint8)


def changed(**flags: object) -> tuple[int, int, int, int]:
    """Return the box around everything that is drawn: left, top, right, bottom."""
    drawn = draw_regions(GREY, load(CameraSettings, flags))
    rows, columns = np.nonzero((drawn != GREY).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_outlines_are_where_the_regions_lie() -> None:
    assert changed(region=["bin=0.25,0.25,0.75,0.75"]) == pytest.approx((80, 60, 240, 180), abs=2)
    assert changed(region=["a=0.25,0.5,0.5,0.75", "b=0.5,0.5,1,1"]) == pytest.approx((80, 120, 320, 240), abs=2)


def test_the_motion_region_of_a_region_lies_within_it() -> None:
    with_motion = {"region": ["bin=0.25,0,1,1"], "motion_gate": "true", "motion_region": "0.5,0.5,1,1"}
    drawn = draw_regions(GREY, load(CameraSettings, with_motion))
    white = (drawn == 255).all(axis=2)
    rows, columns = np.nonzero(white)
    assert (columns.min(), rows.min()) == (pytest.approx(204, abs=2), pytest.approx(124, abs=2))


def test_without_regions_nothing_is_drawn() -> None:
    assert (draw_regions(GREY, CameraSettings()) == GREY).all()


def test_a_picture_is_taken_as_it_is_published_and_written_in_the_format_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    scene = GREY.copy()
    scene[:, :160] = 255
    write_picture(file, scene)
    taken = take_picture(CameraSettings(source=str(file), rotate=90, size=(64, 64)))
    assert taken.shape == (320, 240, 3)
    assert taken[:160].min() == 255
    write_picture(tmp_path / "copy.jpg", taken)
    assert np.abs(decode((tmp_path / "copy.jpg").read_bytes()).astype(int) - taken).mean() < 2


@pytest.mark.parametrize(
    ("name", "reason"), [("x.gif", "ends in .jpg"), ("x", "ends in"), ("no/x.jpg", "No such file")]
)
def test_a_file_that_cannot_be_written_is_told_of(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        write_picture(tmp_path / name, GREY)


def test_the_source_is_not_overwritten(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    picture = pictures / "a.png"
    write_picture(picture, GREY)
    (tmp_path / "link.png").symlink_to(picture)
    for source, out in ((picture, picture), (picture, tmp_path / "link.png"), (pictures, picture)):
        with pytest.raises(UserError, match=rf"^--out {out}: this is a picture of the source; name another file$"):
            check_not_source(out, CameraSettings(source=str(source)))
    # A snapshot is taken again and again until the regions are right: that of before is replaced.
    write_picture(tmp_path / "before.png", GREY)
    for address in (str(picture), str(pictures), "0", "http://127.0.0.1/cam", "x" * 5000):
        check_not_source(tmp_path / "before.png", CameraSettings(source=address))
        check_not_source(tmp_path / "new.png", CameraSettings(source=address))
