from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparators.class_parallel import class_parallel_family
from benchmarks.comparison.boards import LINKS, Emulation, check_emulation
from benchmarks.comparison.measure import Answers
from benchmarks.comparison.run import core_share
from benchmarks.emulation.cpu_quota import LEAST_QUOTA_US, quota_and_period_us
from benchmarks.emulation.impairment import Direction, Impairment
from benchmarks.testbed.recording import RecordedLabel, Recording
from tests.support import tiny
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.recipe import Recipe

# Whoever asks for it first waits for a whole comparison, of processes with a quarter of a core each.
pytestmark = pytest.mark.timeout(600)

_COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0), "grey": (90, 90, 90)}


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "bench", "compare", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )


def _training(folder: Path, family: FamilySpec) -> Path:
    torch.manual_seed(0)
    origin = Origin(family=family, classes=tiny.CLASSES, dataset="colours", recipe=Recipe(k=2))
    states = [VariantNetwork(spec, len(tiny.CLASSES)).state_dict() for spec in family.variants]
    Checkpoint(origin, 1, states, states, {}, {}).save(folder)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a short comparison of tiny networks printed."""
    folder = tmp_path_factory.mktemp("compare")
    base = FamilySpec(name="base", variants=(VariantSpec(resolution=32, alpha=0.1, head=16, pooling="average"),))
    shared = class_parallel_family(len(tiny.CLASSES), 2, resolution=32, alpha=0.1, head=16)
    for name, colour in _COLOURS.items():
        (folder / "data" / "test" / name).mkdir(parents=True)
        for index in range(2):
            picture = np.full((48, 64, 3), colour, dtype=np.uint8)
            cv2.imwrite(str(folder / "data" / "test" / name / f"{index}.png"), picture)
    ended = _command(
        *("--single", str(_training(folder / "single", base)), "--cp", str(_training(folder / "cp", shared))),
        *("--vp", str(tiny.write_bundle(folder / "vp")), "--data", str(folder / "data")),
        *("--boards", "2", "--links", "wifi", "--precision", "int8", "--frames", "8", "--fps", "8"),
        *("--board-cpu", "0.8", "--deadline-ms", "2000", "--plots", str(folder / "plots"), "--json"),
    )
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_every_system_is_measured_and_evaluated(report: dict[str, Any]) -> None:
    for name, boards in {"single": 1, "mp": 2, "cp": 2, "vp": 2}.items():
        one = report[name]
        assert one["boards"] == boards
        assert 0 <= one["accuracy"] <= 1
        assert one["dead"]["0"]["answered"] == 1
        assert 0 < one["response_ms"]["p50"] <= one["response_ms"]["p95"]
    assert report["vp"]["accuracy"] == 1, "the tiny bundle tells pure colours apart"
    assert [one["system"] for one in report["all"]] == ["single", "mp-int8", "cp", "vp"]


def test_one_dead_board_stops_model_parallelism_and_nothing_else(report: dict[str, Any]) -> None:
    assert report["mp"]["dead"]["1"] == {"answered": 0, "accuracy": 0}
    assert report["cp"]["dead"]["1"]["answered"] == 1
    assert report["vp"]["dead"]["1"] == {"answered": 1, "accuracy": 1}
    assert report["mp"]["one_dies"]["unanswered"] > 0
    assert report["vp"]["one_dies"]["unanswered"] == 0


def test_boards_of_variants_send_less_than_those_of_one_cut_network(report: dict[str, Any]) -> None:
    if report["emulation"]["cannot"]:
        pytest.skip(f"NOT SHOWN: bytes are counted on links of one's own: {report['emulation']['cannot']}")
    assert 0 < report["vp"]["bytes_per_frame"] < report["mp"]["bytes_per_frame"]


def test_the_pictures_are_drawn(report: dict[str, Any]) -> None:
    assert len(report["plots"]) == 3
    for path in report["plots"]:
        assert cv2.imread(path) is not None


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--boards", "one"], "write numbers from 2 to 19"),
        (["--boards", "1,2"], "write numbers from 2 to 19"),
        (["--links", "pigeon"], "write one or more of ethernet, wifi, lossy, loopback"),
        (["--precision", "int4"], "write one or more of float32, float16, int8"),
        (["--single", "/nowhere"], "train first"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(arguments: list[str], line: str) -> None:
    ended = _command(*arguments)
    assert ended.returncode == 2
    assert line in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_cannot_be_emulated_is_reported() -> None:
    emulation, cannot = check_emulation(Emulation(next(iter(LINKS)), 0.25))
    if os.geteuid() != 0:
        assert emulation == Emulation(None, None)
    assert len(cannot) == (emulation.link is None) + (emulation.core_share is None)


@given(share=st.floats(0.01, 1))
def test_a_quota_is_that_share_of_its_period_and_never_less_than_the_kernel_takes(share: float) -> None:
    quota, period = quota_and_period_us(share)
    assert quota >= LEAST_QUOTA_US
    assert quota / period == pytest.approx(share, rel=2e-3)


@given(boards=st.integers(2, 19), cores=st.integers(1, 64))
def test_boards_together_leave_time_for_the_rest(boards: int, cores: int) -> None:
    assert core_share(boards, cores) * boards <= max(0.5, cores - 0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_packets_of_a_link_in_order_never_overtake_each_other(times: list[float], rng: random.Random) -> None:
    direction = Direction(rng)
    direction.impairment = Impairment(delay=0.01, jitter=0.01, in_order=True)
    sent = [index.to_bytes(2, "big") for index in range(len(times))]
    for at, packet in zip(sorted(times), sent, strict=True):
        direction.put(packet, at)
    assert direction.take(10.0) == sent


def test_answers_count_labels_with_a_class_once() -> None:
    recording = Recording()
    for number in range(3):
        recording.announced[FrameId(1, number)] = 10.0 + number
    recording.labels += [
        RecordedLabel(FrameId(1, 0), 10.5, "red", None),
        RecordedLabel(FrameId(1, 0), 10.9, "red", None),
        RecordedLabel(FrameId(1, 1), 11.2, None, None),
        RecordedLabel(FrameId(9, 9), 11.3, "red", None),
    ]
    answers = Answers.of(recording)
    assert (answers.frames, answers.answered) == (3, 1)
    assert answers.response_ms == pytest.approx((500.0,))
    assert answers.share == pytest.approx(1 / 3)
