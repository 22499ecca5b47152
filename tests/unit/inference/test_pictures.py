from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vp_mqtt import MAX_PIXELS
from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.inference import pictures
from vp_mqtt.inference.picture_formats import FILES, FRAMES, SNAPSHOTS, PictureFormat
from vp_mqtt.inference.pictures import PictureError, encode_jpeg, prepare, resize_square, shrink
from vp_mqtt.site.synthetic_photos import synthetic_photo

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SUFFIXES = [".jpg", ".png", ".bmp", ".webp", ".ppm", ".tiff"]

Pixels = NDArray[np.uint8]


def decode(data: bytes | bytearray | memoryview) -> Pixels:
    """Decode a picture of any format that is read from files."""
    return pictures.decode(data, formats=FILES)


def encoded(picture: Pixels, suffix: str = ".png") -> bytes:
    done, data = cv2.imencode(suffix, picture)
    assert done
    return data.tobytes()


def filled(colour: tuple[int, int, int], width: int = 40, height: int = 30) -> Pixels:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def noise(width: int = 40, height: int = 30) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Decoding


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_of_many_formats_are_decoded_to_blue_green_red(suffix: str) -> None:
    for colour in (BLUE, GREEN, RED):
        picture = decode(encoded(filled(colour), suffix))
        assert picture.shape == (30, 40, 3)
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - colour).max() <= 8


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_grey_pictures_get_three_equal_channels(suffix: str) -> None:
    grey = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))
    picture = decode(encoded(grey, suffix))
    assert picture.shape == (30, 40, 3)
    for channel in range(3):
        assert np.abs(picture[:, :, channel].astype(int) - grey).max() <= 3


def test_transparency_is_dropped_and_16_bits_become_8() -> None:
    see_through = np.dstack([noise(), np.full((30, 40), 7, dtype=np.uint8)])
    assert (decode(encoded(see_through)) == noise()).all()
    deep = noise().astype(np.uint16) * 257
    done, data = cv2.imencode(".png", deep)
    assert done
    assert (decode(data.tobytes()) == noise()).all()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_will_do(kind: type[Any]) -> None:
    assert (decode(kind(encoded(noise()))) == noise()).all()


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(PictureError, match=r"^empty picture$"):
        decode(b"")


@pytest.mark.parametrize(
    ("suffix", "formats", "says"),
    [
        (".png", FRAMES, "PNG, not JPEG"),
        (".bmp", SNAPSHOTS, "BMP, not JPEG or PNG"),
        (".webp", FRAMES, "WebP, not JPEG"),
        (".tiff", SNAPSHOTS, "TIFF, not JPEG or PNG"),
        (".gif", FILES, "GIF, not JPEG, PNG, WebP, BMP, TIFF or PPM"),
        (".jp2", FILES, "JPEG 2000, not JPEG, PNG, WebP, BMP, TIFF or PPM"),
        (".avif", FILES, "AVIF, not JPEG, PNG, WebP, BMP, TIFF or PPM"),
        (".hdr", FILES, "not a picture"),
        (".ras", FILES, "not a picture"),
        (".exr", FILES, "not a picture"),
    ],
)
def test_only_pictures_of_the_expected_formats_reach_a_decoder(
    suffix: str, formats: frozenset[PictureFormat], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"v/1\x01" + bytes(60) if suffix == ".exr" else encoded(noise(320, 240), suffix)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(PictureError) as told:
        pictures.decode(data, formats=formats)
    assert str(told.value) == says


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_picture_is_refused(suffix: str, share: float) -> None:
    data = encoded(noise(), suffix)
    with pytest.raises(PictureError, match=r"^not a picture$"):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data", [b"\x00", b"not a picture at all", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM"]
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"^not a picture$"):
        decode(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([".jpg", ".png", ".bmp", ".webp"]), st.data())
def test_damaged_pictures_are_decoded_or_refused_but_nothing_else(suffix: str, data: st.DataObject) -> None:
    picture = bytearray(encoded(noise(), suffix))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(picture) - 1), st.integers(0, 255)), max_size=8)
    ):
        picture[place] = value
    del picture[data.draw(st.integers(0, len(picture))) :]
    try:
        decoded = decode(picture)
    except PictureError:
        return
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
    assert decoded.dtype == np.uint8


def test_a_picture_of_just_as_many_pixels_as_allowed_is_decoded() -> None:
    assert MAX_PIXELS == 5_000 * 5_000
    assert decode(encode_jpeg(filled(RED, 5_000, 5_000), 50)).shape == (5_000, 5_000, 3)


# Encoding


def test_a_jpeg_of_good_quality_looks_like_the_picture() -> None:
    gradient = np.dstack([np.tile(np.arange(0, 240, 6, dtype=np.uint8), (30, 1))] * 3)
    data = encode_jpeg(gradient, 95)
    assert data.startswith(b"\xff\xd8\xff")
    assert np.abs(decode(data).astype(int) - gradient).max() <= 6


def test_lower_quality_makes_a_smaller_jpeg() -> None:
    sizes = [len(encode_jpeg(noise(200, 200), quality)) for quality in (10, 50, 95)]
    assert sizes == sorted(set(sizes))


def test_a_jpeg_is_baseline_so_that_every_viewer_can_show_it() -> None:
    data = encode_jpeg(noise(), 90)
    assert b"\xff\xc0" in data
    assert re.search(rb"\xff\xc2\x00\x11", data) is None


@pytest.mark.parametrize(("width", "height"), [(70_000, 2), (2, 70_000), (0, 0)])
def test_what_cannot_be_a_jpeg_is_a_picture_error(width: int, height: int) -> None:
    with pytest.raises(PictureError):
        encode_jpeg(filled(RED, width, height), 90)


# From a picture to a model's input


@pytest.mark.parametrize(("width", "height"), [(40, 30), (30, 40), (16, 16), (1, 1), (1, 500), (1000, 3)])
@pytest.mark.parametrize("fit", ["stretch", "cover"])
@pytest.mark.parametrize("margin", [0, 10])
def test_the_input_has_the_models_shape_type_and_range(width: int, height: int, fit: Any, margin: int) -> None:
    batch = prepare(noise(width, height), 24, Preprocessing(fit=fit, margin=margin))
    assert batch.shape == (1, 3, 24, 24)
    assert batch.dtype == np.float32
    assert batch.min() >= -1
    assert batch.max() <= 1


@pytest.mark.parametrize(("colour", "rgb"), [(BLUE, (-1, -1, 1)), (GREEN, (-1, 1, -1)), (RED, (1, -1, -1))])
def test_the_channels_are_put_in_rgb_order(colour: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    batch = prepare(filled(colour), 16, Preprocessing())
    assert batch.mean(axis=(0, 2, 3)).tolist() == list(rgb)
    assert batch.std(axis=(0, 2, 3)).tolist() == [0, 0, 0]


def test_0_to_255_is_scaled_to_minus_1_to_1() -> None:
    ramp = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
    batch = prepare(ramp, 16, Preprocessing())
    assert batch[0, 0] == pytest.approx(np.arange(256).reshape(16, 16) / 127.5 - 1, abs=1e-6)


@pytest.mark.parametrize(("margin", "start"), [(0, 0), (2, 1), (5, 2), (10, 5)])
def test_the_margin_is_cropped_away_around_the_centre(margin: int, start: int) -> None:
    side = 16 + margin
    picture = noise(side, side)
    batch = prepare(picture, 16, Preprocessing(margin=margin))
    centre = picture[start : start + 16, start : start + 16, ::-1].transpose(2, 0, 1)
    assert batch[0] == pytest.approx(centre / 127.5 - 1, abs=1e-6)


@pytest.mark.parametrize(("zoom", "side", "start"), [(1.0, 16, 0), (1.05, 17, 0), (1.15, 18, 1), (1.25, 20, 2)])
def test_a_zoom_crops_as_much_at_every_edge(zoom: float, side: int, start: int) -> None:
    preprocessing = Preprocessing(zoom=zoom)
    assert preprocessing.side(16) == side
    picture = noise(side, side)
    centre = picture[start : start + 16, start : start + 16, ::-1].transpose(2, 0, 1)
    assert prepare(picture, 16, preprocessing)[0] == pytest.approx(centre / 127.5 - 1, abs=1e-6)


def test_stretch_keeps_the_whole_picture_and_cover_the_largest_square_at_its_centre() -> None:
    wide = np.hstack([filled(RED, 32, 32), filled(GREEN, 32, 32), filled(BLUE, 32, 32)])
    for picture in (wide, wide.transpose(1, 0, 2)):
        stretched = prepare(picture, 48, Preprocessing(fit="stretch"))[0]
        assert stretched.mean(axis=(1, 2)) == pytest.approx([-1 / 3] * 3, abs=0.02)
        covered = prepare(picture, 16, Preprocessing(fit="cover"))[0]
        assert covered.mean(axis=(1, 2)).tolist() == [-1, 1, -1]


def test_the_square_at_the_centre_of_a_picture_is_exact() -> None:
    picture = noise(40, 31)
    assert (resize_square(picture, 31, "cover") == picture[:, 4:35]).all()
    tall = noise(31, 40)
    assert (resize_square(tall, 31, "cover") == tall[4:35]).all()


def test_a_picture_that_has_the_size_already_is_left_as_it_is() -> None:
    assert (resize_square(noise(24, 24), 24) == noise(24, 24)).all()


def test_a_picture_shrinks_by_area() -> None:
    checks = np.dstack([np.indices((32, 32)).sum(axis=0).astype(np.uint8) % 2 * 200] * 3)
    assert np.unique(resize_square(checks, 16)).tolist() == [100]


def test_a_picture_grows_bicubically() -> None:
    step = np.zeros((8, 8), dtype=np.uint8)
    step[:, 4:] = 100
    grown = resize_square(step, 64)
    assert grown.shape == (64, 64)
    # Bicubic interpolation overshoots beside a step, linear and nearest do not.
    assert grown.max() > 103
    assert len(np.unique(grown)) > 4


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (1281, 963), (1920, 1080), (320, 257), (341, 256), (4000, 800)]
)
def test_a_picture_is_made_smaller_as_by_area(width: int, height: int) -> None:
    picture = synthetic_photo(width, height, 3)
    size = (max(256, round(width * 256 / height)), 256)
    shrunk = shrink(picture, size)
    assert shrunk.shape == (size[1], size[0], 3)
    by_area = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - by_area).mean() < 1.5
