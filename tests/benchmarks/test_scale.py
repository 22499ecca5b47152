"""`vp bench scale`: what is sent, what is counted, how it is shown. No test here looks at how long anything took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import report
from benchmarks.scale.family import CLASSES, manifest
from benchmarks.scale.load import summary
from benchmarks.scale.measure import ScaleSite
from benchmarks.scale.traffic import Traffic, batches, statuses
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt import publish_packet
from vp_mqtt.mqtt.properties import variable_integer
from vp_mqtt.mqtt.publish_packet import PublishPacket
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, StatusMessage
from vp_mqtt.protocol.topics import Kind


def traffic(*, in_step: bool = False) -> Traffic:
    digest = manifest(2).short_digest.hex()
    return Traffic("home", digest, run=7, cameras=3, variants=2, fps=10.0, seconds=0.5, in_step=in_step)


def packets(data: bytes) -> list[PublishPacket]:
    found, at = [], 0
    while at < len(data):
        length, start = variable_integer(bytearray(data), at + 1)
        found.append(publish_packet.parse(data[at], bytearray(data[start : start + length])))
        at = start + length
    return found


def test_every_camera_announces_and_every_board_votes_on_every_frame() -> None:
    announced, voted = set(), set()
    for batch in batches(traffic()):
        for packet in packets(batch.announces):
            frame = AnnounceMessage.decode(packet.payload).announce().frame
            announced.add((topics.parse(str(packet.topic)).source, frame))
        for variant, own in enumerate(batch.votes):
            for packet in packets(own):
                topic = topics.parse(str(packet.topic))
                assert (topic.kind, topic.variant) == (Kind.VOTE, variant)
                assert votes.decode(packet.payload, CLASSES).digest == manifest(2).short_digest
                voted.add((topic.source, FrameId.decode(packet.correlation), variant))
    assert announced == {(f"cam{c}", FrameId(7, n)) for c in range(3) for n in range(5)}
    assert voted == {(*frame, variant) for frame in announced for variant in range(2)}


def test_cameras_in_step_announce_at_the_same_time() -> None:
    counts = [len(packets(batch.announces)) for batch in batches(traffic(in_step=True))]
    assert [count for count in counts if count] == [3] * 5


def test_boards_say_that_they_are_online() -> None:
    found = [StatusMessage.decode(packet.payload) for packet in packets(statuses(traffic()))]
    assert [(one.variant, one.state) for one in found] == [(0, "online"), (1, "online")]


def label(camera: str, sequence: int, window_ms: float) -> dict[str, Any]:
    frame = str(FrameId(7, sequence))
    return {"camera": camera, "frame": frame, "latency_ms": window_ms, "closed_by": "complete"}


def test_lost_labels_are_counted_and_times_are_those_after_the_warm_up() -> None:
    labels = [(100.0 + n / 10 + 0.02, label("cam0", n, 5.0 + n)) for n in range(5)]
    found = summary(traffic(), [*labels, labels[-1]], began=100.0, delay=0.001)
    assert (found["frames"], found["labels_lost"], found["load_behind_ms"]) == (15, 10, 1.0)
    assert found["response_ms"]["p99"] == pytest.approx(20.0, abs=0.01)
    assert found["window_ms"]["p50"] == pytest.approx(8.0)
    assert summary(traffic(), [], began=100.0, delay=0.0)["window_ms"] is None


def test_a_fusion_node_labels_what_is_sent(tmp_path: Path) -> None:
    with ScaleSite(deadline_ms=1000.0) as site:
        site.use(2)
        step = site.measure(site.traffic(2, 2, 20.0, 0.5)).as_dict()
    assert step["labels_lost"] == 0
    assert step["us_per_vote"] > 0
    assert step["shares"].keys() == {"fusion", "broker", "load"}
    one = {
        "by_cameras": [step],
        "by_variants": [step | {"variants": 2, "us_per_vote": 60.0}, step | {"variants": 10, "us_per_vote": 28.0}],
        "one_camera": step,
        "in_step": step,
        "ramp": [step],
        "largest_votes_per_second": 80,
        "half_load": step,
        "paho": {"saturated": {"messages_per_second": 100}},
    }
    heading, *rows = report.rows({"before": one, "after": one})
    assert heading == ["", "before", "after"]
    assert ["a bare paho client, messages/s", "100", "100"] in rows
    # 120 us with two votes, 280 us with ten.
    assert ["fitted to these: a frame; each vote on it", "80 us; 20 us", "80 us; 20 us"] in rows
    report.draw({"before": one, "after": json.loads(json.dumps(one))}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="No such file"):
        report.draw({"": one}, tmp_path / "nowhere" / "curves.png")


def test_an_earlier_run_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    file.write_text('{"deadline_ms": 250.0}', encoding="utf-8")
    assert report.read_report(file) == {"deadline_ms": 250.0}
    file.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"^--beside .*before\.json: "):
        report.read_report(file)
