"""ncnn: our own converter from ONNX, and its answers, which have to be ONNX Runtime's."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.support.tiny import model
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.inference.ncnn_model import convert
from vp_mqtt.inference.runtimes import installed, load
from vp_mqtt.training.export import to_onnx
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.quantize import quantize

SIDE = 8


def picture(resolution: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (1, 3, resolution, resolution)).astype(np.float32)


def check(data: bytes, resolution: int, classes: int) -> None:
    """Assert that ncnn gives what ONNX Runtime gives, call after call, and leaves the picture alone."""
    expected = load("onnxruntime", data, resolution=resolution, classes=classes, threads=1)
    for threads in (1, 2):
        predict = load("ncnn", data, resolution=resolution, classes=classes, threads=threads)
        for seed in range(3):
            batch = picture(resolution, seed)
            found = predict(batch)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(batch, picture(resolution, seed))
            np.testing.assert_allclose(found, expected(batch), atol=1e-4)


def network_model(spec: VariantSpec, classes: int = 6) -> bytes:
    torch.manual_seed(0)
    network = VariantNetwork(spec, classes).eval()
    with torch.no_grad():
        # Else all classes are equally probable, whatever the network sees.
        network.classifier.weight.mul_(100)
    return to_onnx(network, spec.resolution, "float32")


def graph_model(nodes: Sequence[NodeProto], constants: dict[str, NDArray[np.generic]], classes: int = 4) -> bytes:
    """Return a model with these nodes between "picture", (1, 3, SIDE, SIDE), and "probabilities", (1, classes)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(built.SerializeToString())


def random(*shape: int) -> NDArray[np.generic]:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", ["fashion-mnist", "caltech101"])
def test_a_bundles_variant_answers_as_in_onnx_runtime(name: str) -> None:
    bundle = open_bundle(name)
    smallest = bundle.manifest.variants[0]
    check(bundle.model_bytes(0), smallest.resolution, len(bundle.manifest.classes))


@pytest.mark.parametrize(
    "spec",
    [
        # Padded at all sides, and rows of no round number of bytes.
        VariantSpec(resolution=33, alpha=0.1, head=16, pooling="average"),
        VariantSpec(resolution=32, alpha=0.1, head=16),
        VariantSpec(resolution=32, alpha=0.1, head=16, knows=(1, 4)),
    ],
    ids=["average, odd", "maps of one pixel", "knows two classes"],
)
def test_every_kind_of_variant_answers_as_in_onnx_runtime(spec: VariantSpec) -> None:
    check(network_model(spec), spec.resolution, 6)


def classified(features: str) -> list[NodeProto]:
    return [
        helper.make_node("ReduceMean", [features, "axes"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["probabilities"]),
    ]


def conv(bias: str = "b", **attributes: Any) -> list[NodeProto]:
    return [helper.make_node("Conv", ["picture", "w", bias], ["c"], **attributes)]


CONSTANTS = {"axes": np.array([-1, -2]), "w": random(4, 3, 3, 3), "b": random(4), "low": np.array(-0.1, np.float32)}
ADDED = CONSTANTS | {"k": random(4, 1, 1)}


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        (
            # Read twice, and so not to be fused.
            [
                helper.make_node("Conv", ["picture", "w", "b"], ["c"], pads=[2, 0, 1, 1], strides=[2, 1]),
                helper.make_node("Relu", ["c"], ["r"]),
                helper.make_node("Clip", ["c", "low"], ["d"]),
                helper.make_node("Add", ["r", "d"], ["s"]),
                helper.make_node("Add", ["s", "s"], ["t"]),
                *classified("t"),
            ],
            {},
        ),
        (
            [
                helper.make_node("Conv", ["picture", "w"], ["c"], dilations=[2, 1]),
                helper.make_node("Clip", ["c", "", "high"], ["d"]),
                helper.make_node("Conv", ["d", "grouped"], ["e"], group=2),
                *classified("e"),
            ],
            {"high": np.array(0.25, np.float32), "grouped": random(4, 2, 3, 1)},
        ),
        (
            # A map made flat without being pooled.
            [
                helper.make_node("Conv", ["picture", "w"], ["c"], strides=[5, 5]),
                helper.make_node("Flatten", ["c"], ["f"]),
                helper.make_node("MatMul", ["f", "m"], ["g"]),
                helper.make_node("Relu", ["g"], ["h"]),
                helper.make_node("Softmax", ["h"], ["probabilities"]),
            ],
            {"m": random(16, 4)},
        ),
    ],
    ids=["read twice", "groups", "flat without pooling"],
)
def test_graphs_answer_as_in_onnx_runtime(nodes: list[NodeProto], constants: dict[str, NDArray[np.generic]]) -> None:
    check(graph_model(nodes, CONSTANTS | constants), SIDE, 4)


def test_what_is_written_is_ncnns_format() -> None:
    text, weights = convert(graph_model([*conv(), *classified("c")], CONSTANTS), SIDE)
    assert text.splitlines() == [
        "7767517",
        "4 4",
        "Input layer0 0 1 in0",
        "Convolution layer1 1 1 in0 blob1 0=4 1=3 11=3 2=1 12=1 3=1 13=1 4=0 14=0 15=0 16=0 5=1 6=108",
        "Pooling layer2 1 1 blob1 blob2 0=1 4=1",
        "Softmax layer3 1 1 blob2 out0 0=0 1=1",
    ]
    assert weights == bytes(4) + CONSTANTS["w"].tobytes() + CONSTANTS["b"].tobytes()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: b"no model", "not a valid ONNX model"),
        (lambda: b"", "its input is not one of shape"),
        (lambda: model(16), r"its input is not one of shape \(1, 3, 8, 8\)"),
        (lambda: graph_model([helper.make_node("Sin", ["picture"], ["c"]), *classified("c")], CONSTANTS, 3), "Sin"),
        (lambda: graph_model([helper.make_node("Relu", ["picture"], ["c"]), *classified("c")], CONSTANTS, 3), "Relu"),
        (
            lambda: graph_model([*conv(), helper.make_node("Add", ["c", "k"], ["d"]), *classified("d")], ADDED),
            "Add",
        ),
        (lambda: graph_model([*conv("short"), *classified("c")], CONSTANTS | {"short": random(3)}), "bias"),
        (lambda: graph_model([*conv(group=3), *classified("c")], CONSTANTS), "Conv"),
        (lambda: graph_model([*conv(auto_pad="SAME_UPPER"), *classified("c")], CONSTANTS), "explicit padding"),
        (lambda: graph_model([*conv(), *classified("c")], CONSTANTS | {"axes": np.array([1])}), "ReduceMean|valid"),
    ],
    ids=["garbage", "empty", "resolution", "unknown", "in place", "constant", "bias", "groups", "padding", "axes"],
)
def test_what_cannot_be_converted_is_told(make: Callable[[], bytes], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        convert(make(), SIDE)
    with pytest.raises(UserError, match=rf"ncnn cannot run the model \(.*({told}).*\); try --runtime onnxruntime"):
        load("ncnn", make(), resolution=SIDE, classes=4, threads=1)


def test_int8_models_are_refused() -> None:
    spec = VariantSpec(resolution=32, alpha=0.1, head=16)
    data = quantize(network_model(spec), iter([picture(spec.resolution)]))
    with pytest.raises(UserError, match=r"ncnn cannot run the model \(it is an int8 model: operator .*uantizeLinear"):
        load("ncnn", data, resolution=spec.resolution, classes=6, threads=1)


def test_weights_in_another_file_are_refused() -> None:
    data = onnx.load_from_string(graph_model([*conv(), *classified("c")], CONSTANTS))
    tensor = next(tensor for tensor in data.graph.initializer if tensor.name == "w")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(ValueError, match=r"another file|valid"):
        convert(data.SerializeToString(), SIDE)


def test_another_number_of_classes_is_told() -> None:
    with pytest.raises(UserError, match="the model gives 4 values for 5 classes"):
        load("ncnn", model(16), resolution=16, classes=5, threads=1)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    predict = load("ncnn", open_bundle("fashion-mnist").model_bytes(0), resolution=48, classes=10, threads=1)
    predict(picture(48))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", [["onnx"], ["ncnn"], []])
def test_ncnn_counts_only_where_it_can_read_onnx(missing: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert ("ncnn" in installed()) == (not missing)
