"""A narrow head that starts from filters of the base model's last convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.pretrained.starting_weights import StartingWeights, candidates_for, load_first_fitting

CLASSES = ("a", "b", "c")
FILTERS = 1280
Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def base() -> Weights:
    """A file's arrays: MobileNetV2 of width 0.35, with its wide last convolution."""
    network = VariantNetwork(VariantSpec(resolution=96, head=FILTERS, pooling="average"), 3)
    names = {"head.0.": "features.18.0.", "head.1.": "features.18.1."}
    rng = np.random.default_rng(0)
    weights = {}
    for name, value in network.state_dict().items():
        if name.startswith("classifier") or name.endswith("num_batches_tracked"):
            continue
        ours = next((ours for ours in names if name.startswith(ours)), "")
        weights[names.get(ours, "") + name.removeprefix(ours)] = rng.random(value.shape, dtype=np.float32)
    return weights


def started(weights: Weights, spec: VariantSpec, *, with_filters: bool = True) -> tuple[VariantNetwork, set[str]]:
    network = VariantNetwork(spec, len(CLASSES))
    match = load_first_fitting(
        network, candidates_for([StartingWeights(weights)], spec, CLASSES, with_filters=with_filters)
    )
    return network, {name for name in match.loaded if name.startswith("head.")}


def filters_of(network: VariantNetwork, base: Weights) -> list[int]:
    """Return which of the file's filters the head has, by their weights; each value of them is another."""
    firsts = {float(value): index for index, value in enumerate(base["features.18.0.weight"][:, 0, 0, 0])}
    return [firsts[float(value)] for value in network.head.state_dict()["0.weight"][:, 0, 0, 0]]


def test_a_narrow_head_starts_from_filters_of_the_file_with_their_statistics(base: Weights) -> None:
    network, loaded = started(base, VariantSpec(resolution=96, head=40))
    chosen = filters_of(network, base)
    assert len(set(chosen)) == 40
    assert loaded == {f"head.{part}" for part in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")}
    for name, value in network.head.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, torch.from_numpy(base[f"features.18.{name}"][chosen]))


def test_variants_of_other_resolutions_get_other_filters(base: Weights) -> None:
    one, other = (
        set(filters_of(started(base, VariantSpec(resolution=resolution, head=300))[0], base))
        for resolution in (96, 128)
    )
    assert one != other


def test_it_is_the_same_each_time(base: Weights) -> None:
    spec = VariantSpec(resolution=128, head=64)
    assert filters_of(started(base, spec)[0], base) == filters_of(started(base, spec)[0], base)


def test_it_can_be_switched_off(base: Weights) -> None:
    assert started(base, VariantSpec(resolution=96, head=40), with_filters=False)[1] == set()


def test_the_base_models_own_head_is_taken_whole(base: Weights) -> None:
    network, loaded = started(base, VariantSpec(resolution=96, head=FILTERS, pooling="average"))
    assert filters_of(network, base) == list(range(FILTERS))
    assert "head.1.running_var" in loaded


@pytest.mark.parametrize(
    "change",
    [
        {"features.18.0.weight": np.zeros((20, 112, 1, 1), np.float32)},
        {"features.18.1.bias": np.zeros((), np.float32)},
        {"features.18.1.bias": np.zeros(1281, np.float32)},
    ],
)
def test_a_file_whose_last_convolution_is_no_such_thing_leaves_the_head_to_chance(
    base: Weights, change: Weights
) -> None:
    assert started(base | change, VariantSpec(resolution=96, head=40))[1] == set()


def test_a_file_with_fewer_filters_leaves_the_head_to_chance(base: Weights) -> None:
    few = {name: array[:30] if name.startswith("features.18.") else array for name, array in base.items()}
    assert started(few, VariantSpec(resolution=96, head=40))[1] == set()
