"""`vp bench latency`: what it measures, and what it prints. No test here looks at how long anything took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.emulation.cpu_affinity import on_core, place
from benchmarks.latency import minimal_node
from benchmarks.latency.end_to_end import summarise
from benchmarks.latency.lower_bound import LowerBound, LowerBoundTimes
from benchmarks.latency.models import compare
from tests.support.broker import Mosquitto
from tests.support.tiny import model
from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.cli.common_options import parse_size
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.site.selection import select_precisions, select_runtimes
from vp_mqtt.site.synthetic_photos import synthetic_photo
from vp_mqtt.site.timing import quantiles, time_in_turns
from vp_mqtt.training.random_family import RandomModel

FAMILY = """\
name = "two"
[[variants]]
resolution = 32
head = 16
[[variants]]
resolution = 64
head = 16
"""


def vp(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "bench", "latency", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=110)


def label(sequence: int, *, captured: float, voted: tuple[int, ...] = (0,)) -> LabelMessage:
    return LabelMessage(
        camera="cam0",
        frame=f"0000002a-{sequence}",
        label="red",
        class_index=0,
        confidence=1.0,
        score=1.0,
        voted=voted,
        missing=(),
        alive=(0,),
        closed_by=ClosedBy.COMPLETE,
        latency_ms=1.0,
        captured=captured,
        valid_for_s=5.0,
        bundle="tiny",
    )


# Times


def test_calls_take_turns_and_the_first_turn_is_not_counted() -> None:
    now = 0.0
    order: list[str] = []

    def call(name: str, seconds: list[float]) -> None:
        nonlocal now
        now += seconds.pop(0)
        order.append(name)

    slow = [9.0] * 5 + [0.009, 0.004, 0.006, 0.005, 0.005] * 2
    fast = [9.0] * 5 + [0.002, 0.001, 0.001, 0.001, 0.001] * 2
    calls = [lambda: call("slow", slow), lambda: call("fast", fast)]
    times = time_in_turns(calls, 5, clock=lambda: now)
    assert [time.ms for time in times] == pytest.approx([5.0, 1.0])
    assert [time.cold_ms for time in times] == pytest.approx([9.0, 2.0])
    assert order == (["slow"] * 5 + ["fast"] * 5) * 3


def test_quantiles_are_named() -> None:
    assert quantiles(list(range(101))) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_the_ratio_is_of_the_base_to_each_variant() -> None:
    models = [
        RandomModel(VariantSpec(resolution=resolution, head=8), 4, 12, model(resolution)) for resolution in (64, 16, 24)
    ]
    report = compare(models, runtime="onnxruntime", threads=1, precision="float32", runs=3)
    assert [(v.index, v.resolution) for v in report.variants] == [(0, 16), (1, 24)]
    assert all(v.ratio == report.baseline.ms / v.times.ms for v in report.variants)
    expected = {"runtime", "version", "threads", "precision", "runs", "baseline_ms", "variants"}
    assert set(report.as_dict()) == expected | {"baseline_cold_ms"}


def test_response_times_are_from_capture_to_arrival_and_without_the_first_frames() -> None:
    labels = [(label(sequence, captured=100.0), 100.0 + 0.001 * (sequence + 1)) for sequence in range(24)]
    report = summarise(labels, alive=[0, 1], frames=24)
    assert report.frames == report.labels == 4
    assert report.times == pytest.approx([21, 22, 23, 24])
    assert report.incomplete == 4  # variant 1 is alive and has not voted
    assert report.closed_by == {"complete": 4}
    with pytest.raises(UserError, match="no label"):
        summarise([], alive=[0], frames=24)


# Where things run


def test_the_most_expensive_variant_does_not_share_the_site_s_core() -> None:
    placement = place([4, 5], {0: 1.0, 1: 2.0, 2: 5.0})
    assert placement.site == 4
    assert placement.variants == {0: 4, 1: 5, 2: 5}
    assert placement.busiest({0: 1.0, 1: 2.0, 2: 5.0}) == 7.0


def test_every_variant_has_a_core_of_its_own_where_there_are_enough() -> None:
    placement = place(range(8), dict.fromkeys(range(6), 1.0))
    assert len({placement.site, *placement.variants.values()}) == 7
    assert placement.busiest(dict.fromkeys(range(6), 3.0)) == 3.0
    assert place([3], {0: 1.0, 1: 2.0}).variants == {0: 3, 1: 3}


def test_what_is_started_on_a_core_stays_there() -> None:
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    with on_core(core):
        report = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert report.stdout.strip() == f"{{{core}}}"
    assert os.sched_getaffinity(0) == allowed


def test_synthetic_pictures_cost_what_photographs_do() -> None:
    picture = synthetic_photo(640, 480, 0)
    assert picture.shape == (480, 640, 3)
    assert (picture == synthetic_photo(640, 480, 0)).all()
    assert (picture != synthetic_photo(640, 480, 1)).any()
    assert 25_000 < len(encode_jpeg(picture, 80)) < 70_000  # photographs: 33 to 70 KB
    assert synthetic_photo(16, 20, 0).shape == (20, 16, 3)


# The lower bound


def test_the_lower_bound_is_the_sum_of_its_steps() -> None:
    times = LowerBoundTimes(
        hops=[1.0, 3.0], steps={7: [(0.5, 0.25, 2.0), (0.5, 0.25, 4.0)]}, encode=[1, 1], label_hop=[2, 2]
    )
    assert times.sums(7) == [3.75, 7.75]
    report = times.as_dict(7)
    assert report["p50_ms"] == 5.75
    assert report["with_label_hop_ms"]["p50"] == 8.75
    assert report["encode_ms"]["p50"] == 1
    report = LowerBoundTimes(hops=times.hops, steps=times.steps, label_hop=times.label_hop).as_dict(7)
    assert report["with_label_hop_ms"]["p50"] == 7.75  # JPEGs that are passed through cost no encoding
    assert report["encode_ms"] is None
    assert minimal_node.decode_times(minimal_node.encode_times([1.5, 2.5])) == [1.5, 2.5]


def test_the_lower_bound_is_measured_over_a_real_broker(broker: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    log = tmp_path / "minimal-node.log"
    with LowerBound(
        port=broker.port, bundle=str(bundle), runtime="onnxruntime", variants=[5, 0], core=core, log=log
    ) as bound:
        for _ in range(2):
            bound.measure([synthetic_photo(64, 48, 0)], quality=90, count=3, fps=200, label_bytes=400)
    assert len(bound.times.hops) == len(bound.times.label_hop) == len(bound.times.encode) == 6
    assert {variant: len(steps) for variant, steps in bound.times.steps.items()} == {5: 6, 0: 6}
    assert all(np.array(steps).min() > 0 for steps in bound.times.steps.values())


def test_the_lower_bound_under_jpegs_that_are_passed_through_has_no_encoding(
    broker: Mosquitto, bundle: Path, tmp_path: Path
) -> None:
    jpeg = encode_jpeg(synthetic_photo(64, 48, 0), 90)
    core = max(os.sched_getaffinity(0))
    log = tmp_path / "minimal-node.log"
    with LowerBound(
        port=broker.port, bundle=str(bundle), runtime="onnxruntime", variants=[0], core=core, log=log
    ) as bound:
        bound.measure([jpeg], quality=90, count=3, fps=200, label_bytes=400)
    assert bound.times.encode == []
    assert len(bound.times.hops) == 3
    assert bound.times.as_dict(0)["with_label_hop_ms"]["p50"] > bound.times.as_dict(0)["p50_ms"]


def test_a_lower_bound_that_cannot_be_measured_is_one_line(broker: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "minimal-node.log"
    bound = LowerBound(port=broker.port, bundle=str(bundle), runtime="none", variants=[0], core=0, log=log)
    with pytest.raises(UserError, match=r"did not start: .*none") as caught, bound:
        pass
    assert "\n" not in str(caught.value)


# The command


def test_wrong_choices_are_reported() -> None:
    assert select_precisions(["int8", "float32", "int8"]) == ["float32", "int8"]
    assert select_runtimes(["onnxruntime", "all"])[0] == "onnxruntime"
    with pytest.raises(UserError, match="--precision half"):
        select_precisions(["half"])
    with pytest.raises(UserError, match="--runtime tflite"):
        select_runtimes(["tflite"])
    assert parse_size("640x480") == (640, 480)
    for text in ("640", "8x8", "ax480", "640x9000"):
        with pytest.raises(UserError, match=f"--size {text}"):
            parse_size(text)


@pytest.mark.parametrize(
    ("arguments", "report"),
    [
        (["--runtime", "tflite"], "--runtime tflite"),
        (["--family", "none"], "--family none"),
        (["--camera", "png"], "--camera png"),
    ],
)
def test_errors_are_reported_in_one_line(arguments: list[str], report: str) -> None:
    refused = vp(*arguments)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert report in refused.stderr


def test_models_are_measured_in_one_run(tmp_path: Path) -> None:
    family = tmp_path / "two.toml"
    family.write_text(FAMILY)
    done = vp("--family", str(family), "--classes", "4", "--runs", "3", "--no-end-to-end", "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["end_to_end"] is None
    assert {"processor", "cores", "load"} <= report["machine"].keys()
    measured = [(one["runtime"], one["precision"], one["threads"]) for one in report["models"]]
    assert measured == [("onnxruntime", precision, n) for precision in ("float32", "int8") for n in (1, 2)]
    for one in report["models"]:
        assert one["runs"] == 3
        assert [(v["index"], v["resolution"]) for v in one["variants"]] == [(0, 32), (1, 64)]
        assert all(v["ratio"] == pytest.approx(one["baseline_ms"] / v["ms"], rel=0.05) for v in one["variants"])


@pytest.mark.parametrize("camera", ["jpeg", "encode"])
def test_the_running_system_is_measured_beside_its_lower_bound(camera: str, bundle: Path) -> None:
    chosen = ("--no-models", "--bundle", str(bundle), "--frames", "6", "--fps", "50", "--size", "64x48")
    done = vp(*chosen, "--camera", camera, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["models"] == []
    end_to_end = report["end_to_end"]
    assert end_to_end["one"]["alive"] == [5]
    assert end_to_end["all"]["alive"] == [0, 1, 2, 3, 4, 5]
    for run in ("one", "all"):
        assert end_to_end[run]["labels"] == end_to_end[run]["frames"] == 6
        assert 0 < end_to_end[run]["p50_ms"] <= end_to_end[run]["p99_ms"]
    floor = end_to_end["floor"]
    assert floor["frames"] == 6
    assert end_to_end["camera"] == camera
    assert (floor["encode_ms"] is not None) == (camera == "encode")
    whole = floor["with_label_hop_ms"]["p50"]
    assert end_to_end["ratio_p50_with_label_hop"] == pytest.approx(end_to_end["one"]["p50_ms"] / whole, abs=0.01)
    assert end_to_end["ratio_p50"] == pytest.approx(end_to_end["one"]["p50_ms"] / floor["p50_ms"], abs=0.01)
    assert end_to_end["ratio_p99"] == pytest.approx(end_to_end["one"]["p99_ms"] / floor["p99_ms"], abs=0.01)
    assert set(end_to_end["cores"]["variants"]) == set("012345")
