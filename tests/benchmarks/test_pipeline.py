from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.comparators.partition import blocks_of, cut_points, macs_of, write_stages
from benchmarks.comparators.pipeline import PIPELINE_NAME, open_pipeline
from benchmarks.comparators.topics import camera_of, feature_map_topic
from tests.support.broker import Mosquitto
from tests.support.site import SITE, Site
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.inference.onnx import OnnxModel
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import TopicError
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.export import export_bundle
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.recipe import Recipe

SPEC = VariantSpec(resolution=32, alpha=0.1, head=16, pooling="average")
CLASSES = ("red", "green", "blue", "grey")
STAGES = 3


@pytest.fixture(scope="module")
def network() -> VariantNetwork:
    torch.manual_seed(1)
    network = VariantNetwork(SPEC, len(CLASSES)).eval()
    # An undecided network would give the same answer whatever it sees.
    torch.nn.init.normal_(network.classifier.weight, std=1.0)
    return network


@pytest.fixture(scope="module")
def pipeline(network: VariantNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "base"
    origin = Origin(
        family=FamilySpec(name="base", variants=(SPEC,)), classes=CLASSES, dataset="colours", recipe=Recipe(k=2)
    )
    state = network.state_dict()
    export_bundle(Checkpoint(origin, 1, [state], [state], {}, {}), folder, weights="float32")
    write_stages(network, SPEC.resolution, folder, STAGES, "macs")
    return folder


def test_feature_maps_have_topics_of_their_own() -> None:
    topic = feature_map_topic("home", "cam0", 1)
    assert topic == "vp/home/camera/cam0/stage/1"
    assert camera_of(topic) == camera_of("vp/home/camera/cam0/frame") == "cam0"
    for other in ("vp/home/camera/cam 0/stage/1", "x/home/camera/cam0/stage/1", "vp/home/camera/cam0/stage"):
        with pytest.raises(TopicError):
            camera_of(other)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_cuts_are_as_even_as_can_be(macs: list[int], data: st.DataObject) -> None:
    stages = data.draw(st.integers(1, len(macs)))
    shapes = [(1, 1, data.draw(st.integers(1, 9))) for _ in macs]

    def most_expensive(starts: tuple[int, ...]) -> int:
        return max(sum(macs[a:b]) for a, b in itertools.pairwise((*starts, len(macs))))

    every = [(0, *rest) for rest in itertools.combinations(range(1, len(macs)), stages - 1)]
    best = min(most_expensive(starts) for starts in every)
    assert most_expensive(tuple(cut_points(macs, shapes, stages, "macs"))) == best
    frugal = tuple(cut_points(macs, shapes, stages, "bytes"))
    allowed = [starts for starts in every if most_expensive(starts) <= 1.25 * best]
    assert sum(shapes[s][2] for s in frugal[1:]) == min(sum(shapes[s][2] for s in starts[1:]) for starts in allowed)


def test_more_stages_than_blocks_are_refused(network: VariantNetwork, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="19 blocks cannot be cut into 20"):
        write_stages(network, SPEC.resolution, tmp_path, 20, "macs")


def test_the_stages_work_is_the_networks(network: VariantNetwork) -> None:
    macs, shapes = macs_of(blocks_of(network), 32)
    assert len(macs) == 19
    assert shapes[0] == (3, 32, 32)
    base = VariantNetwork(VariantSpec(resolution=224, alpha=1.0, head=1280, pooling="average"), 10)
    assert sum(macs_of(blocks_of(base), 224)[0]) == pytest.approx(299.5e6, rel=0.01)


def test_stage_after_stage_gives_what_the_whole_gives(network: VariantNetwork, pipeline: Path) -> None:
    opened = open_pipeline(pipeline)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    values = picture.numpy()
    for entry in opened.manifest.stages:
        output = entry.output or (len(CLASSES),)
        model = OnnxModel(opened.model_bytes(entry.index), input_shape=(1, *entry.input), output_shape=(1, *output))
        values = model(values)
    with torch.inference_mode():
        np.testing.assert_allclose(values, network(picture).softmax(1).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m["stages"].pop(), "last stage"),
        (lambda m: m["stages"].pop(1), "listed by index"),
        (lambda m: m["stages"][1].update(input=[1, 2, 3]), "does not take"),
        (lambda m: m.update(stages=[]), "stages"),
    ],
)
def test_a_pipeline_that_does_not_fit_together_is_refused(
    pipeline: Path, tmp_path: Path, change: object, says: str
) -> None:
    for file in pipeline.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / PIPELINE_NAME).read_text(encoding="utf-8"))
    change(manifest)  # type: ignore[operator]
    (tmp_path / PIPELINE_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match=says):
        open_pipeline(tmp_path)


def test_a_bundle_that_was_not_cut_and_a_stage_that_is_not_there_are_reported(pipeline: Path, bundle: Path) -> None:
    with pytest.raises(UserError, match="vp baseline cut"):
        open_pipeline(bundle)
    with pytest.raises(UserError, match="stages 0 to 2"):
        open_pipeline(pipeline).stage(3)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_boards_that_share_one_network_answer_together_or_not_at_all(
    broker: Mosquitto, pipeline: Path, tmp_path: Path, precision: str
) -> None:
    with Site(broker.url, broker.port, pipeline, tmp_path) as site:
        site.start_fusion("--deadline-ms", "2000")
        names = [f"stage{index}" for index in range(STAGES)]
        for index, name in enumerate(names):
            arguments = ("--stage", str(index), "--bundle", str(pipeline), "--precision", precision)
            site.start(name, "baseline", "stage", *arguments)
        site.await_online("fusion", *names)
        site.await_log("fusion", "variant 0 is online")
        site.probe.publish(feature_map_topic(SITE, "cam0", 1), b"garbage", FrameId(1, 1).encode())
        # Counted before the frame is sent: a stage works on the newest message only.
        site.probe.until(lambda: site.probe.stats("stage1").get("refused: features too short") == 1, "garbage counted")
        site.probe.publish_frame(FrameId(7, 1))
        label = site.probe.label_of(FrameId(7, 1))
        assert label.voted == (0,)
        assert label.label in CLASSES
        # One board dies, and with it the whole.
        site.signal(names[1], signal.SIGKILL)
        site.await_state("offline", names[1])
        site.probe.publish_frame(FrameId(7, 2))
        assert site.probe.label_of(FrameId(7, 2)).label is None
