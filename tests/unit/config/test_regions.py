from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import describe, load
from vp_mqtt.config.regions import WHOLE, Rectangle, Region, as_regions
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.settings_values import MAX_REGIONS

DOOR = Region("door", Rectangle(0.1, 0.2, 0.4, 0.9))
BIN = Region("bin", Rectangle(0.5, 0.0, 1.0, 0.5))


@st.composite
def rectangles(draw: st.DrawFn) -> Rectangle:
    hundredths = st.integers(0, 99)
    left, top = draw(hundredths), draw(hundredths)
    return Rectangle(
        left / 100, top / 100, draw(st.integers(left + 2, 101)) / 101, draw(st.integers(top + 2, 101)) / 101
    )


@given(rectangles())
def test_a_rectangle_is_read_as_it_is_written(rectangle: Rectangle) -> None:
    written = Rectangle.parse(str(rectangle))
    for edge in ("left", "top", "right", "bottom"):
        assert getattr(written, edge) == pytest.approx(getattr(rectangle, edge), abs=1e-5)


@given(rectangles(), st.integers(1, 5000), st.integers(1, 5000))
def test_a_rectangle_lies_within_every_picture_and_has_pixels(rectangle: Rectangle, width: int, height: int) -> None:
    left, top, right, bottom = rectangle.pixels(width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_the_whole_has_all_pixels() -> None:
    assert WHOLE.pixels(640, 480) == (0, 0, 640, 480)
    assert DOOR.rectangle.pixels(640, 480) == (64, 96, 256, 432)


@pytest.mark.parametrize(
    "value",
    [
        "door=0.1,0.2,0.4,0.9 bin=0.5,0,1,0.5",
        " door=0.1,0.2,0.4,0.9;\n bin=0.5,0,1,0.5;",
        ["door=0.1,0.2,0.4,0.9", "bin=0.5,0,1,0.5"],
        {"door": [0.1, 0.2, 0.4, 0.9], "bin": [0.5, 0, 1, 0.5]},
        {"door": "0.1,0.2,0.4,0.9", "bin": "0.5,0,1,0.5"},
    ],
)
def test_regions_are_read_in_every_form(value: object) -> None:
    assert as_regions(value) == (DOOR, BIN)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("door", "'door' is not a region; write NAME=LEFT,TOP,RIGHT,BOTTOM"),
        ("door=0.1,0.2,0.4", "is not a rectangle; write LEFT,TOP,RIGHT,BOTTOM"),
        ("door=0.1,0.2,0.4,a", "is not a rectangle"),
        ("door=0.1,0.2,0.4,1.1", "0 to 1"),
        ("door=0.1,nan,0.4,1", "0 to 1"),
        ("door=0.4,0.2,0.1,0.9", "each side at least 0.01"),
        ("door=0.1,0.2,0.105,0.9", "each side at least 0.01"),
        ("=0,0,1,1", "is not a region's name"),
        ("a.b=0,0,1,1", "is not a region's name"),
        ("a/b=0,0,1,1", "is not a region's name"),
        ("door=0,0,1,1 door=0,0,1,0.5", "two regions are called 'door'"),
        (" ".join(f"r{n}=0,0,1,1" for n in range(MAX_REGIONS + 1)), f"at most {MAX_REGIONS}"),
        ({"door": 1}, "is not a rectangle"),
        ({"door": [0, 0, 1]}, "is not a rectangle"),
    ],
)
def test_what_is_no_region_is_refused_with_a_reason(
    value: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=reason):
        as_regions(value)
    if isinstance(value, str):
        with pytest.raises(UserError, match=f"--region: .*{reason}"):
            load(CameraSettings, {"region": value.split()})
        monkeypatch.setenv("VP_REGION", value)
        with pytest.raises(UserError, match=f"VP_REGION: .*{reason}"):
            load(CameraSettings, {})


def test_regions_come_from_every_origin_and_are_shown_as_they_are_given(tmp_path: Path) -> None:
    config = tmp_path / "vp.toml"
    config.write_text("[camera]\nregion = { door = [0.1, 0.2, 0.4, 0.9] }\nmotion_region = [0, 0.5, 1, 1]\n")
    loaded = load(CameraSettings, {"camera": "yard"}, config)
    assert loaded.region == (DOOR,)
    assert loaded.motion_region == Rectangle(0, 0.5, 1, 1)
    assert loaded.cameras() == ("yard.door",)
    flags = load(CameraSettings, {"region": ["door=0.1,0.2,0.4,0.9", "bin=0.5,0,1,0.5"]}, config)
    assert flags.cameras() == ("cam0.door", "cam0.bin")
    shown = {field: (value, origin) for field, value, origin in describe(flags, {"region": ["x"]}, config)}
    assert shown["region"] == ("door=0.1,0.2,0.4,0.9 bin=0.5,0,1,0.5", "flag")
    assert shown["motion_region"] == ("0,0.5,1,1", "file")
    assert CameraSettings().cameras() == ("cam0",)


def test_a_region_whose_cameras_name_is_too_long_is_refused() -> None:
    with pytest.raises(UserError, match=r"'c{60}\.door' is too long for a camera's name: shorten"):
        load(CameraSettings, {"camera": "c" * 60, "region": ["door=0,0,1,1"]})
    assert load(CameraSettings, {"camera": "c" * 59, "region": ["door=0,0,1,1"]}).cameras()
