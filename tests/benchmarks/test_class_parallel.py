from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparators.class_parallel import class_parallel_family, shares
from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.onnx_export import largest_difference, to_onnx
from vp_mqtt.training.presets import family_as_toml, load_family

KNOWS = (4, 1)
SPEC = VariantSpec(resolution=32, alpha=0.1, head=16, knows=KNOWS)


@pytest.fixture(scope="module")
def network() -> VariantNetwork:
    torch.manual_seed(2)
    network = VariantNetwork(SPEC, 6).eval()
    torch.nn.init.normal_(network.classifier.weight, std=1.0)
    return network


@given(st.integers(1, 300), st.integers(1, 64))
def test_every_class_has_one_board(classes: int, boards: int) -> None:
    if boards > classes:
        with pytest.raises(UserError, match=f"takes 1 to {classes} boards"):
            shares(classes, boards)
        return
    found = shares(classes, boards)
    assert sorted(index for share in found for index in share) == list(range(classes))
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_what_is_not_known_shares_the_probability_of_none_of_mine(network: VariantNetwork) -> None:
    picture = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        spread, votes = network(picture).softmax(1), network.probabilities(picture)
    torch.testing.assert_close(spread.sum(1), torch.ones(3))
    torch.testing.assert_close(spread[:, list(KNOWS)], votes[:, list(KNOWS)])
    others = [0, 2, 3, 5]
    assert (votes[:, others] == 0).all()
    torch.testing.assert_close(spread[:, others], ((1 - votes.sum(1)) / 4)[:, None].expand(3, 4))


def test_its_exported_model_votes_for_what_it_knows(network: VariantNetwork) -> None:
    model = to_onnx(network, 32, "float32")
    assert largest_difference(network, model, 32) < 1e-4
    found = OnnxPredictor(model, resolution=32, classes=6)(np.zeros((1, 3, 32, 32), np.float32))
    assert set(np.flatnonzero(found).tolist()) == set(KNOWS)


def test_the_family_is_read_back_from_its_file(tmp_path: Path) -> None:
    family = class_parallel_family(10, 4, resolution=64, alpha=0.5, head=32)
    (tmp_path / "family.toml").write_text(family_as_toml(family), encoding="utf-8")
    assert load_family(str(tmp_path / "family.toml")) == family
    assert family.weights() == [pytest.approx(family.weights()[0])] * 4
