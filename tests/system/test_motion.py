"""Regions, the motion gate and frames that are asked for, with real nodes over a real Mosquitto."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import error_line, run_vp
from tests.support.http_camera import HttpCamera, head
from tests.support.site import Site
from vp_mqtt.inference.pictures import decode, encode_jpeg
from vp_mqtt.protocol.messages import AnnounceMessage, StatusMessage
from vp_mqtt.protocol.settings_values import SettingsInForce
from vp_mqtt.protocol.topics import Kind

WIDTH, HEIGHT = 320, 240
LEFT, RIGHT = slice(0, 160), slice(160, 320)


class Scene:
    """A network camera with the noise of a sensor; what is before it can be changed."""

    def __init__(self) -> None:
        self.picture = np.full((HEIGHT, WIDTH, 3), (200, 40, 40), dtype=np.uint8)
        self._lock = threading.Lock()
        self.changed_at = 0.0
        self._random = np.random.default_rng(1)

    def answer(self, camera: HttpCamera, request: BaseHTTPRequestHandler) -> None:
        head(request, "multipart/x-mixed-replace")
        while not camera.over.wait(0.04):
            with self._lock:
                noisy = self.picture + self._random.normal(0, 4, self.picture.shape)
            jpeg = encode_jpeg(np.clip(noisy, 0, 255).astype(np.uint8), 85)
            request.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg)

    def show(self, where: slice, colour: tuple[int, int, int]) -> None:
        with self._lock:
            self.picture[:, where] = colour
            self.changed_at = time.time()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def camera(scene: Scene) -> Iterator[HttpCamera]:
    with HttpCamera(scene.answer) as running:
        yield running


def announced(site: Site, camera: str = "cam0") -> list[AnnounceMessage]:
    topic = site.probe.topics.announce(camera)
    return [AnnounceMessage.decode(m.payload) for m in site.probe.of(Kind.ANNOUNCE) if m.topic == topic]


def status(site: Site) -> StatusMessage:
    return StatusMessage.decode(
        [m for m in site.probe.of(Kind.STATUS) if m.topic.endswith("/camera/status")][-1].payload
    )


def await_still(site: Site, *cameras: str) -> None:
    site.probe.until(lambda: status(site).still == cameras, f"still: {cameras}")


def start_gated(site: Site, source: str, *arguments: str) -> None:
    # A status says at most once a second what is still: motion lasts for longer than that, even on a slow machine.
    gate = ("--motion-gate", "--motion-hold", "2.5", "--heartbeat", "1.5", "--fps", "20")
    site.start("camera", "camera", "--source", source, *gate, *arguments)
    site.await_online("camera")


def test_a_still_scene_is_published_seldom_and_a_change_at_once(site: Site, scene: Scene, camera: HttpCamera) -> None:
    site.start_all((0, 1))
    start_gated(site, camera.url())
    await_still(site, "cam0")
    before = len(announced(site))
    time.sleep(3.2)
    frames = announced(site)
    assert 1 <= len(frames) - before <= 3
    assert {frame.next_within_s for frame in frames} == {1.5}
    scene.show(RIGHT, (40, 200, 40))
    site.probe.until(lambda: len(announced(site)) > len(frames) + 3, "frames with motion")
    first = next(frame for frame in announced(site) if frame.captured > scene.changed_at)
    assert first.captured - scene.changed_at < 0.5
    await_still(site)
    await_still(site, "cam0")
    # Every frame has its label, in order, and labels stay valid until the next.
    labels = site.probe.until(
        lambda: len(site.probe.labels()) >= len(announced(site)) and site.probe.labels(), "labels"
    )
    assert [label.frame for label in labels] == [frame.frame for frame in announced(site)][: len(labels)]
    assert {label.label for label in labels[:4]} == {"blue"}
    site.probe.until(lambda: site.probe.stats("camera").get("still", 0) > 20, "frames that were not published")
    assert "silent" not in site.log("fusion")


def test_regions_are_cameras_each_with_its_own_gate(site: Site, scene: Scene, camera: HttpCamera) -> None:
    site.start_fusion("--cameras", "yard.left,yard.right")
    site.start_variant(0)
    site.await_online("v0", "fusion")
    regions = ("--region", "left=0,0,0.5,1", "--region", "right=0.5,0,1,0.5")
    start_gated(site, camera.url(), "--camera", "yard", *regions)
    await_still(site, "yard.left", "yard.right")
    assert (status(site).camera, status(site).regions) == ("yard", ("yard.left", "yard.right"))
    before = len(announced(site, "yard.left"))
    scene.show(RIGHT, (40, 40, 250))
    await_still(site, "yard.left")
    assert len(announced(site, "yard.left")) - before <= 2
    site.probe.until(
        lambda: {("yard.left", "blue"), ("yard.right", "red")} <= {(x.camera, x.label) for x in site.probe.labels()},
        "labels of both",
    )
    shapes = {message.topic.split("/")[3]: decode(message.payload).shape for message in site.probe.of(Kind.FRAME)}
    assert shapes == {"yard.left": (240, 160, 3), "yard.right": (120, 160, 3)}
    check_settings_of_the_site(site)


def set_camera(site: Site, payload: bytes) -> None:
    topic = site.probe.topics.camera_settings("yard")
    site.probe.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(5)


def await_settings(site: Site, what: str, condition: Callable[[SettingsInForce], object]) -> None:
    def is_so() -> object:
        return (now := status(site).settings) is not None and condition(now)

    site.probe.until(is_so, what)


def check_settings_of_the_site(site: Site) -> None:
    """The camera node takes its site's settings while it runs, and refuses those that are none."""
    own = status(site).settings
    assert own is not None
    assert status(site).picture == (WIDTH, HEIGHT)
    assert own.regions == {"left": (0, 0, 0.5, 1), "right": (0.5, 0, 1, 0.5)}
    other = {"version": 1, "changed": 1.0, "regions": {"left": [0.25, 0, 0.5, 0.25]}}
    still = {"gate": False, "threshold": 12, "area": 0.5, "hold": 1, "heartbeat": 4}
    set_camera(site, json.dumps(other | {"motion": still}).encode())
    await_settings(site, "the site's settings", lambda now: now.version == 1)
    assert status(site).regions == ("yard.left",)
    assert status(site).still is None
    site.probe.received = [message for message in site.probe.received if "/status" in message.topic]
    frames = site.probe.until(lambda: len(found := site.probe.of(Kind.FRAME)) > 5 and found, "frames without a gate")
    assert {(m.topic.split("/")[3], decode(m.payload).shape) for m in frames[1:]} == {("yard.left", (60, 80, 3))}

    # A snapshot is the whole picture, and no frame.
    site.probe.publish(site.probe.topics.capture("yard"), b"snapshot")
    (snapshot,) = site.probe.until(lambda: site.probe.of(Kind.SNAPSHOT), "a snapshot")
    assert snapshot.topic == site.probe.topics.snapshot("yard")
    assert decode(snapshot.payload).shape == (HEIGHT, WIDTH, 3)

    # What is no settings changes nothing, and the node says so.
    for wrong in (b"\xff" * 9000, json.dumps(other | {"regions": {"left": [0.5, 0, 0.25, 1]}}).encode(), b"["):
        set_camera(site, wrong)
    await_settings(site, "a refusal", lambda now: now.refused == "message: not valid JSON" and now.version == 1)
    assert status(site).regions == ("yard.left",)
    site.probe.until(lambda: site.probe.stats("camera").get("refused", 0) == 3, "the refusals are counted")

    # Cleared, the node's own settings are in force again.
    set_camera(site, b"")
    await_settings(site, "its own settings", lambda now: now == own)
    assert status(site).regions == ("yard.left", "yard.right")
    await_still(site, "yard.left", "yard.right")


def test_a_turned_and_mirrored_picture_is_published_so(site: Site, scene: Scene, camera: HttpCamera) -> None:
    scene.show(LEFT, (0, 0, 255))
    turned = ("--rotate", "90", "--mirror", "--size", "60x80", "--frames", "3", "--fps", "20")
    site.start("camera", "camera", "--source", camera.url(), *turned)
    assert site.wait("camera", 30) == 0
    picture = decode(site.probe.of(Kind.FRAME)[-1].payload)
    assert picture.shape == (80, 60, 3)
    assert picture[:30].mean(axis=(0, 1)) == pytest.approx((0, 0, 255), abs=12), "what was left is above"


def test_a_frame_that_is_asked_for_comes_now(site: Site, camera: HttpCamera) -> None:
    start_gated(
        site,
        camera.url(),
        "--heartbeat",
        "60",
        "--motion-hold",
        "0",
        "--fps",
        "0.1",
        "--region",
        "left=0,0,0.5,1",
        "--region",
        "all=0,0,1,1",
    )
    site.probe.until(lambda: announced(site, "cam0.left"), "the first frames")
    time.sleep(0.5)

    def ask(name: str, payload: bytes = b"") -> None:
        site.probe.publish(site.probe.topics.capture(name), payload)

    def count() -> tuple[int, int]:
        return len(announced(site, "cam0.left")), len(announced(site, "cam0.all"))

    assert count() == (1, 1)
    ask("cam0.left", b'\xff{"whatever":')
    site.probe.until(lambda: count() == (2, 1), "a frame of the region")
    ask("cam0")
    site.probe.until(lambda: count() == (3, 2), "a frame of every region")
    for _ in range(30):
        ask("cam0.left", bytes(60_000))
    site.probe.until(lambda: site.probe.stats("camera").get("refused: too many captures", 0) >= 20, "refusals")
    time.sleep(0.5)
    assert count()[0] <= 9
    assert count()[1] == 2


def test_a_request_that_the_broker_has_kept_is_none(site: Site, camera: HttpCamera) -> None:
    site.probe.client.publish(site.probe.topics.capture("cam0"), b"", qos=1, retain=True)
    site.probe.client.publish(site.probe.topics.capture("cam0"), b"1", qos=1, retain=True).wait_for_publish(5)
    start_gated(site, camera.url(), "--heartbeat", "60")
    await_still(site, "cam0")
    assert site.probe.stats("camera").get("captures", 0) == 0
    site.probe.client.publish(site.probe.topics.capture("cam0"), b"", qos=1, retain=True).wait_for_publish(5)


def test_a_snapshot_shows_what_is_there_and_where_the_regions_lie(camera: HttpCamera, tmp_path: Path) -> None:
    file = tmp_path / "yard.jpg"
    regions = ("--region", "door=0,0,0.5,1", "--region", "bin=0.5,0.5,1,1", "--regions", "--camera", "yard")
    code, out, err = run_vp("camera", "snapshot", "--source", camera.url(), "--out", str(file), *regions, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "file": str(file),
        "width": WIDTH,
        "height": HEIGHT,
        "regions": {"yard.door": [0, 0, 160, 240], "yard.bin": [160, 120, 320, 240]},
    }
    assert decode(file.read_bytes()).shape == (HEIGHT, WIDTH, 3)
    assert "after 'snapshot'" in error_line(run_vp("camera", "--source", camera.url(), "snapshot"))
