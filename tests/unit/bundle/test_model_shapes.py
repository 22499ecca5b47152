"""What a model costs follows from its file alone, or the model is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

from tests.support.tiny import model
from vp_mqtt.bundle import model_shapes
from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.bundle.model_file import check_model
from vp_mqtt.bundle.model_shapes import check_shapes
from vp_mqtt.bundle.protobuf import Fields, Reader, Refused
from vp_mqtt.errors import UserError

Array = NDArray[np.generic]
node = helper.make_node
FLOAT = np.float32


def built(
    nodes: list[NodeProto],
    tensors: Mapping[str, Array] = {},
    *,
    shape: tuple[int | str, ...] = (1, 3, 8, 8),
    version: int = 18,
    **stored: Array,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in {**tensors, **stored}.items()],
    )
    sets = [helper.make_opsetid("", version)]
    return bytes(helper.make_model(graph, opset_imports=sets, ir_version=9).SerializeToString())


def shapes(data: bytes) -> dict[str, tuple[int, ...]]:
    return check_shapes(memoryview(data), Reader(100_000))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        shapes(data)
    return str(caught.value)


@pytest.mark.parametrize("name", builtin_bundles())
def test_shapes_are_those_that_the_onnx_library_infers(name: str) -> None:
    bundle = open_bundle(name)
    data = bundle.model_bytes(0)
    inferred = shape_inference.infer_shapes(onnx.load_model_from_string(data), strict_mode=True, data_prop=True)
    found = shapes(data)
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        assert found[info.name] == tuple(side.dim_value for side in info.type.tensor_type.shape.dim)
    assert len(inferred.graph.value_info) + 1 == len(inferred.graph.node)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


SLICE = ["picture", "from", "to", "at", "by"]


@pytest.mark.parametrize(
    ("one", "stored", "shape"),
    [
        (node("Slice", SLICE, ["out"]), {"from": ints(1), "to": ints(-1), "at": ints(-1), "by": ints(2)}, (1, 3, 8, 3)),
        (node("Conv", ["picture", "k"], ["out"]), {"k": np.ones((5, 3, 3, 1), FLOAT)}, (1, 5, 6, 8)),
        (
            node("Conv", ["picture", "k"], ["out"], pads=[0, 1, 2, 3], strides=[2, 3], dilations=[2, 1], group=3),
            {"k": np.ones((6, 1, 3, 2), FLOAT)},
            (1, 6, 3, 4),
        ),
        (node("ReduceMax", ["picture", "at"], ["out"], keepdims=0), {"at": ints(-1, 1)}, (1, 8)),
        (node("ReduceMean", ["picture", "at"], ["out"]), {"at": ints(2)}, (1, 3, 1, 8)),
        (node("Reshape", ["picture", "to"], ["out"]), {"to": ints(3, 64)}, (3, 64)),
        (node("Add", ["picture", "k"], ["out"]), {"k": np.ones((4, 1, 8, 1), FLOAT)}, (4, 3, 8, 8)),
        (node("Mul", ["picture", "k"], ["out"]), {"k": np.ones((4, 1, 8, 1), FLOAT)}, (4, 3, 8, 8)),
        (node("Div", ["picture", "k"], ["out"]), {"k": np.ones((1,), FLOAT)}, (1, 3, 8, 8)),
        (node("Sigmoid", ["picture"], ["out"]), {}, (1, 3, 8, 8)),
    ],
)
def test_operators_give_the_sizes_that_the_onnx_library_infers(
    one: NodeProto, stored: dict[str, Array], shape: tuple[int, ...]
) -> None:
    data = built([one], stored)
    (out,) = shape_inference.infer_shapes(onnx.load_model_from_string(data), data_prop=True).graph.output
    assert shapes(data)["out"] == shape == tuple(side.dim_value for side in out.type.tensor_type.shape.dim)


MEAN = node("ReduceMean", ["picture", "all"], ["mean"], keepdims=0)
CAST = node("Cast", ["mean"], ["count"], to=TensorProto.INT64)
DEPENDS = "what its operator '{}' does depends on data, not only on constants"


@pytest.mark.parametrize(
    ("nodes", "operator"),
    [
        ([CAST, node("Slice", ["picture", "at", "count", "at", "at"], ["out"])], "Cast"),
        ([node("Slice", ["picture", "mean", "at", "at", "at"], ["out"])], "Slice"),
        ([node("Reshape", ["picture", "mean"], ["out"])], "Reshape"),
        ([node("ReduceMax", ["picture", "mean"], ["out"])], "ReduceMax"),
        ([node("Clip", ["picture", "mean", "mean"], ["out"])], "Clip"),
        ([node("QuantizeLinear", ["picture", "mean", "zero"], ["out"])], "QuantizeLinear"),
    ],
)
def test_nothing_that_decides_a_size_is_computed(nodes: list[NodeProto], operator: str) -> None:
    data = built([MEAN, *nodes], all=ints(0, 1, 2, 3), at=ints(1), zero=np.array(0, np.uint8))
    assert refusal(data) == DEPENDS.format(operator)


def test_whole_numbers_are_not_computed_from_constants_either() -> None:
    data = built([node("Add", ["a", "a"], ["b"]), node("Reshape", ["picture", "b"], ["out"])], a=ints(96))
    assert refusal(data) == "its operator 'Add' has an input of a type that the export does not write"


def test_what_a_model_takes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    padded = built([node("Conv", ["picture", "k"], ["out"], pads=[15_000] * 4)], k=np.ones((1, 3, 1, 1), FLOAT))
    assert refusal(padded).startswith("it has a tensor of more than 33,554,432 elements")
    outer = built([node("MatMul", ["a", "b"], ["out"])], a=np.ones((9000, 1), FLOAT), b=np.ones((1, 9000), FLOAT))
    assert refusal(outer).startswith("it has a tensor of more than 33,554,432 elements")
    squares = [node("MatMul", [f"x{index}", "x0"], [f"x{index + 1}"]) for index in range(20)]
    many = built(squares, x0=np.ones((800, 800), FLOAT))
    assert refusal(many).startswith("it takes more than 10,000,000,000 operations for a picture")
    exact = built([node("MatMul", ["a", "a"], ["b"]), node("Relu", ["b"], ["out"])], a=np.ones((10, 10), FLOAT))
    monkeypatch.setattr(model_shapes, "MAX_OPERATIONS", 1100)
    monkeypatch.setattr(model_shapes, "MAX_ELEMENTS", 100)
    assert shapes(exact)["out"] == (10, 10)
    monkeypatch.setattr(model_shapes, "MAX_OPERATIONS", 1099)
    assert refusal(exact).startswith("it takes more than 1,099 operations")


def test_reducing_counts_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = built([node("ReduceMax", ["picture", "all"], ["out"])], all=ints(1, 2, 3))
    monkeypatch.setattr(model_shapes, "MAX_OPERATIONS", 192)
    assert shapes(data)["out"] == (1, 1, 1, 1)
    monkeypatch.setattr(model_shapes, "MAX_OPERATIONS", 191)
    assert refusal(data).startswith("it takes more than 191 operations")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (built([node("Relu", ["picture"], ["out"])], version=17), "it is not written for operator set 18"),
        (built([node("Relu", ["picture"], ["out"])], shape=("n", 3)), "it has a tensor without a size"),
        (built([node("Relu", ["picture"], ["out"])], shape=(0, 3)), "it has a tensor without a size"),
        (built([node("Relu", ["x"], ["out"]), node("Relu", ["out"], ["x"])]), "it uses a tensor that is not there yet"),
        (built([node("Relu", ["picture"], ["picture"])]), "the sizes of its tensors do not fit"),
        (
            built([node("Reshape", ["picture", "to"], ["out"])], to=ints(-1)),
            "the sizes of its tensors do not fit",
        ),
        (
            built([node("Conv", ["picture", "k"], ["out"], auto_pad="SAME_UPPER")], k=np.ones((1, 3, 1, 1), FLOAT)),
            "it pads in a way that the export does not write",
        ),
        (
            built([node("Conv", ["picture", "k"], ["out"], pads=[-1] * 4)], k=np.ones((1, 3, 1, 1), FLOAT)),
            "its argument 'pads' is not one that the export writes",
        ),
        (
            built([node("Clip", ["picture"], ["out"], min=0.0)]),
            "it has an operator with an argument that the export does not write",
        ),
        (
            built([node("Clip", ["picture"], ["out"])]),
            "its operator 'Clip' has arguments that the export does not write",
        ),
        (
            built([node("Softmax", ["picture"], ["out"], keepdims=1)]),
            "its operator 'Softmax' has arguments that the export does not write",
        ),
        (built([], picture=ints(1)), "two of its tensors have one name"),
        (
            built([node("Slice", ["picture", "a", "a", "", ""], ["out"])], {"a": ints(1), "": ints(1)}),
            "it uses a tensor that is not there yet",
        ),
        (
            built([node("ReduceMax", ["picture", "a"], ["out"], keepdims=2)], a=ints(1)),
            "the sizes of its tensors do not fit",
        ),
    ],
)
def test_what_the_export_does_not_write_is_refused(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    usual = onnx.load_model_from_string(model(16))
    change(usual)
    return bytes(usual.SerializeToString())


def test_what_readers_may_understand_differently_is_refused() -> None:
    twice = changed(lambda m: m.opset_import.append(helper.make_opsetid("", 11)))
    assert refusal(twice) == "it is not written for operator set 18"
    more_inputs = changed(lambda m: m.graph.input.append(m.graph.input[0]))
    assert refusal(more_inputs) == "it does not have exactly one input"

    def with_two_contents(usual: onnx.ModelProto) -> None:
        axes = next(tensor for tensor in usual.graph.initializer if tensor.name == "axes")
        axes.int64_data.extend([2, 3])

    assert refusal(changed(with_two_contents)) == "it has a tensor with two contents"

    def in_an_old_format(usual: onnx.ModelProto) -> None:
        usual.ir_version = 3

    assert refusal(changed(in_an_old_format)) == "it is written in an old format of ONNX"

    def without_data(usual: onnx.ModelProto) -> None:
        usual.graph.initializer[0].dims[0] = 10**12

    assert refusal(changed(without_data)) == "it has a tensor without data"
    named_twice = model(16) + b"\x3a\x00"
    assert refusal(named_twice) == "it has no graph"


def test_numbers_of_fixed_width_are_not_taken_for_lists() -> None:
    # ONNX's library skips a list of whole numbers in 8 bytes, and takes the strides for 1.
    packed = b"\x42\x08" + b"\xe4\x80\x80\x00" * 2
    assert Fields(Reader(9), memoryview(packed)).integers(8, 8) == [100, 100]
    fixed = b"\x41" + b"\xe4\x80\x80\x00" * 2
    with pytest.raises(Refused, match="not an ONNX file"):
        Fields(Reader(9), memoryview(fixed)).integers(8, 8)


def test_a_model_that_grows_with_the_picture_never_meets_a_runtime() -> None:
    # Cheap for what a trial feeds it, and without end for a bright picture.
    nodes = [
        MEAN,
        node("MatMul", ["mean", "scale"], ["scaled"]),
        node("Cast", ["scaled"], ["end"], to=TensorProto.INT64),
        node("Slice", ["column", "zero", "end", "zero", "one"], ["rows"]),
        node("MatMul", ["rows", "row"], ["out"]),
    ]
    stored: dict[str, Array] = {"column": np.zeros((6000, 1), FLOAT), "row": np.zeros((1, 6000), FLOAT)}
    data = built(nodes, stored, all=ints(1, 2), zero=ints(0), one=ints(1), scale=np.ones((8, 1), FLOAT))
    with pytest.raises(UserError, match=r"^the model is refused: what its operator 'Cast' does depends on data"):
        check_model(data)
