"""Familiarity: fitted, computed in numpy, and built into the models."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.bundle.model_file import check_model
from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.inference.openvino import OpenVinoPredictor
from vp_mqtt.training.familiarity import (
    Familiarity,
    fit_familiarity,
    has_familiarity,
    with_familiarity,
    with_features,
    without_familiarity,
)
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.onnx_export import to_onnx
from vp_mqtt.training.quantize import quantize

CLASSES, FILTERS, SIDE = 4, 16, 32
KINDS = ("exact", "half", "int8", "average", "knows")


def inputs(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (count, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    networks = {
        name: VariantNetwork(
            VariantSpec.model_validate({"resolution": SIDE, "head": FILTERS, **changes}), CLASSES
        ).eval()
        for name, changes in (("max", {}), ("average", {"pooling": "average"}), ("knows", {"knows": (1, 2)}))
    }
    exact = to_onnx(networks["max"], SIDE, "float32")
    return {
        "exact": exact,
        "half": to_onnx(networks["max"], SIDE, "float16"),
        "int8": quantize(exact, [one[np.newaxis] for one in inputs(4)]),
        "average": to_onnx(networks["average"], SIDE, "float32"),
        "knows": to_onnx(networks["knows"], SIDE, "float32"),
    }


def outputs(model: bytes) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"picture": one[np.newaxis]})[0] for one in inputs(6)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_computes_the_familiarity_that_was_fitted(models: dict[str, bytes], kind: str) -> None:
    model = models[kind]
    both = outputs(with_features(model))
    probabilities, features = both[:, :CLASSES], both[:, CLASSES:]
    assert features.shape == (6, FILTERS)
    assert probabilities == pytest.approx(outputs(model), abs=1e-6)
    familiarity = fit_familiarity(features, probabilities, np.arange(6) % CLASSES, is_trained_on=np.arange(6) < 5)
    built = with_familiarity(model, familiarity)
    expected = familiarity.apply(features, probabilities)
    assert outputs(built) == pytest.approx(expected, abs=2e-3)
    assert (expected <= probabilities).all()
    assert expected.sum() < probabilities.sum()
    assert [has_familiarity(one) for one in (model, built)] == [False, True]
    assert outputs(without_familiarity(built)) == pytest.approx(probabilities, abs=1e-6)
    with pytest.raises(onnx.checker.ValidationError):
        with_familiarity(built, familiarity)


def test_boards_accept_and_run_it_in_both_runtimes(models: dict[str, bytes]) -> None:
    both = outputs(with_features(models["half"]))
    familiarity = Familiarity(np.eye(CLASSES, FILTERS, dtype=np.float32), slope=3.0, offset=-1.0)
    built = with_familiarity(models["half"], familiarity)
    check_model(built)
    onnx.checker.check_model(onnx.load_model_from_string(built))
    expected = familiarity.apply(both[:, CLASSES:], both[:, :CLASSES])[0]
    for kind in (OnnxPredictor, OpenVinoPredictor):
        predictor = kind(built, resolution=SIDE, classes=CLASSES)
        assert predictor(inputs(1)) == pytest.approx(expected, abs=2e-3)


def clusters(count: int, *, foreign: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return (features, probabilities, labels) of known pictures around an axis each, and of foreign ones around 9."""
    rng = np.random.default_rng(1)
    labels = np.arange(count + foreign) % CLASSES
    features = np.abs(rng.normal(0, 0.1, (count + foreign, FILTERS)))
    features[np.arange(count), labels[:count]] += 1
    features[count:, 9] += 1
    return features, np.eye(CLASSES)[labels] * 0.94 + 0.015, labels


def test_known_pictures_keep_their_probabilities_and_foreign_ones_lose_them() -> None:
    features, probabilities, labels = clusters(200, foreign=50)
    familiarity = fit_familiarity(features[:200], probabilities[:200], labels[:200], is_trained_on=np.arange(200) < 150)
    kept = familiarity.apply(features, probabilities).sum(1)
    assert np.quantile(kept[:200], 0.05) > 0.5
    assert kept[200:].max() < 0.01


def test_pictures_trained_on_are_not_compared_with_themselves() -> None:
    # Each class has one picture of its own to make its mean: only the held-out ones tell how similar pictures are.
    features, probabilities, labels = clusters(24)
    alone = fit_familiarity(features, probabilities, labels, is_trained_on=np.arange(24) < CLASSES)
    assert 0.8 < alone.apply(features[CLASSES:], probabilities[CLASSES:]).sum(1).mean() < 1


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-100, 100))
def test_probabilities_stay_in_order_and_in_bounds(seed: int, slope: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(CLASSES), 3)
    # Some are all zeros, as after a ReLU.
    features = np.maximum(rng.normal(0, 1, (3, FILTERS)), 0.0) * rng.integers(0, 2, (3, 1)).astype(np.float64)
    directions = rng.normal(0, 1, (CLASSES, FILTERS)).astype(np.float32)
    result = Familiarity(directions, slope, offset).apply(features, probabilities)
    assert np.isfinite(result).all()
    assert ((result >= 0) & (result <= probabilities + 1e-6)).all()
