"""What is read from a JPEG's markers, and what is left of it without metadata."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.jpegs import half_and_half, many_scans, segment, turned, with_components, with_secrets
from vp_mqtt.inference.jpeg import MAX_SEGMENTS, Jpeg, count_scans, samples_of_scans
from vp_mqtt.inference.picture_formats import SNAPSHOTS
from vp_mqtt.inference.pictures import PictureError, decode, encode_jpeg

JPEG = encode_jpeg(half_and_half(), 90)
PROGRESSIVE, RESTARTING = (
    cv2.imencode(".jpg", half_and_half(320, 240), [flag, 1])[1].tobytes()
    for flag in (cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL)
)
SECRET = b"taken at 50.0913 N, 14.4237 E"
JFIF_END = JPEG.index(b"JFIF") + 14


def parsed(data: bytes) -> Jpeg:
    jpeg = Jpeg.parse(data)
    assert jpeg is not None
    return jpeg


@pytest.mark.parametrize("jpeg", [JPEG, PROGRESSIVE, RESTARTING])
def test_a_jpeg_without_metadata_is_left_as_it_is(jpeg: bytes) -> None:
    assert parsed(jpeg).bare == jpeg


@pytest.mark.parametrize("jpeg", [JPEG, PROGRESSIVE, RESTARTING])
def test_no_metadata_is_left_wherever_it_was(jpeg: bytes) -> None:
    found = parsed(with_secrets(jpeg, SECRET))
    assert found.data.count(SECRET) == 10
    assert found.bare == jpeg
    assert not found.head.is_turned
    assert (decode(found.bare) == decode(found.data)).all()


def test_thumbnails_in_the_segments_that_decoders_need_are_cut_out() -> None:
    jfif = segment(0xE0, b"JFIF\x00\x01\x02\x00\x00\x01\x00\x01" + b"\x02\x02" + bytes(12))
    adobe = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x01")
    hidden = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x01" + SECRET)
    bare = parsed(JPEG[:2] + jfif + hidden + JPEG[JFIF_END:]).bare
    assert bare == JPEG[:2] + segment(0xE0, jfif[4:16] + b"\x00\x00") + adobe + JPEG[JFIF_END:]
    assert (decode(bare) == decode(JPEG)).all()


@pytest.mark.parametrize("orientation", range(10))
def test_whoever_looks_at_a_jpeg_is_to_turn_it_if_its_exif_data_says_so(orientation: int) -> None:
    assert parsed(turned(JPEG, orientation)).head.is_turned == (orientation != 1)


@pytest.mark.parametrize("order", ["big", "little"])
def test_exif_data_without_orientation_turns_nothing_and_that_which_cannot_be_read_may(order: str) -> None:
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x00" if order == "big" else b"II*\x00\x08\x00\x00\x00\x00\x00"
    upright, unknown = (
        parsed(JPEG[:2] + segment(0xE1, b"Exif\x00\x00" + data) + JPEG[2:]) for data in (tiff, b"XX" + tiff[2:])
    )
    assert not upright.head.is_turned
    assert unknown.head.is_turned


@pytest.mark.parametrize("cut", [2, 40, 300])
def test_a_jpeg_that_is_cut_off_is_none_even_if_its_thumbnail_is_complete(cut: int) -> None:
    assert Jpeg.parse(with_secrets(JPEG, SECRET)[: -len(turned(JPEG)) - len(SECRET) - cut]) is None


def test_scans_are_counted_as_a_decoder_finds_them() -> None:
    assert count_scans(JPEG) == count_scans(with_secrets(JPEG, SECRET)) == 1
    assert count_scans(PROGRESSIVE) == parsed(PROGRESSIVE).scans == 10
    for fill in (b"", b"\xff\xff", b"\x00\x01", b"\xff\xd3\xff\x01", segment(0xFE, b"\xff\xda")):
        assert count_scans(many_scans(64, 48, 20, fill)) == 22
        assert decode(many_scans(64, 48, 20, fill)).shape == (48, 64, 3)


def test_many_segments_count_as_scans_whatever_they_are() -> None:
    assert count_scans(JPEG[:2] + segment(0xFE, b"") * MAX_SEGMENTS + JPEG[2:]) == MAX_SEGMENTS


@pytest.mark.parametrize("fill", [b"", b"\xff\xff", b"\x00\x01", b"\xff\xd3\xff\x01"])
@pytest.mark.parametrize(
    ("width", "height", "scans"), [(5000, 5000, 200), (5000, 5000, 15), (64, 48, 65), (1, 65_000, 200)]
)
def test_a_jpeg_of_too_many_scans_for_its_size_is_refused_before_it_is_decoded(
    width: int, height: int, scans: int, fill: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(PictureError, match=r"^JPEG with too many scans$"):
        decode(many_scans(width, height, scans, fill), 96)


def test_scans_cost_the_samples_of_the_components_that_they_name() -> None:
    area = 320 * 256  # with whole units
    brightness, colour = area, area // 4
    assert samples_of_scans(PROGRESSIVE, parsed(PROGRESSIVE).head) == [
        *(area * 3 // 2, brightness, colour, colour, brightness, brightness),
        *(area * 3 // 2, colour, colour, brightness),
    ]
    assert sum(samples_of_scans(RESTARTING, parsed(RESTARTING).head)) == area * 3 // 2


@pytest.mark.parametrize(
    ("jpeg", "reason"),
    [
        (many_scans(4992, 4992, 13), "JPEG too dear to decode"),
        (many_scans(1, 65_000, 62), None),
        (many_scans(4000, 3000, 10), None),
        (with_components(JPEG, 4), "JPEG with neither 1 nor 3 components"),
        (with_components(JPEG, 2), "JPEG with neither 1 nor 3 components"),
        (PROGRESSIVE.replace(b"\x08\x00\xf0\x01\x40", b"\x08\x13\x80\x13\x80"), None),
        (PROGRESSIVE.replace(b"\x08\x00\xf0\x01\x40", b"\x08\x0b\xb8\x0f\xa0"), None),
    ],
)
def test_a_frame_costs_no_more_than_a_large_photograph(
    jpeg: bytes, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: picture)
    assert decode(jpeg, 96, formats=SNAPSHOTS) is not None  # of one's own camera, or files
    if reason is None:
        assert decode(jpeg, 96) is not None
        return
    with pytest.raises(PictureError, match=f"^{reason}$"):
        decode(jpeg, 96)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA])
def test_a_jpeg_in_a_coding_that_no_camera_uses_is_refused(marker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(PictureError, match="neither a baseline nor a progressive JPEG"):
        decode(JPEG.replace(b"\xff\xc0", bytes((0xFF, marker))))


@given(st.binary(max_size=200), st.integers(0, len(PROGRESSIVE)), st.integers(0, 200))
def test_what_is_left_of_a_damaged_jpeg_is_a_jpeg_with_nothing_more_to_leave_out(
    garbage: bytes, at: int, replaced: int
) -> None:
    jpeg = Jpeg.parse(PROGRESSIVE[:at] + garbage + PROGRESSIVE[at + replaced :])
    if jpeg is not None:
        again = parsed(jpeg.bare)
        assert again.bare == jpeg.bare
        assert (again.head.size, again.scans) == (jpeg.head.size, jpeg.scans)


def test_a_photograph_of_as_many_pixels_as_allowed_may_be_progressive() -> None:
    photo = np.zeros((5000, 5000), dtype=np.uint8)
    data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode(data, 96).shape == (625, 625, 3)


@pytest.mark.parametrize("reserved", [0x02, 0x4F, 0xBF])
def test_scans_behind_a_reserved_marker_are_counted_since_a_decoder_that_resynchronises_finds_them(
    reserved: int,
) -> None:
    plain = many_scans(64, 64, 30)
    first = plain.index(b"\xff\xda")
    second = plain.index(b"\xff\xda", first + 2)
    hidden, end = plain[second:-2], plain[-2:]
    disguised = plain[:second] + bytes((0xFF, reserved)) + (len(hidden) + 2).to_bytes(2, "big") + hidden + end
    assert count_scans(disguised) == count_scans(plain) == 32
