from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.training.test_networks import network
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.pretrained.keras import fetch_imagenet
from vp_mqtt.training.pretrained.starting_weights import (
    candidates_for,
    load_backbone,
    load_first_fitting,
    read_starting_weights,
)
from vp_mqtt.training.pretrained.weight_files import read_weights

CLASSES = ("cup", "key", "pen")


def write_npz(source: VariantNetwork, path: Path) -> Path:
    arrays = {name: tensor.numpy() for name, tensor in source.state_dict().items() if name.startswith("features")}
    arrays |= {"features.18.0.weight": np.zeros(3, np.float32), "extra": np.zeros(1, np.float32)}
    np.savez(path, **arrays)
    return path


def test_a_backbone_is_loaded_by_name_for_any_head(tmp_path: Path) -> None:
    source, target = network(head=64), network(head=128, classes=3)
    match = load_backbone(target, read_weights(write_npz(source, tmp_path / "weights.npz")))
    name = "features.17.conv.2.weight"
    assert torch.equal(target.state_dict()[name], source.state_dict()[name])
    assert name in match.loaded
    assert [u for u in match.unused if not u.endswith("num_batches_tracked")] == ["extra"]


def test_weights_of_another_width_are_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(UserError, match="of another width"):
        load_backbone(target, read_weights(write_npz(network(alpha=0.5), tmp_path / "weights.npz")))
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
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    for name in ("damaged.npz", "single.npz"):
        with pytest.raises(UserError, match=r"not a \.npz file"):
            read_weights(tmp_path / name)


def test_pickles_are_never_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(UserError, match="plain arrays"):
        read_weights(tmp_path / "pickle.npz")


@pytest.mark.parametrize("name", ["missing.npz", "missing.pt", "missing.safetensors"])
def test_a_missing_file_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_weights(tmp_path / name)


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give a \.npz"):
        read_weights(tmp_path / "weights.onnx")


def as_torchvision(source: VariantNetwork) -> dict[str, torch.Tensor]:
    """Return a network's weights as torchvision saves them: the head is its 18th layer."""
    names = {"head.0.": "features.18.0.", "head.1.": "features.18.1.", "classifier.": "classifier.1."}
    return {
        next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)), name): value.clone()
        for name, value in source.state_dict().items()
    }


def as_timm(source: VariantNetwork) -> dict[str, torch.Tensor]:
    """Return a network's weights under timm's names."""
    stages = (1, 2, 3, 4, 3, 3, 1)
    places = [(stage, block) for stage, blocks in enumerate(stages) for block in range(blocks)]
    renamed = {"features.0.0": "conv_stem", "features.0.1": "bn1", "features.18.0": "conv_head", "features.18.1": "bn2"}
    renamed["classifier.1"] = "classifier"
    for index, (stage, block) in enumerate(places, start=1):
        layers = (
            {"conv.0.0": "conv_dw", "conv.0.1": "bn1", "conv.1": "conv_pw", "conv.2": "bn2"}
            if stage == 0
            else {
                "conv.0.0": "conv_pw",
                "conv.0.1": "bn1",
                "conv.1.0": "conv_dw",
                "conv.1.1": "bn2",
                "conv.2": "conv_pwl",
                "conv.3": "bn3",
            }
        )
        renamed |= {f"features.{index}.{ours}": f"blocks.{stage}.{block}.{timm}" for ours, timm in layers.items()}
    named = (name.rpartition(".") for name in as_torchvision(source))
    values = as_torchvision(source).values()
    return {f"{renamed[outer]}.{kind}": value for (outer, _, kind), value in zip(named, values, strict=True)}


@pytest.mark.parametrize("naming", [as_torchvision, as_timm])
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_every_array_of_the_base_model_is_found(
    tmp_path: Path, naming: Callable[[VariantNetwork], dict[str, torch.Tensor]], ending: str
) -> None:
    spec = VariantSpec(resolution=224, alpha=0.1, head=16, pooling="average")
    source, target = VariantNetwork(spec, 5), VariantNetwork(spec, 5)
    path = tmp_path / f"weights.{ending}"
    if ending == "pt":
        torch.save({"state_dict": naming(source)}, path)
    else:
        save_file(naming(source), path)
    match = load_backbone(target, read_weights(path, "tensorflow"))
    assert set(match.kept) == {"classifier.weight", "classifier.bias"}
    assert match.unused == ()
    state = source.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in target.state_dict().items() if name in match.loaded)


def test_a_variant_takes_the_backbone_and_leaves_the_wide_head(tmp_path: Path) -> None:
    source = VariantNetwork(VariantSpec(resolution=224, alpha=0.1, head=1280, pooling="average"), 5)
    torch.save(as_torchvision(source), tmp_path / "weights.pth")
    match = load_backbone(network(alpha=0.1, head=32), read_weights(tmp_path / "weights.pth"))
    assert {name.partition(".")[0] for name in match.kept} == {"head", "classifier"}
    assert match.unused == ()


def test_a_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "network.pt")
    with pytest.raises(UserError, match="save the network's state_dict"):
        read_weights(tmp_path / "network.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="not a state_dict"):
        read_weights(tmp_path / "list.pt")
    (tmp_path / "bad.safetensors").write_bytes(b"text")
    with pytest.raises(UserError, match=r"not a \.safetensors"):
        read_weights(tmp_path / "bad.safetensors")


def test_torchvisions_conventions_are_converted_exactly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, ours = network(alpha=0.1).eval(), network(alpha=0.1).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5
            # Variances on both sides of the difference of the epsilons.
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_var = torch.rand_like(module.weight) * 2e-3
            module.running_mean = torch.rand_like(module.weight)
    torch.save(as_torchvision(theirs), tmp_path / "weights.pt")
    load_backbone(ours, read_weights(tmp_path / "weights.pt"))
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((picture + 1) / 2 - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    with torch.inference_mode():
        # The border is padded with zeros, which mean another colour: look inside.
        expected, found = theirs.features[0](normalised), ours.features[0](picture)
        torch.testing.assert_close(found[..., :-1, :-1], expected[..., :-1, :-1], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(ours.features[1:](expected), theirs.features[1:](expected), rtol=1e-3, atol=1e-2)


def write_keras(source: VariantNetwork, path: Path) -> Path:
    """Write a network's backbone as Keras Applications does: one group per layer, in it another of the same name."""
    layers = {"features.0.0": "Conv1", "features.0.1": "bn_Conv1"}
    first = {"conv.0.0": "depthwise", "conv.0.1": "depthwise_BN", "conv.1": "project", "conv.2": "project_BN"}
    layers |= {f"features.1.{ours}": f"expanded_conv_{keras}" for ours, keras in first.items()}
    other = {"conv.0.0": "expand", "conv.0.1": "expand_BN", "conv.1.0": "depthwise", "conv.1.1": "depthwise_BN"}
    other |= {"conv.2": "project", "conv.3": "project_BN"}
    layers |= {f"features.{i + 1}.{ours}": f"block_{i}_{keras}" for i in range(1, 17) for ours, keras in other.items()}
    arrays = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    with h5py.File(path, "w") as file:
        for name, value in source.state_dict().items():
            outer, _, kind = name.rpartition(".")
            if outer not in layers or kind == "num_batches_tracked":
                continue
            array, keras = value.numpy(), layers[outer]
            if array.ndim == 4:
                is_depthwise = keras.endswith("_depthwise")
                array = array.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
                written = "depthwise_kernel" if is_depthwise else "kernel"
            else:
                written = arrays.get(kind, "gamma")
            file[f"{keras}/{keras}/{written}:0"] = array
    return path


def test_weights_of_keras_are_read(tmp_path: Path) -> None:
    source, target = network(alpha=0.35), network(alpha=0.35)
    match = load_backbone(target, read_weights(write_keras(source, tmp_path / "weights.h5")))
    state = target.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in source.state_dict().items() if name in match.loaded)
    assert {name.partition(".")[0] for name in match.kept} == {"head", "classifier"}
    (tmp_path / "bad.h5").write_bytes(b"text")
    with pytest.raises(UserError, match=r"not a \.h5 file"):
        read_weights(tmp_path / "bad.h5")


def test_imagenet_stands_for_the_published_weights_of_every_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "vp-mqtt"
    folder.mkdir()
    published = {}
    for alpha, nearest in ((0.35, 224), (0.5, 96), (0.35, 96)):
        name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{nearest}_no_top.h5"
        published[alpha, nearest] = network(alpha=alpha)
        write_keras(published[alpha, nearest], folder / name)
    family = FamilySpec(
        name="mixed",
        variants=(
            VariantSpec(resolution=256, head=32),
            VariantSpec(resolution=64, head=32, alpha=0.5),
            VariantSpec(resolution=96, head=32),
        ),
    )
    files = read_starting_weights(["imagenet"], None, family)
    assert len(files) == 3
    for spec, nearest in zip(family.variants, (224, 96, 96), strict=True):
        new = VariantNetwork(spec, 3)
        match = load_first_fitting(new, candidates_for(files, spec, CLASSES))
        assert match.unused == ()
        ours, theirs = new.state_dict(), published[spec.alpha, nearest].state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in match.loaded if name.startswith("features."))
    with pytest.raises(UserError, match=r"of another width; add weights of every width .*--family"):
        load_first_fitting(network(alpha=0.75), [file.arrays for file in files])
    with pytest.raises(UserError, match=r"no weights of width 0\.4"):
        read_starting_weights(
            ["imagenet"], None, FamilySpec(name="x", variants=(VariantSpec(resolution=96, head=8, alpha=0.4),))
        )


def test_without_a_network_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.training.pretrained.keras._URL", "https://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"cannot be downloaded .* download it elsewhere and give the file"):
        fetch_imagenet(0.35, 96, tmp_path)
    assert list(tmp_path.iterdir()) == []
