from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vp_mqtt.errors import UserError
from vp_mqtt.family import VariantSpec
from vp_mqtt.learning.networks import SamePaddedConv2d, VariantNetwork, scaled_channels
from vp_mqtt.learning.pretrained import load_backbone, read_weights


def network(resolution: int = 96, head: int = 256, classes: int = 10, alpha: float = 0.35) -> VariantNetwork:
    return VariantNetwork(VariantSpec(resolution=resolution, head=head, alpha=alpha), classes)


@pytest.mark.parametrize(("head", "millions"), [(256, 0.282), (320, 0.290), (448, 0.306), (576, 0.322)])
def test_the_papers_variants_have_the_papers_parameters(head: int, millions: float) -> None:
    params = sum(parameter.numel() for parameter in network(head=head).parameters())
    assert round(params / 1e6, 3) == millions


def test_channels_are_rounded_as_in_the_original() -> None:
    assert [scaled_channels(c, 0.35) for c in (16, 24, 32, 64, 96, 160, 320)] == [8, 8, 16, 24, 32, 56, 112]
    assert [scaled_channels(c, 1.0) for c in (16, 24, 320)] == [16, 24, 320]


@pytest.mark.parametrize("resolution", [40, 44, 96])
def test_any_resolution_gives_one_logit_per_class(resolution: int) -> None:
    assert network().eval()(torch.zeros(2, 3, resolution, resolution)).shape == (2, 10)


def test_stride_two_convolutions_pad_right_and_bottom_only() -> None:
    convolution = SamePaddedConv2d(1, 1, 3, 2, 0, bias=False)
    torch.nn.init.ones_(convolution.weight)
    found = convolution(torch.arange(16.0).reshape(1, 1, 4, 4))
    # Upper left window: rows 0..2, columns 0..2; lower right: rows 2..3, columns 2..3, the rest zeros.
    assert found.flatten().tolist() == [45.0, 39.0, 66.0, 50.0]
    # Odd sizes are padded on all sides: the first window's centre is the corner.
    assert convolution(torch.ones(1, 1, 3, 3)).flatten().tolist() == [4.0, 4.0, 4.0, 4.0]
    assert convolution(torch.ones(1, 1, 1, 1)).shape == (1, 1, 1, 1)


def weights_of(source: VariantNetwork, path: Path) -> Path:
    arrays = {name: tensor.numpy() for name, tensor in source.state_dict().items() if name.startswith("features")}
    arrays |= {"features.18.0.weight": np.zeros(3, np.float32), "extra": np.zeros(1, np.float32)}
    np.savez(path, **arrays)
    return path


def test_a_backbone_is_loaded_by_name_for_any_head(tmp_path: Path) -> None:
    source, target = network(head=64), network(head=128, classes=3)
    match = load_backbone(target, read_weights(weights_of(source, tmp_path / "weights.npz")))
    name = "features.17.conv.2.weight"
    assert torch.equal(target.state_dict()[name], source.state_dict()[name])
    assert name in match.loaded
    assert [u for u in match.unused if not u.endswith("num_batches_tracked")] == ["extra"]


def test_weights_of_another_width_are_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(UserError, match="of another width"):
        load_backbone(target, read_weights(weights_of(network(alpha=0.5), tmp_path / "weights.npz")))
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="not MobileNetV2"):
        load_backbone(network(), read_weights(tmp_path / "other.npz"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"--pretrained .*bad\.npz: not a \.npz file"):
        read_weights(tmp_path / "bad.npz")


def test_a_damaged_npz_and_a_single_array_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "damaged.npz", a=np.arange(1000.0))
    data = bytearray((tmp_path / "damaged.npz").read_bytes())
    data[60:200] = b"\xff" * 140
    (tmp_path / "damaged.npz").write_bytes(data)
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name in ("damaged.npz", "single.npy"):
        with pytest.raises(UserError, match=r"not a \.npz file"):
            read_weights(tmp_path / name)


def test_pickles_are_never_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(UserError, match="plain arrays"):
        read_weights(tmp_path / "pickle.npz")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_weights(tmp_path / "missing.npz")
