"""A model file holds what the export writes, or no runtime sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.tiny import model
from vp_mqtt.bundle import model_file
from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.bundle.model_file import OPERATORS, check_model
from vp_mqtt.errors import UserError


def refusal(data: bytes) -> str:
    with pytest.raises(
        UserError, match=r"^the model is refused: .*; export the bundle again with vp export$"
    ) as caught:
        check_model(data)
    return str(caught.value).removeprefix("the model is refused: ").partition(";")[0]


@pytest.mark.parametrize("name", builtin_bundles())
def test_the_models_that_ship_are_accepted(name: str) -> None:
    bundle = open_bundle(name)
    models = [bundle.model_bytes(entry.index) for entry in bundle.manifest.variants]
    assert {node.op_type for data in models for node in onnx.load_model_from_string(data).graph.node} <= OPERATORS


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    built = onnx.load_model_from_string(model(16))
    change(built)
    return bytes(built.SerializeToString())


def external(built: onnx.ModelProto) -> None:
    tensor = built.graph.initializer[0]
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "node-0.password"
    tensor.data_location = TensorProto.EXTERNAL


def only_location(built: onnx.ModelProto) -> None:
    built.graph.initializer[0].data_location = TensorProto.EXTERNAL


def looped(built: onnx.ModelProto) -> None:
    built.graph.node[2].attribute.append(helper.make_attribute("body", helper.make_graph([], "g", [], [])))


def with_operator(name: str, domain: str = "") -> Callable[[onnx.ModelProto], None]:
    return lambda built: built.graph.node.append(helper.make_node(name, ["a"], ["b"], domain=domain))


def with_options(built: onnx.ModelProto) -> None:
    note = built.metadata_props.add()
    note.key, note.value = "ort_config", "{}"


def with_tensor(built: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    built.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external, "it refers to data in other files"),
        (only_location, "it refers to data in other files"),
        (with_operator("Loop"), "its operator 'Loop' is not one that the export writes"),
        (with_operator("\x1b[2J" + "x" * 99), f"its operator '?[2J{'x' * 36}' is not one that the export writes"),
        (with_operator("Add", "com.microsoft"), "it has operators of another domain than ONNX's own"),
        (
            lambda m: m.opset_import.append(helper.make_opsetid("evil", 1)),
            "it has operators of another domain than ONNX's own",
        ),
        (looped, "it has subgraphs"),
        (with_tensor, "it has an operator with a tensor of its own"),
        (
            lambda m: m.functions.append(helper.make_function("d", "f", [], [], [], [helper.make_opsetid("", 18)])),
            "it has functions",
        ),
        (lambda m: m.training_info.add(), "it has training steps"),
        (lambda m: m.graph.sparse_initializer.add(), "it has sparse weights"),
        (with_options, "it holds options for the runtime"),
    ],
)
def test_what_the_export_does_not_write_is_refused(change: Callable[[onnx.ModelProto], object], reason: str) -> None:
    assert refusal(changed(change)) == reason


def test_names_notes_and_texts_do_no_harm() -> None:
    def describe(built: onnx.ModelProto) -> None:
        built.doc_string = built.graph.doc_string = built.graph.node[0].doc_string = "x"
        for notes in (built.metadata_props, built.graph.metadata_props, built.graph.node[0].metadata_props):
            note = notes.add()
            note.key, note.value = "source", "a.py"

    check_model(changed(describe))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff" * 20, "it is not an ONNX file"),
        (b"\x3a\xff\xff\xff\xff\x0f", "it is not an ONNX file"),
        (b"\x3a", "it is not an ONNX file"),
        (b"\x38\x01", "it is not an ONNX file"),
        (b"\x3b\x3c", "it is not an ONNX file"),
        (b"\x3a\x00\x3a\x00", "it has two graphs"),
        (b"\xba\x3e\x00", "it has a field that the export does not write (999)"),
    ],
)
def test_bytes_that_are_no_model_are_refused(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_a_second_value_of_a_field_is_checked_like_the_first() -> None:
    node = b"\x22\x03Add" + b"\x22\x04Loop"
    graph = b"\x0a" + bytes([len(node)]) + node
    assert refusal(b"\x3a" + bytes([len(graph)]) + graph) == "its operator 'Loop' is not one that the export writes"


def test_the_number_of_fields_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "MAX_FIELDS", 1000)
    assert refusal(b"\x08\x01" * 1001) == "it has more than 1,000 fields"
    assert refusal(b"\x08\x01" * 1000) == "it has no graph"
