"""Invalid messages of any client: counted, logged once, and the next good frame is labelled."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.broker import Mosquitto
from tests.support.jpegs import many_scans
from tests.support.site import SITE, Site, picture
from tests.support.tiny import write_bundle
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind
from vp_mqtt.protocol.votes import encode, select

GOOD = FrameId(7, 1000)


def claims_60000_by_60000() -> bytes:
    """Return a JPEG whose header (SOF0 marker) claims 60,000 x 60,000 pixels."""
    data = bytearray(encode_jpeg(picture("red"), 90))
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


def assert_the_next_good_frame_is_labelled(site: Site) -> None:
    site.probe.publish_frame(GOOD, "green")
    assert site.probe.label_of(GOOD).label == "green"


@pytest.mark.parametrize(
    ("what", "payload", "correlation", "reason"),
    [
        ("truncated", encode_jpeg(picture("red"), 90)[:200], GOOD.encode(), "not a picture"),
        ("text", b"hello", GOOD.encode(), "not a picture"),
        ("empty", b"", GOOD.encode(), "empty picture"),
        ("60,000 x 60,000", claims_60000_by_60000(), GOOD.encode(), "picture too large"),
        ("many scans", many_scans(5000, 5000, 200), GOOD.encode(), "JPEG with too many scans"),
        ("another format", b"II*\x00" + bytes(100), GOOD.encode(), "TIFF, not JPEG"),
        ("no frame id", encode_jpeg(picture("red"), 90), None, "no frame id"),
        ("short frame id", encode_jpeg(picture("red"), 90), b"1234", "no frame id"),
    ],
)
def test_a_bad_frame_is_counted_and_logged_once(
    site: Site, what: str, payload: bytes, correlation: bytes | None, reason: str
) -> None:
    site.start_all([0])
    for count in (1, 2, 3):
        site.probe.publish(site.probe.topics.frame("cam0"), payload, correlation)
        site.probe.until(
            lambda n=count: site.probe.stats("v0").get(f"refused: {reason}") == n,  # type: ignore[misc]
            f"{what} counted",
        )
    assert_the_next_good_frame_is_labelled(site)
    assert site.log("v0").count(f": {reason} ") == 1


def test_a_frame_of_fifty_megabytes_does_no_harm(site: Site, broker: Mosquitto) -> None:
    broker.stop()
    broker.extra = "max_packet_size 100000000"
    broker.start()
    site.start_all([0])
    noise = np.random.default_rng(0).integers(0, 256, 50_000_000, dtype=np.uint8).tobytes()
    site.probe.publish(site.probe.topics.frame("cam0"), noise, GOOD.encode())
    site.probe.until(lambda: len(site.probe.of(Kind.FRAME)) == 1, "the frame on the broker", timeout=30)
    assert_the_next_good_frame_is_labelled(site)
    site.probe.until(lambda: site.probe.stats("v0").get("votes") == 1, "one vote")
    assert site.probe.stats("v0")["connections"] == 1


def test_bad_votes_are_counted_and_logged_once(site: Site, bundle: Path) -> None:
    site.start_all([0])
    digest = open_bundle(bundle).manifest.short_digest
    sure = np.array([1.0, 0.0, 0.0, 0.0])
    good = encode(select(sure, 3, digest))
    pair = struct.Struct(">HH")
    header = good[:8]
    bad = {
        "class index out of range": header + pair.pack(9999, 65535) + good[12:],
        "class occurs twice": header + pair.pack(0, 65535) * 3,
        "probabilities add up to more than 1": header + pair.pack(0, 65535) + pair.pack(1, 65535) + pair.pack(2, 65535),
        "length does not match k": good[:-1],
        "wrong length": b"\xff" * 3,
        "unknown format": b"\x63" + good[1:],
        "vote from another bundle": encode(select(sure, 3, b"\x00\x01\x02\x03")),
    }
    topic = site.probe.topics.vote("cam0", 3)
    for payload in bad.values():
        for _ in range(2):
            site.probe.publish(topic, payload, GOOD.encode())
    site.probe.publish(topic, good, b"no frame id")
    # The fusion node does not subscribe to votes of variants that the family does not have.
    site.probe.publish(site.probe.topics.vote("cam0", 77), good, GOOD.encode())
    site.probe.until(lambda: site.probe.stats("fusion").get("refused") == 2 * len(bad) + 1, "all refused")
    counts = site.probe.stats("fusion")
    assert {reason: counts[f"refused: {reason}"] for reason in bad} == dict.fromkeys(bad, 2)
    assert all(site.log("fusion").count(f": {reason} ") == 1 for reason in bad)
    assert_the_next_good_frame_is_labelled(site)
    assert 3 in site.probe.label_of(GOOD).missing


def test_votes_on_a_frame_that_was_never_announced_make_no_label(site: Site, bundle: Path) -> None:
    site.start_all([0])
    vote = encode(select(np.array([1.0, 0.0, 0.0, 0.0]), 3, open_bundle(bundle).manifest.short_digest))
    for sequence in range(20):
        site.probe.publish(site.probe.topics.vote("cam0", 3), vote, FrameId(666, sequence).encode())
    assert_the_next_good_frame_is_labelled(site)
    site.probe.until(lambda: site.probe.stats("fusion").get("unannounced") == 20, "unannounced windows counted")
    assert len(site.probe.labels()) == 1


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"frame": "x"}', b'{"frame": NaN', b"\xff\xfe", b"[" * 12_000])
def test_bad_announces_statuses_and_labels_do_no_harm(site: Site, payload: bytes) -> None:
    site.start_all([0])
    for topic in (
        site.probe.topics.announce("cam0"),
        site.probe.topics.announce("cam 0 with blanks"),
        site.probe.topics.status("stranger"),
        site.probe.topics.vote("cam0", 0),
    ):
        site.probe.publish(topic, payload, GOOD.encode())
    site.probe.until(lambda: site.probe.stats("fusion").get("refused", 0) >= 3, "refused")
    assert_the_next_good_frame_is_labelled(site)


def test_a_board_with_another_family_is_refused_not_averaged_in(site: Site, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", name="other")
    site.start_all([0])
    site.start_variant(1, "--bundle", str(other))
    site.await_online("v1")
    site.await_log("fusion", "refused from v1: variant of another bundle")
    site.probe.publish_frame(GOOD)
    label = site.probe.label_of(GOOD)
    assert label.voted == (0,)
    assert label.alive == (0,)
    site.await_log("fusion", "vote from another bundle")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["node"], "--variant is missing"),
        (["node", "--variant", "6"], "variants 0 to 5"),
        (["node", "--variant", "two"], "--variant"),
        (["node", "--variant", "0", "--k", "3"], "write 2 or less"),
        (["node", "--variant", "0", "--bundle", "/nowhere"], "no bundle at '/nowhere'"),
        (["node", "--variant", "0", "--broker", "localhost"], "not a broker's address"),
        (["node", "--variant", "0", "--broker", "mqtt://127.0.0.1:99999"], "no valid host and port"),
        (["fusion", "--deadline-ms", "-1"], "--deadline-ms"),
        (["camera", "--source", "/nowhere.mp4"], "no such file"),
        (["camera", "--source", "BROKEN.jpg"], "no picture there can be read"),
        (["camera", "--source", "BROKEN.mp4"], "neither a picture nor a video"),
        (["camera", "--source", "63"], "no webcam"),
        (["camera", "--config", "BROKEN.toml"], "not valid TOML"),
        (["camera", "--size", "640"], "not a size"),
        (["watch", "--broker", "mqtt://127.0.0.1:9", "--give-up-after", "0.1"], "nothing listens"),
        (["watch", "--password-file", "/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_setting_gets_one_clear_line_and_exit_code_2(
    bundle: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    for name in ("BROKEN.jpg", "BROKEN.mp4", "BROKEN.toml"):
        (tmp_path / name).write_bytes(b"this = is = broken")
    needs_bundle = arguments[0] in {"node", "fusion"} and "--bundle" not in arguments
    result = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", *arguments, *(["--bundle", str(bundle)] if needs_bundle else [])],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "VP_SITE": SITE},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    complaints = [line for line in result.stderr.splitlines() if line.startswith("vp: ")]
    assert len(complaints) == 1
    assert says in complaints[0]
    assert "Traceback" not in result.stderr
