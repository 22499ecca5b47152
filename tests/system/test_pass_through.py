"""What a camera node publishes of the files of a folder, over a real Mosquitto."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.broker import Mosquitto
from tests.support.command_line import run_vp
from tests.support.jpegs import half_and_half, turned, with_secrets
from tests.support.site import SITE, Site
from tests.support.statuses import status_of
from vp_mqtt.inference.jpeg import read_head
from vp_mqtt.inference.pictures import decode, encode_jpeg
from vp_mqtt.protocol.topics import Kind, Topics
from vp_mqtt.site.synthetic_photos import synthetic_photo

PHOTO = synthetic_photo(320, 240, 0)
JPEG = encode_jpeg(PHOTO, 95)
PROGRESSIVE = cv2.imencode(".jpg", PHOTO, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
PNG = cv2.imencode(".png", PHOTO)[1].tobytes()

Play = Callable[..., list[bytes]]


@pytest.fixture
def play(site: Site, tmp_path: Path) -> Play:
    """Have a camera play files, once or for so many frames, and return what was on the wire."""

    def played(
        files: dict[str, bytes], *arguments: str, frames: int, environment: dict[str, str] | None = None
    ) -> list[bytes]:
        folder = tmp_path / "pictures"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        pace = ("--fps", "20", "--in-flight", "50", "--frames", str(frames))
        site.start("camera", "camera", "--source", str(folder), *pace, *arguments, environment=environment)
        assert site.wait("camera", 40) == 0
        site.probe.until(lambda: len(site.probe.of(Kind.FRAME)) >= frames, f"{frames} frames")
        return [message.payload for message in site.probe.of(Kind.FRAME)]

    return played


def _size(jpeg: bytes) -> tuple[int, int]:
    head = read_head(jpeg)
    assert head is not None
    return head.size


def test_jpegs_are_on_the_wire_byte_for_byte_and_counted(site: Site, play: Play) -> None:
    files = {"1.jpg": JPEG, "2.jpeg": PROGRESSIVE, "3.JPG": encode_jpeg(half_and_half(), 80)}
    # Long enough that the camera publishes its counters in between.
    assert play(files, frames=30) == list(files.values()) * 10
    counts = site.probe.stats("camera")
    assert 0 < counts["passed_through"] <= counts["frames"] <= counts["passed_through"] + 1


def test_another_format_is_encoded(site: Site, play: Play) -> None:
    assert play({"1.png": PNG}, frames=10) == [encode_jpeg(PHOTO, 90)] * 10
    assert not site.probe.stats("camera").get("passed_through")


def test_no_metadata_is_published_and_the_picture_is_upright(play: Play) -> None:
    secret = b"taken at 50.0913 N"
    files = {"1.jpg": with_secrets(JPEG, secret), "2.jpg": with_secrets(PROGRESSIVE, secret), "3.jpg": turned(JPEG)}
    whole, progressive, upright = play(files, frames=3)
    assert (whole, progressive) == (JPEG, PROGRESSIVE)
    assert b"Exif" not in upright
    assert decode(upright).shape == decode(turned(JPEG)).shape == (320, 240, 3)


def test_a_jpeg_of_another_size_than_is_asked_for_is_encoded(play: Play) -> None:
    small = encode_jpeg(np.asarray(cv2.resize(PHOTO, (64, 48), interpolation=cv2.INTER_AREA), dtype=np.uint8), 95)
    resized, as_it_is = play({"1.jpg": JPEG, "2.jpg": small}, "--size", "64x48", frames=2)
    assert as_it_is == small
    head = read_head(resized)
    assert head is not None
    assert head.size == (64, 48)
    assert resized != small


def test_a_turned_jpeg_has_the_size_that_is_asked_for_as_it_is_seen(play: Play) -> None:
    (upright,) = play({"1.jpg": turned(encode_jpeg(half_and_half(), 90))}, "--size", "64x48", frames=1)
    picture = decode(upright)
    assert picture.shape == (48, 64, 3)
    assert picture[:10].mean(axis=(0, 1)) == pytest.approx((255, 0, 0), abs=8)
    assert picture[-10:].mean(axis=(0, 1)) == pytest.approx((0, 0, 255), abs=8)


@pytest.mark.parametrize("origin", ["flag", "environment"])
def test_jpegs_are_reencoded_where_a_quality_is_given(origin: str, play: Play) -> None:
    expected = encode_jpeg(decode(JPEG), 90)
    if origin == "flag":
        assert play({"1.jpg": JPEG}, "--quality", "90", frames=2) == [expected] * 2
    else:
        assert play({"1.jpg": JPEG}, frames=2, environment={"VP_QUALITY": "90"}) == [expected] * 2


def test_a_truncated_jpeg_is_skipped_with_one_warning(site: Site, play: Play) -> None:
    files = {"1.jpg": JPEG, "2.jpg": JPEG[:-40], "3.jpg": JPEG[: len(JPEG) // 2], "4.jpg": PROGRESSIVE}
    assert play(files, frames=6) == [JPEG, PROGRESSIVE] * 3
    for name in ("2.jpg", "3.jpg"):
        assert site.log("camera").count(f"{name}: not a picture; left out") == 1


def test_a_jpeg_over_the_brokers_packet_limit_is_made_smaller(bundle: Path, tmp_path: Path) -> None:
    assert len(JPEG) > 20_000
    (tmp_path / "1.jpg").write_bytes(JPEG)
    with Mosquitto("max_packet_size 20000") as broker, Site(broker.url, broker.port, bundle, tmp_path) as site:
        site.start("camera", "camera", "--source", str(tmp_path / "1.jpg"), "--frames", "1")
        assert site.wait("camera", 40) == 0
        site.probe.until(lambda: site.probe.of(Kind.FRAME), "a frame")
        (frame,) = (message.payload for message in site.probe.of(Kind.FRAME))
        assert len(frame) < 20_000
        assert decode(frame).shape[2] == 3
        assert "sent smaller" in site.log("camera")


def test_frames_are_no_larger_than_boards_need(site: Site, tmp_path: Path) -> None:
    large = encode_jpeg(synthetic_photo(640, 480, 0), 90)
    (tmp_path / "1.jpg").write_bytes(large)
    probe = site.probe
    site.start("camera", "camera", "--source", str(tmp_path / "1.jpg"), "--fps", "20")

    def await_size(*size: int) -> bytes:
        seen = len(probe.of(Kind.FRAME))

        def newest() -> bytes | None:
            return next((one.payload for one in probe.of(Kind.FRAME)[seen:] if _size(one.payload) == size), None)

        found: bytes = probe.until(newest, f"a frame of {size}", 30)
        return found

    def say(name: str, side: int | None) -> None:
        status = status_of(name, "variant", bundle="b", frame_side=side)
        probe.publish(Topics(SITE).status(name), status.encode())

    assert await_size(640, 480) == large
    say("small", 96)
    say("larger", 256)
    assert len(await_size(341, 256)) < len(large) / 2
    shrunk = len(probe.of(Kind.FRAME))
    probe.publish(Topics(SITE).capture("cam0"), b"")
    # As it was captured, and only this one.
    probe.until(lambda: [one.payload for one in probe.of(Kind.FRAME)][shrunk:].count(large) == 1, "the asked one", 30)
    # It switches to another bundle.
    say("larger", 300)
    await_size(400, 300)
    say("earlier-version", None)
    assert await_size(640, 480) == large


def test_a_class_folder_is_filled_with_a_sites_frames(site: Site, broker: Mosquitto, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    jpegs = [encode_jpeg(synthetic_photo(320, 240, seed), 90) for seed in range(3)]
    for number, jpeg in enumerate(jpegs):
        (folder / f"{number}.jpg").write_bytes(jpeg)
    site.start("camera", "camera", "--source", str(folder), "--fps", "20")
    site.probe.until(lambda: site.probe.of(Kind.FRAME), "a frame")
    where = ("--broker", broker.url, "--site", SITE, "--every", "0", "--json")
    code, text, said = run_vp("capture", str(tmp_path / "things"), "--class", "wall", "--count", "3", *where)
    assert code == 0, said
    result = json.loads(text)
    assert (result["kept"], result["refused"]) == (3, 0)
    kept = [file.read_bytes() for file in (tmp_path / "things" / "wall").iterdir()]
    assert sorted(kept) == sorted(jpegs)
    again = ("--class", "again", "--count", "5", "--source", str(folder))
    code, text, said = run_vp("capture", str(tmp_path / "things"), *again)
    assert (code, "3 new pictures, 3 in all" in text) == (0, True)
    assert f"{folder} has no more pictures; 5 were to be taken" in said
