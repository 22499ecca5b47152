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
from vp_mqtt.config.regions import Rectangle
from vp_mqtt.inference.jpeg import Jpeg, read_head
from vp_mqtt.inference.pictures import PictureError, decode, encode_jpeg, prepare
from vp_mqtt.nodes import frame_encoder
from vp_mqtt.nodes.board_needs import BoardNeeds, Encoding, FrameSizes
from vp_mqtt.nodes.frame_encoder import EncodedFrame, FrameEncoder
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.nodes.views import View
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


LARGE = synthetic_photo(640, 480, 1)


def sized(
    encoding: Encoding = "always", side: int = 256, *, view: View | None = None, quality: int = 90
) -> FrameEncoder:
    sizes = FrameSizes(encoding, side, BoardNeeds())
    return FrameEncoder(size=None, quality=quality, passes_through=True, view=view or View(), sizes=sizes)


def size_of(encoded: EncodedFrame | None) -> tuple[int, int]:
    assert encoded is not None
    return encoded.size


def test_a_frame_is_no_larger_than_needed_and_shows_the_same() -> None:
    large = Captured(jpeg=Jpeg.parse(encode_jpeg(LARGE, 90)))
    encoded = sized().encode(large, 1_000_000)
    assert encoded is not None
    assert (encoded.size, encoded.is_passed_through) == ((341, 256), False)
    expected = cv2.resize(LARGE, (341, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(decode(encoded.jpeg).astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    ("width", "height", "size"), [(1920, 1080, (480, 270)), (1280, 960, (341, 256)), (256, 900, (256, 900))]
)
def test_far_larger_jpegs_are_decoded_at_a_reduced_size(width: int, height: int, size: tuple[int, int]) -> None:
    captured = Captured(jpeg=Jpeg.parse(encode_jpeg(synthetic_photo(width, height, 2), 90)))
    assert size_of(sized().encode(captured, 10_000_000)) == size
    assert "picture" not in captured.__dict__


def test_a_jpeg_passes_where_it_does_not_pay_or_is_small_and_one_that_was_asked_for_always() -> None:
    jpeg = Jpeg.parse(encode_jpeg(LARGE, 90))
    for encoder in (sized("auto"), sized("never"), sized(side=400)):
        encoded = encoder.encode(Captured(jpeg=jpeg), 1_000_000)
        assert encoded is not None
        assert encoded.is_passed_through
    assert size_of(sized().encode(Captured(jpeg=jpeg), 1_000_000, is_whole=True)) == (640, 480)


def test_pictures_that_are_encoded_anyway_are_made_smaller_with_a_single_board_too() -> None:
    assert size_of(sized("auto").encode(Captured(LARGE), 1_000_000)) == (341, 256)
    assert size_of(sized("never").encode(Captured(LARGE), 1_000_000)) == (640, 480)
    turned_view = View(rotate=90)
    jpeg = Jpeg.parse(encode_jpeg(LARGE, 90))
    assert size_of(sized("auto", view=turned_view).encode(Captured(jpeg=jpeg), 1_000_000)) == (256, 341)


def test_regions_are_cut_out_at_full_resolution() -> None:
    right = View(Rectangle(0.5, 0, 1, 1))
    captured = Captured(jpeg=Jpeg.parse(encode_jpeg(synthetic_photo(1920, 1080, 2), 90)))
    encoded = sized(view=right).encode(captured, 10_000_000)
    assert encoded is not None
    assert encoded.size == (256, 288)
    expected = cv2.resize(captured.picture[:, 960:], (256, 288), interpolation=cv2.INTER_AREA)
    assert np.abs(decode(encoded.jpeg).astype(int) - expected).mean() < 4


def test_a_size_that_is_asked_for_stays() -> None:
    encoder = FrameEncoder(
        size=(320, 200), quality=90, passes_through=True, sizes=FrameSizes("always", 96, BoardNeeds())
    )
    assert size_of(encoder.encode(Captured(LARGE), 1_000_000)) == (320, 200)
