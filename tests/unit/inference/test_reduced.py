"""JPEGs that are far larger than needed are decoded at a part of their size, and give nearly the same input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.inference.jpeg import read_head
from vp_mqtt.inference.picture_formats import SNAPSHOTS
from vp_mqtt.inference.pictures import Picture, PictureError, decode, decode_grey, encode_jpeg, prepare, shrink_grey
from vp_mqtt.site.synthetic_photos import synthetic_photo


def scene(width: int, height: int) -> Picture:
    """Return a picture with shapes and a gradient, as photographs have them."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([columns * 255 / width, rows * 255 / height, (rows + columns) % 256], axis=2).astype(np.uint8)
    cv2.circle(picture, (width // 2, height // 2), min(width, height) // 3, (20, 200, 240), -1)
    return picture


@given(st.integers(1, 400), st.integers(1, 400))
def test_the_size_is_read_without_decoding(width: int, height: int) -> None:
    head = read_head(encode_jpeg(np.zeros((height, width, 3), dtype=np.uint8), 80))
    assert head is not None
    assert head.size == (width, height)


@given(st.binary(max_size=300))
def test_what_is_not_a_jpeg_has_no_size_and_is_refused_as_ever(data: bytes) -> None:
    for garbage in (data, b"\xff\xd8" + data, b"\xff\xd8\xff\xe0" + data):
        read_head(garbage)
        with pytest.raises(PictureError):
            decode(garbage, 32)


@pytest.mark.parametrize(
    ("side", "shape"),
    [(None, (480, 640)), (400, (480, 640)), (160, (240, 320)), (80, (120, 160)), (40, (60, 80)), (1, (60, 80))],
)
def test_as_little_is_decoded_as_will_do(side: int | None, shape: tuple[int, int]) -> None:
    assert decode(encode_jpeg(scene(640, 480), 90), side).shape == (*shape, 3)


def test_other_formats_are_decoded_at_full_size() -> None:
    _, data = cv2.imencode(".png", scene(640, 480))
    assert decode(data.tobytes(), 40, formats=SNAPSHOTS).shape == (480, 640, 3)


@pytest.mark.parametrize("side", [24, 96, 160])
def test_the_models_input_is_nearly_the_same(side: int) -> None:
    data = encode_jpeg(scene(640, 480), 90)
    whole, reduced = (prepare(decode(data, needed), side, Preprocessing()) for needed in (None, side))
    assert float(np.abs(whole - reduced).mean()) < 2 * 2 / 255, "two steps of 0..255 in -1..1"


def test_the_orientation_that_a_telephone_noted_is_followed() -> None:
    plain = encode_jpeg(scene(640, 480), 90)
    # EXIF (CIPA DC-008): one entry of the zeroth IFD, orientation 6: turn by 90 degrees.
    tiff = b"MM\x00*\x00\x00\x00\x08" + b"\x00\x01" + b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" + bytes(4)
    exif = b"Exif\x00\x00" + tiff
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    head = read_head(turned)
    assert head is not None
    assert head.size == (640, 480)
    assert decode(turned).shape == (640, 480, 3)
    assert decode(turned, 160).shape == (320, 240, 3)


def test_brightness_is_decoded_at_a_reduced_size_and_shrunk_alike() -> None:
    picture = synthetic_photo(640, 480, 1)
    for side, shape in [(48, (60, 80)), (60, (60, 80)), (61, (120, 160)), (200, (240, 320)), (300, (480, 640))]:
        decoded = shrink_grey(decode_grey(encode_jpeg(picture, 95), side), side)
        shrunk = shrink_grey(picture, side)
        assert decoded.shape == shrunk.shape == shape
        assert np.abs(decoded.astype(int) - shrunk).mean() < 3
    odd = synthetic_photo(641, 483, 1)
    assert shrink_grey(decode_grey(encode_jpeg(odd, 95), 48), 48).shape == shrink_grey(odd, 48).shape == (61, 81)
    assert shrink_grey(decode_grey(encode_jpeg(synthetic_photo(1920, 1080, 1), 90), 48), 48).shape == (68, 120)


@pytest.mark.parametrize("data", [b"", b"nothing", encode_jpeg(synthetic_photo(64, 48, 0), 90)[:40]])
def test_the_brightness_of_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError):
        decode_grey(data, 48)
