"""Camera nodes with network cameras, videos and each other, over a real Mosquitto."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.http_camera import HttpCamera, once, stream
from tests.support.site import Site
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.local.ports import free_port
from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.topics import Kind

SECRET = "hunter2-Geheim"
JPEG = encode_jpeg(np.full((48, 64, 3), (0, 0, 255), dtype=np.uint8), 90)
MOTION_JPEG = stream([b"--frame\r\nContent-Type: image/jpg\r\n\r\n" + JPEG], "multipart/x-mixed-replace")


def statuses(site: Site, node: str) -> list[StatusMessage]:
    of_node = (StatusMessage.decode(m.payload) for m in site.probe.of(Kind.STATUS) if m.payload)
    return [status for status in of_node if status.node == node]


def await_problem(site: Site, node: str, text: str | None) -> None:
    """Wait until a node's status has a problem with this text, or none."""

    def is_so() -> bool:
        problem = next((status.problem for status in reversed(statuses(site, node))), "no status yet")
        return problem is None if text is None else text in (problem or "")

    site.probe.until(is_so, f"{node}: {text}", 20)


def test_a_network_camera_goes_and_comes_back(site: Site) -> None:
    port = free_port()
    address = f"HTTP://admin:{SECRET}@127.0.0.1:{port}/video?token={SECRET}"
    arguments = ("--camera", "door", "--fps", "50", "--log-json")
    with HttpCamera(MOTION_JPEG, port):
        site.start("camera", "camera", *arguments, environment={"VP_SOURCE": address})
        site.probe.until(lambda: len(site.probe.of(Kind.FRAME)) > 10, "frames", 20)
        await_problem(site, "camera", None)
    await_problem(site, "camera", "no pictures: Connection refused")
    frames = len(site.probe.of(Kind.FRAME))
    # Several attempts, and no line for each.
    time.sleep(2)
    with HttpCamera(MOTION_JPEG, port):
        await_problem(site, "camera", None)
        site.probe.until(lambda: len(site.probe.of(Kind.FRAME)) > frames + 10, "frames", 20)
    lines = [json.loads(line)["message"] for line in site.log("camera").splitlines()]
    about = [line for line in lines if "pictures from" in line]
    shown = f"HTTP://***@127.0.0.1:{port}/***"
    assert about[0].startswith(f"no pictures from {shown}: ")
    assert f"no pictures from {shown}: Connection refused; trying until there are" in about
    assert about[-1] == f"pictures from {shown} are back"
    assert len(about) <= 4
    assert site.probe.of(Kind.FRAME)[0].payload == JPEG, "as it is"
    assert {status.camera for status in statuses(site, "camera")} == {"door"}
    assert SECRET not in site.log("camera") + str(site.probe.received)


def test_png_parts_and_png_snapshots_are_jpegs_on_the_wire(site: Site) -> None:
    png = cv2.imencode(".png", np.full((48, 64, 3), (0, 0, 255), dtype=np.uint8))[1].tobytes()
    answers = {
        "parts": stream([b"--frame\r\n\r\n" + png], "multipart/x-mixed-replace"),
        "snapshot": once(png, "image/png"),
    }
    for name, answer in answers.items():
        with HttpCamera(answer) as camera:
            site.start(name, "camera", "--camera", name, "--source", camera.url(), "--frames", "5", "--fps", "50")
            assert site.wait(name, 40) == 0
        assert "no pictures" not in site.log(name)
    frames = {message.topic: message.payload for message in site.probe.of(Kind.FRAME)}
    assert set(frames) == {site.probe.topics.frame(name) for name in answers}
    assert set(frames.values()) == {JPEG}


def test_a_stream_of_ffmpegs_that_is_not_there_is_one_line_with_the_reason(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "door.source"
    file.write_text(f"RTSPT://admin:{SECRET}@127.0.0.1:{free_port()}/stream\n")
    site.start("camera", "camera", "--source-file", str(file))
    await_problem(site, "camera", "no pictures: Connection refused")
    time.sleep(2)
    lines = site.log("camera").splitlines()
    assert sum("no pictures from RTSPT://***@127.0.0.1" in line for line in lines) == 1
    assert all(line[2] == line[5] == ":" for line in lines), "our lines only"
    assert SECRET not in site.log("camera")


def test_a_password_that_an_rtsp_camera_refuses_is_said(site: Site) -> None:
    refusal = b'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm="door"\r\n\r\n'

    class Refuse(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(4096):
                self.request.sendall(refusal)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        source = f"rtsp://admin:{SECRET}@127.0.0.1:{server.server_address[1]}/live"
        site.start("camera", "camera", environment={"VP_SOURCE": source})
        await_problem(site, "camera", "no pictures: 401 (Unauthorized)")
        server.shutdown()
    assert SECRET not in site.log("camera") + str(site.probe.received)


def test_a_password_in_a_flag_is_warned_of(site: Site) -> None:
    site.start("camera", "camera", "--source", f"rtsp://admin:{SECRET}@127.0.0.1:{free_port()}/")
    site.await_log("camera", "which everyone on this machine can see in the process list: use VP_SOURCE or")
    assert SECRET not in site.log("camera")


@pytest.mark.parametrize(("fps", "frames"), [("1000", 40), ("5", 10)])
def test_a_video_plays_in_its_own_time(fps: str, frames: int, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 20, (64, 48))
    for _ in range(40):
        writer.write(np.full((48, 64, 3), 90, dtype=np.uint8))
    writer.release()
    site.start("camera", "camera", "--source", str(file), "--once", "--fps", fps, "--in-flight", "100")
    assert site.wait("camera", 40) == 0
    announces = site.probe.announces()
    assert len(announces) == frames
    assert announces[-1].captured - announces[0].captured == pytest.approx(2 - 2 / frames, abs=1)


def test_two_cameras_with_one_name_are_noticed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    site.start_fusion("--deadline-ms", "20")
    site.await_online("fusion")
    for node in ("one", "two"):
        site.start(node, "camera", "--source", str(tmp_path / "1.jpg"), "--fps", "5")
    for node in ("one", "two"):
        await_problem(site, node, "another camera publishes as 'cam0'")
        site.await_log(node, "give each its own --camera")


def test_a_second_camera_of_one_name_is_told_to_give_another_camera_name(site: Site, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    site.start("camera", "camera", "--source", str(tmp_path / "1.jpg"))
    site.await_online("camera")
    site.start("camera", "camera", "--source", str(tmp_path / "1.jpg"))
    site.await_log("camera", "give each camera its own --camera")
