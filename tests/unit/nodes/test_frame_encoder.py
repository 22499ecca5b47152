"""Which JPEGs a camera may publish as they are, and that receivers make of them what they should."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.jpegs import half_and_half, many_scans, segment, turned, with_secrets, without_tables
from vp_mqtt import MAX_PIXELS
from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.inference.jpeg import Jpeg, read_head
from vp_mqtt.inference.pictures import PictureError, decode, encode_jpeg, prepare
from vp_mqtt.nodes import frame_encoder
from vp_mqtt.nodes.frame_encoder import EncodedFrame, FrameEncoder
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.site.synthetic_photos import synthetic_photo

JPEG = encode_jpeg(half_and_half(), 90)
PROGRESSIVE = cv2.imencode(".jpg", half_and_half(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
START_OF_FRAME = JPEG.index(b"\xff\xc0")


def can_pass(data: bytes, size: tuple[int, int] | None, limit: int) -> bool:
    jpeg = Jpeg.parse(data)
    return jpeg is not None and frame_encoder.can_pass(jpeg, size, limit)


def changed(offset: int, *values: int) -> bytes:
    """Return the JPEG with other bytes in its frame header."""
    data = bytearray(JPEG)
    data[START_OF_FRAME + offset : START_OF_FRAME + offset + len(values)] = values
    return bytes(data)


@pytest.mark.parametrize("jpeg", [JPEG, PROGRESSIVE, without_tables(JPEG)])
def test_a_jpeg_that_every_receiver_can_show_passes(jpeg: bytes) -> None:
    assert can_pass(jpeg, None, len(jpeg))
    assert decode(jpeg).size == half_and_half().size


def test_a_jpeg_over_the_packet_limit_does_not_pass() -> None:
    assert not can_pass(JPEG, None, len(JPEG) - 1)
    assert not can_pass(JPEG, None, -5)


def test_a_jpeg_that_every_variant_would_refuse_for_its_bytes_does_not_pass() -> None:
    table = segment(0xDB, JPEG[JPEG.index(b"\xff\xdb") + 4 :][:65] * 1008)
    padded = JPEG[:2] + table * 123 + JPEG[2:]
    assert len(padded) > 8_000_000
    assert not can_pass(padded, None, 100_000_000)
    lighter = JPEG[:2] + table * 122 + JPEG[2:]
    assert len(lighter) < 8_000_000
    assert can_pass(lighter, None, 100_000_000)


def test_a_jpeg_of_another_size_does_not_pass() -> None:
    assert can_pass(JPEG, (64, 48), len(JPEG))
    assert not can_pass(JPEG, (48, 64), len(JPEG))
    assert not can_pass(JPEG, (32, 24), len(JPEG))


def test_a_jpeg_that_viewers_are_to_turn_does_not_pass_since_that_is_metadata() -> None:
    jpeg = Jpeg.parse(turned(JPEG))
    assert jpeg is not None
    assert jpeg.head.size == (64, 48)
    assert not can_pass(turned(JPEG), None, 1_000_000)
    assert decode(turned(JPEG)).shape == (64, 48, 3)
    assert not can_pass(turned(JPEG), (64, 48), 1_000_000)
    assert not can_pass(turned(JPEG), (48, 64), 1_000_000)


@pytest.mark.parametrize(
    "jpeg",
    [
        b"",
        JPEG[:-1],
        JPEG[:200],
        JPEG[2:],
        changed(1, 0xC1),  # extended sequential
        changed(1, 0xC3),  # lossless
        changed(1, 0xC9),  # arithmetic coding
        changed(4, 12),  # bits
        changed(5, 0, 0),  # height to be told at the end
        changed(5, 0xEA, 0x60, 0xEA, 0x60),  # 60,000 x 60,000 pixels
        changed(5, 0x13, 0x88, 0x13, 0x89),  # one column over the limit
        cv2.imencode(".png", half_and_half())[1].tobytes(),
    ],
)
def test_what_is_broken_uncommon_or_too_large_does_not_pass(jpeg: bytes) -> None:
    assert not can_pass(jpeg, None, 1_000_000)


def test_a_jpeg_that_receivers_refuse_for_its_scans_does_not_pass() -> None:
    assert can_pass(many_scans(64, 48, 20), None, 1_000_000)
    assert not can_pass(many_scans(64, 48, 80), None, 1_000_000)


def test_no_metadata_of_a_jpeg_is_published() -> None:
    encoder = FrameEncoder(size=None, quality=90, passes_through=True)
    frame = encoder.encode(Captured(jpeg=Jpeg.parse(with_secrets(JPEG, b"50.0913 N"))), 1_000_000)
    assert frame == EncodedFrame(JPEG, is_passed_through=True)


def test_as_many_pixels_as_receivers_take_pass() -> None:
    assert MAX_PIXELS == 5000 * 5000
    assert can_pass(changed(5, 0x13, 0x88, 0x13, 0x88), None, 1_000_000)


def test_the_head_of_a_jpeg_is_read() -> None:
    head = read_head(JPEG)
    assert head is not None
    assert (head.size, head.is_common, head.is_decodable, head.is_turned) == ((64, 48), True, True, False)
    head = read_head(turned(PROGRESSIVE))
    assert head is not None
    assert (head.size, head.is_common, head.is_decodable, head.is_turned) == ((64, 48), True, True, True)


@given(st.binary(max_size=300))
def test_what_is_not_a_jpeg_has_no_head_and_does_not_pass(data: bytes) -> None:
    for garbage in (data, b"\xff\xd8" + data, b"\xff\xd8\xff\xe0" + data):
        if read_head(garbage) is None:
            assert Jpeg.parse(garbage) is None
            assert not can_pass(garbage, None, 1_000_000)


@pytest.mark.parametrize("resolution", [16, 48, 96, 224])
def test_a_variants_input_is_the_upright_picture(resolution: int) -> None:
    picture = synthetic_photo(640, 480, 0)
    seen = prepare(decode(turned(encode_jpeg(picture, 95)), resolution), resolution, Preprocessing())
    upright = prepare(np.ascontiguousarray(np.rot90(picture, -1)), resolution, Preprocessing())
    as_stored = prepare(picture, resolution, Preprocessing())
    assert np.abs(seen - upright).mean() < 0.03
    assert np.abs(seen - as_stored).mean() > 0.1


@pytest.mark.parametrize("side", [None, 8, 24, 40])
def test_who_decodes_a_jpeg_that_a_telephone_turned_gets_it_upright(side: int | None) -> None:
    large = cv2.resize(half_and_half(), (640, 480), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    upright = decode(turned(encode_jpeg(large, 90)), side)
    height, width = upright.shape[:2]
    assert height / width == pytest.approx(640 / 480, abs=0.02)
    # Stored: blue on the left, red on the right. Turned clockwise: blue on top, red at the bottom.
    assert upright[: height // 3].mean(axis=(0, 1)) == pytest.approx((255, 0, 0), abs=5)
    assert upright[-height // 3 :].mean(axis=(0, 1)) == pytest.approx((0, 0, 255), abs=5)


def test_a_jpeg_without_huffman_tables_as_webcams_give_it_is_decoded_with_the_standards() -> None:
    assert len(without_tables(JPEG)) < len(JPEG) - 400
    assert (decode(without_tables(JPEG)) == decode(JPEG)).all()
    with pytest.raises(PictureError):
        decode(without_tables(JPEG)[:-30])
