"""Pictures are found by their markers, whatever is around them and however the bytes are cut."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.sources.picture_scanner import PictureScanner
from vp_mqtt.site.synthetic_photos import synthetic_photo

PHOTO = synthetic_photo(96, 64, 0)
JPEG = encode_jpeg(PHOTO, 90)
PROGRESSIVE = cv2.imencode(".jpg", PHOTO, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
RESTARTS = cv2.imencode(".jpg", PHOTO, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
PNG = cv2.imencode(".png", PHOTO)[1].tobytes()
# As cameras store a preview: a JPEG within a segment of the JPEG's head.
THUMBNAIL = encode_jpeg(np.zeros((8, 8, 3), np.uint8), 50)
WITH_PREVIEW = JPEG[:2] + b"\xff\xe1" + (len(THUMBNAIL) + 2).to_bytes(2, "big") + THUMBNAIL + JPEG[2:]
PICTURES = (JPEG, PROGRESSIVE, RESTARTS, PNG, WITH_PREVIEW)


def scan(data: bytes, piece: int) -> list[bytes]:
    scanner = PictureScanner()
    return [found for at in range(0, len(data), piece) for found in scanner.feed(data[at : at + piece])]


@pytest.mark.parametrize("piece", [1, 7, 100, 10**6])
@pytest.mark.parametrize(
    "between", [b"", b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", b"\xff\xff\xd9\x89PN\xff\xd8"]
)
def test_whole_pictures_are_found_between_anything(between: bytes, piece: int) -> None:
    assert scan(between + between.join(PICTURES) + between, piece) == list(PICTURES)


def test_a_picture_that_is_cut_off_is_left_out_and_counted() -> None:
    scanner = PictureScanner()
    for cut in (60, 200, len(JPEG) // 2, len(JPEG) - 1):
        assert scanner.feed(JPEG[:cut] + b"\r\n--frame\r\n\r\n" + JPEG) == [JPEG]
    assert scanner.broken == 4
    assert not scanner.is_inside


def test_a_picture_that_never_ends_is_given_up() -> None:
    scanner = PictureScanner(max_bytes=10_000)
    scan_data = JPEG[: JPEG.index(b"\xff\xda") + 20]
    assert scanner.feed(scan_data) == []
    assert scanner.is_inside
    for _ in range(30):
        assert scanner.feed(b"\x01" * 1000) == []
        assert len(scanner._data) <= 11_000
    assert scanner.broken == 1
    assert scanner.feed(JPEG) == [JPEG]
    assert scanner.feed(b"\x89PNG\r\n\x1a\n" + b"\x7f\xff\xff\xffIDAT") == []
    assert scanner.feed(PNG) == [PNG]


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([*PICTURES, JPEG[:300], PNG[:50], b"\xff\xd8\xff", b"\xff\xda\0\2"])
    )
)
def test_however_the_bytes_are_cut_the_same_is_found_and_little_is_kept(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert scan(data, 13) == scan(data, 10**6)


@pytest.mark.parametrize(
    "evil",
    [
        b"\xff\xd8\xff" * 140_000,
        b"\xff\xd8\xff\xe1\0\x02" * 70_000,
        b"\xff\xd8" + b"\xff\xe1\0\x07\xff\xd8\xff\xe1\0" * 46_000,
        b"\xff\xd8\xff\xda\0\x02" + b"\xff\0" * 200_000,
        b"\x89PNG\r\n\x1a\n" * 50_000,
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0aaaa\0\0\0\0" * 34_000,
    ],
)
def test_data_made_to_take_long_does_not(evil: bytes) -> None:
    scanner = PictureScanner()
    started = time.thread_time()
    for at in range(0, len(evil), 65_536):
        scanner.feed(evil[at : at + 65_536])
    # 0.4 MB in less than 0.5 s; quadratic time would be minutes.
    assert time.thread_time() - started < 5
