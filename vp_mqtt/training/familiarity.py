"""How familiar a picture's features are, built into exported models.

A softmax always gives 1 to the classes together, however strange the picture. The features before the classifier tell
more: of a picture of a class they point in the direction of that class's mean, of others they do not (cosine similarity
to class means, as in nearest-class-mean classifiers: Mensink et al., IEEE TPAMI 2013). An exported model multiplies all
its probabilities by its *familiarity*, 0..1, a logistic function of that similarity. So it travels in the votes as they
are, as what they do not give to any class, and counts in the fusion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.special import expit

_PREFIX = "familiarity."
_SHARPNESS = 100.0
"""The similarity counts of the most probable class only: softmax of so many times the probabilities."""
# Chosen on validation pictures (docs/unknown.md): half of the familiarity is lost two standard deviations below the
# mean of known pictures, with a scale of half a standard deviation.
_MIDDLE = -2.0
_SCALE = 0.5
_MIN_NORM = 1e-6
_MIN_DEVIATION = 0.01
_CLASSIFIERS = {"Conv", "Gemm", "MatMul"}


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Parameters of one variant's familiarity.

    Attributes:
        directions: of the mean features of each class, unit vectors, shape (classes, features), float32.
        slope: of the logistic function, per unit of similarity, greater than 0.
        offset: its value at a similarity of 0, before the logistic function.
    """

    directions: NDArray[np.float32]
    slope: float
    offset: float

    def apply(self, features: NDArray[np.floating], probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the probabilities of pictures times their familiarity, shape (N, classes), as the model computes them.

        Args:
            features: shape (N, features).
            probabilities: shape (N, classes).
        """
        similarity = _similarity(features, probabilities, self.directions)
        shares = expit(self.slope * similarity + self.offset)
        return np.asarray(probabilities * shares[:, np.newaxis], dtype=np.float32)


def fit_familiarity(
    features: NDArray[np.floating],
    probabilities: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    is_trained_on: NDArray[np.bool_],
) -> Familiarity:
    """Fit a variant's familiarity.

    Args:
        features: of pictures, each class among them, shape (N, features).
        probabilities: of the same pictures, shape (N, classes).
        labels: their true classes, shape (N,).
        is_trained_on: which of them make the class means, shape (N,); the others only tell how similar pictures are.
    """
    features = features.astype(np.float64)
    classes = probabilities.shape[1]
    sums, counts = np.zeros((classes, features.shape[1])), np.zeros(classes)
    np.add.at(sums, labels[is_trained_on], features[is_trained_on])
    np.add.at(counts, labels[is_trained_on], 1)
    # A picture is more similar to a mean that it is part of: compared with that of the others.
    rest = sums[labels] - features * is_trained_on[:, np.newaxis]
    own = probabilities.argmax(1)
    compared = np.where((own == labels)[:, np.newaxis], rest, sums[own])
    similarity = (features * compared).sum(1) / (_norms(features) * _norms(compared))[:, 0]
    usable = (counts[labels] - is_trained_on > 0) & (counts[own] > 0)
    known = similarity[usable] if usable.any() else similarity
    slope = 1 / (_SCALE * max(float(known.std()), _MIN_DEVIATION))
    middle = float(known.mean()) + _MIDDLE * float(known.std())
    return Familiarity((sums / _norms(sums)).astype(np.float32), slope, -slope * middle)


def has_familiarity(model: bytes) -> bool:
    """Return whether an ONNX model of a variant multiplies its probabilities by a familiarity."""
    return any(node.name.startswith(_PREFIX) for node in onnx.load_model_from_string(model).graph.node)


def without_familiarity(model: bytes) -> bytes:
    """Return a variant's ONNX model whose probabilities are those of its softmax again."""
    built = onnx.load_model_from_string(model)
    graph = built.graph
    output, every = graph.output[0].name, f"{_PREFIX}probabilities"
    kept = [node for node in graph.node if not node.name.startswith(_PREFIX)]
    for node in kept:
        node.output[:] = [output if name == every else name for name in node.output]
    stored = [tensor for tensor in graph.initializer if not tensor.name.startswith(_PREFIX)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(stored)
    return bytes(built.SerializeToString())


def with_features(model: bytes) -> bytes:
    """Return a variant's ONNX model that gives its probabilities and then its features, (1, classes + features)."""
    built = onnx.load_model_from_string(model)
    graph = built.graph
    output = graph.output[0].name
    graph.initializer.append(numpy_helper.from_array(np.array([1, -1]), f"{_PREFIX}row"))
    graph.node.append(helper.make_node("Reshape", [_features_of(graph), f"{_PREFIX}row"], [f"{_PREFIX}features"]))
    graph.node.append(helper.make_node("Concat", [output, f"{_PREFIX}features"], [f"{_PREFIX}both"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(f"{_PREFIX}both", TensorProto.FLOAT, None))
    return bytes(built.SerializeToString())


def with_familiarity(model: bytes, familiarity: Familiarity) -> bytes:
    """Return a variant's ONNX model that multiplies its probabilities by their familiarity."""
    built = onnx.load_model_from_string(model)
    graph = built.graph
    output, features = graph.output[0].name, _features_of(graph)
    every = f"{_PREFIX}probabilities"
    for node in graph.node:
        node.output[:] = [every if name == output else name for name in node.output]
        node.input[:] = [every if name == output else name for name in node.input]
    constants = {
        "row": np.array([1, familiarity.directions.shape[1]]),
        "column": np.array([familiarity.directions.shape[0], 1]),
        "axis": np.array([1]),
        "directions.half": familiarity.directions.T.astype(np.float16),
        "least_norm": np.array([_MIN_NORM], dtype=np.float32),
        "sharpness": np.array([_SHARPNESS], dtype=np.float32),
        "slope": np.array([familiarity.slope], dtype=np.float32),
        "offset": np.array([familiarity.offset], dtype=np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, _PREFIX + name) for name, value in constants.items())
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("Cast", ["directions.half"], "directions", {"to": TensorProto.FLOAT}),
        ("Reshape", [features, "row"], "features", {}),
        ("ReduceL2", ["features", "axis"], "norm", {"keepdims": 1}),
        ("Add", ["norm", "least_norm"], "positive_norm", {}),
        ("Div", ["features", "positive_norm"], "direction", {}),
        ("MatMul", ["direction", "directions"], "similarities", {}),
        ("Mul", [every, "sharpness"], "sharpened", {}),
        ("Softmax", ["sharpened"], "chosen", {"axis": 1}),
        ("Reshape", ["chosen", "column"], "chosen_column", {}),
        ("MatMul", ["similarities", "chosen_column"], "similarity", {}),
        ("Mul", ["similarity", "slope"], "scaled", {}),
        ("Add", ["scaled", "offset"], "shifted", {}),
        ("Sigmoid", ["shifted"], "share", {}),
        ("Mul", [every, "share"], output, {}),
    )
    outside = {every, features, output}
    for kind, inputs, result, attributes in steps:
        names = [name if name in outside else _PREFIX + name for name in (*inputs, result)]
        node = helper.make_node(kind, names[:-1], names[-1:], name=f"{_PREFIX}{result}", **attributes)
        graph.node.append(node)
    onnx.checker.check_model(built)
    return bytes(built.SerializeToString())


def _features_of(graph: onnx.GraphProto) -> str:
    """Return the name of the input of the classifier: of the last convolution or product before the last softmax."""
    makers = {name: node for node in graph.node for name in node.output}
    softmax = [node for node in graph.node if node.op_type == "Softmax"][-1]
    node = makers[softmax.input[0]]
    while node.op_type not in _CLASSIFIERS:
        node = makers[node.input[0]]
    return str(node.input[0])


def _similarity(
    features: NDArray[np.floating], probabilities: NDArray[np.floating], directions: NDArray[np.floating]
) -> NDArray[np.float64]:
    powers = np.exp(_SHARPNESS * (probabilities - probabilities.max(1, keepdims=True)).astype(np.float64))
    chosen = powers / powers.sum(1, keepdims=True)
    # As the model stores them.
    stored = directions.astype(np.float16).astype(np.float64)
    cosines = (features / _norms(features)) @ stored.T
    return np.asarray((chosen * cosines).sum(1))


def _norms(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) + _MIN_NORM)
