"""A model is tried in a process of its own: whatever it does there, the node learns of it and keeps running."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.support.tiny import model
from vp_mqtt.bundle.fetch import Interrupted
from vp_mqtt.bundle.model_file import check_model
from vp_mqtt.errors import UserError
from vp_mqtt.inference import trial
from vp_mqtt.inference.trial import Trial


def going_on(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def trial_of(tmp_path: Path, data: bytes, *, is_refused: bool = False, **changes: object) -> Trial:
    """Return the trial of a model; of one that is refused before, it shows that the trial does not rely on that."""
    with pytest.raises(UserError, match="the model is refused") if is_refused else contextlib.nullcontext():
        check_model(data)
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    fields = {"runtime": "onnxruntime", "resolution": 16, "classes": 4, "k": 2, "threads": 1, **changes}
    return Trial(model=str(path), **fields)  # type: ignore[arg-type]


def built(nodes: list[onnx.NodeProto], **initial: NDArray[np.generic]) -> bytes:
    """Return a model that does something with the probabilities of the usual one."""
    usual = onnx.load_model_from_string(model(16))
    graph = helper.make_graph(
        [*usual.graph.node, *nodes],
        "odd",
        usual.graph.input,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [*usual.graph.initializer, *(numpy_helper.from_array(value, name) for name, value in initial.items())],
    )
    return bytes(helper.make_model(graph, opset_imports=usual.opset_import, ir_version=9).SerializeToString())


def test_a_good_model_passes(tmp_path: Path) -> None:
    assert trial_of(tmp_path, model(16)).run(going_on) == "onnxruntime"


def test_a_model_that_gives_no_numbers_fails(tmp_path: Path) -> None:
    data = built([helper.make_node("Add", ["probabilities", "n"], ["out"])], n=np.array([np.nan], np.float32))
    with pytest.raises(UserError, match=r"^the model fails its trial: probabilities must be finite$"):
        trial_of(tmp_path, data).run(going_on)


def test_a_model_that_fails_on_noise_only_fails(tmp_path: Path) -> None:
    # The shape that it reshapes to depends on the picture, and fits only one of a single colour.
    nodes = [
        helper.make_node("ReduceMax", ["picture"], ["max"], keepdims=0),
        helper.make_node("ReduceMean", ["picture"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean_row", "minus"], ["negative"]),
        helper.make_node("Add", ["max_row", "negative"], ["spread"]),
        helper.make_node("Add", ["spread", "four"], ["size"]),
        helper.make_node("Cast", ["size"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["probabilities", "shape"], ["out"]),
    ]
    nodes.insert(2, helper.make_node("Reshape", ["max", "row"], ["max_row"]))
    nodes.insert(2, helper.make_node("Reshape", ["mean", "row"], ["mean_row"]))
    constants = {"minus": np.array([[-50]], np.float32), "row": np.array([1, 1]), "four": np.array([4], np.float32)}
    with pytest.raises(UserError, match=r"^the model fails its trial: ."):
        trial_of(tmp_path, built(nodes, **constants), is_refused=True).run(going_on)


def huge(pixels: int) -> bytes:
    """Return a model that pads the picture by so many pixels at each side."""
    nodes = [
        helper.make_node("Conv", ["picture", "kernel"], ["padded"], pads=[pixels] * 4),
        helper.make_node("ReduceMax", ["padded"], ["max"], keepdims=0),
        helper.make_node("MatMul", ["max_row", "zero"], ["nothing"]),
        helper.make_node("Add", ["probabilities", "nothing"], ["out"]),
    ]
    nodes.insert(2, helper.make_node("Reshape", ["max", "row"], ["max_row"]))
    return built(
        nodes, kernel=np.ones((1, 3, 1, 1), np.float32), row=np.array([1, 1]), zero=np.zeros((1, 4), np.float32)
    )


def test_a_model_that_fills_the_memory_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the model fails its trial: "):
        trial_of(tmp_path, huge(15_000), is_refused=True).run(going_on)


def test_a_model_that_takes_too_long_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LIMIT_S", 0.1)
    with pytest.raises(UserError, match=r"^the model fails its trial: it takes more than 0\.1 s$"):
        trial_of(tmp_path, model(16)).run(going_on)


def test_a_node_that_is_told_to_stop_does_not_wait_for_the_trial(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trial_of(tmp_path, model(16)).run(lambda _: True)


def test_a_model_file_that_is_not_there_is_a_failed_trial(tmp_path: Path) -> None:
    gone = trial_of(tmp_path, model(16))
    Path(gone.model).unlink()
    with pytest.raises(UserError, match=r"^the model fails its trial: it crashes the runtime$"):
        gone.run(going_on)
