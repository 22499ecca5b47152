"""Starting a training from a bundle, whose batch norms had been folded into its convolutions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.support.training_data import write_fashion_mnist
from tests.training.test_pretrained import CLASSES
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.builder import build_trainer
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.datasets import load
from vp_mqtt.training.evaluation.evaluate import evaluate_bundle
from vp_mqtt.training.export import export_bundle
from vp_mqtt.training.networks import VariantNetwork, measure_statistics, needs_statistics
from vp_mqtt.training.onnx_weights import store_weights
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.pretrained.starting_weights import candidates_for, load_first_fitting, read_starting_weights
from vp_mqtt.training.quantize import quantize
from vp_mqtt.training.recipe import Recipe
from vp_mqtt.training.zoom import zoomed

SPECS = (
    VariantSpec(resolution=32, alpha=0.1, head=16),
    VariantSpec(resolution=48, alpha=0.1, head=24, pooling="average"),
    VariantSpec(resolution=64, alpha=0.1, head=16, knows=(0, 2)),
    VariantSpec(resolution=80, alpha=0.1, head=16, stages=5),
)


def pictures(side: int, count: int = 24) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """Networks whose batch norms have something to fold."""
    torch.manual_seed(0)
    networks = [VariantNetwork(spec, len(CLASSES)) for spec in SPECS]
    for network in networks:
        for norm in [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]:
            norm.get_parameter("weight").data.uniform_(0.5, 1.5)
            norm.get_parameter("bias").data.normal_(std=0.2)
            norm.get_buffer("running_mean").normal_(std=0.2)
            norm.get_buffer("running_var").uniform_(0.1, 2)
    origin = Origin(family=FamilySpec(name="before", variants=SPECS), classes=CLASSES, dataset="a", recipe=Recipe())
    empty: list[dict[str, Any]] = [{} for _ in SPECS]
    averages = [network.state_dict() for network in networks]
    return Checkpoint(origin, 3, networks=empty, averages=averages, optimizer={}, schedule={})


def started(bundle: Path, spec: VariantSpec) -> VariantNetwork:
    new = VariantNetwork(spec, len(CLASSES)).eval()
    match = load_first_fitting(
        new, candidates_for(read_starting_weights([str(bundle)], None, load_family("small")), spec, CLASSES)
    )
    assert match.kept == match.unused == ()
    return new


@pytest.fixture(scope="module")
def exact(trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("exported") / "bundle"
    export_bundle(trained, bundle, weights="float32")
    return bundle


@pytest.fixture
def halved(exact: Path, tmp_path: Path) -> Path:
    """Return a copy with float16 weights."""
    shutil.copytree(exact, tmp_path / "bundle")
    for index in range(len(SPECS)):
        model = onnx.load(exact / f"variant-{index}.onnx")
        store_weights(model, "float16")
        replace(tmp_path / "bundle", index, model.SerializeToString())
    return tmp_path / "bundle"


def replace(bundle: Path, index: int, model: bytes) -> None:
    (bundle / f"variant-{index}.onnx").write_bytes(model)
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    manifest["variants"][index]["sha256"] = hashlib.sha256(model).hexdigest()
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))


@pytest.mark.parametrize(("weights", "tolerance"), [("exact", 1e-5), ("halved", 1e-2)])
@pytest.mark.parametrize("index", range(len(SPECS)))
def test_a_variant_of_a_bundle_goes_on_as_it_was(
    trained: Checkpoint, request: pytest.FixtureRequest, index: int, weights: str, tolerance: float
) -> None:
    bundle: Path = request.getfixturevalue(weights)
    before, new = trained.trained_networks()[index], started(bundle, SPECS[index])
    shown = pictures(SPECS[index].resolution)
    with torch.no_grad():
        expected = before(shown)
        torch.testing.assert_close(new(shown), expected, atol=tolerance, rtol=tolerance)
        assert needs_statistics(new)
        measure_statistics(new, shown)
        torch.testing.assert_close(new(shown), expected, atol=tolerance, rtol=tolerance)
        assert not needs_statistics(new)
        # In training, batch norms scale by the statistics of the batch: those that they have now.
        new.train()
        new.dropout.eval()
        torch.testing.assert_close(new(shown), expected, atol=10 * tolerance, rtol=10 * tolerance)


def test_a_network_with_statistics_needs_none(trained: Checkpoint) -> None:
    assert not any(needs_statistics(network) for network in trained.trained_networks())
    assert not needs_statistics(VariantNetwork(SPECS[0], 3))
    network = trained.trained_networks()[0]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measure_statistics(network, pictures(32))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_training_begins_where_the_bundle_is(tmp_path: Path) -> None:
    dataset = load("fashion-mnist", write_fashion_mnist(tmp_path / "data"), 0)
    dataset = dataclasses.replace(dataset, validation=dataset.train)
    bundle = open_bundle("fashion-mnist")
    assert bundle.manifest.classes == dataset.classes
    family = FamilySpec(name="clothes", variants=tuple(entry.spec for entry in bundle.manifest.variants))
    origin = Origin(family=family, classes=dataset.classes, dataset="b", recipe=Recipe(epochs=1, batch=64))
    starts = read_starting_weights(["fashion-mnist"], None, family)
    training = build_trainer(origin, dataset, tmp_path / "run", weights=starts)
    found = training.validate()
    # Stripes are no clothes, but each variant takes them for some. Trainings look at whole pictures.
    whole = dataclasses.replace(bundle, manifest=zoomed(bundle.manifest, 1.0))
    evaluated = evaluate_bundle(whole, dataset.train, ks=[1]).accuracy.variants
    assert [found[f"variant {index}"] for index in range(len(evaluated))] == pytest.approx(evaluated, abs=0.03)
    assert len(set(evaluated)) > 1
    assert not any(needs_statistics(network) for network in training.run().trained_networks())


def test_bundles_in_the_box_go_by_name_and_serve_other_classes() -> None:
    starts = read_starting_weights(["fashion-mnist"], None, load_family("small"))
    boxed = open_bundle("fashion-mnist").manifest
    assert [start.resolution for start in starts] == [entry.resolution for entry in boxed.variants]
    spec = VariantSpec(resolution=80, alpha=0.35, head=224)
    new = VariantNetwork(spec, len(CLASSES))
    match = load_first_fitting(new, candidates_for(starts, spec, CLASSES))
    assert set(match.kept) == {"classifier.weight", "classifier.bias"}


def test_a_folder_of_ones_own_is_not_taken_for_the_bundle_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "caltech101").mkdir()
    with pytest.raises(UserError, match="train first, or name the folder of a training"):
        read_starting_weights(["caltech101"], None, load_family("small"))


def test_a_bundle_that_cannot_be_trained_further_is_refused(halved: Path) -> None:
    model = (halved / "variant-0.onnx").read_bytes()
    replace(halved, 0, quantize(model, [pictures(32, 1).numpy()]))
    with pytest.raises(UserError, match=r"--pretrained bundle: variant-0\.onnx: an int8 model cannot be trained"):
        read_starting_weights([str(halved)], None, load_family("small"))


def test_a_model_that_export_did_not_write_is_refused(halved: Path) -> None:
    model = onnx.load(halved / "variant-2.onnx")
    for stored in model.graph.initializer:
        stored.name = stored.name.replace("head.0.weight", "other")
    for node in model.graph.node:
        node.input[:] = [name.replace("head.0.weight", "other") for name in node.input]
        node.output[:] = [name.replace("head.0.weight", "other") for name in node.output]
    replace(halved, 2, model.SerializeToString())
    with pytest.raises(UserError, match=r"variant-2\.onnx: not a model that `vp export` wrote"):
        read_starting_weights([str(halved)], None, load_family("small"))


def test_a_damaged_bundle_is_refused(halved: Path) -> None:
    garbage = np.random.default_rng(0).bytes(100)
    replace(halved, 1, garbage)
    with pytest.raises(UserError, match=r"variant-1\.onnx: the model is refused: it is not an ONNX file"):
        read_starting_weights([str(halved)], None, load_family("small"))
    (halved / "variant-1.onnx").write_bytes(garbage[1:])
    with pytest.raises(UserError, match=r"variant-1\.onnx.*export or copy the bundle again"):
        read_starting_weights([str(halved)], None, load_family("small"))
    (halved / MANIFEST_NAME).write_text("{}")
    with pytest.raises(UserError, match=r"manifest\.json: .*export or copy the bundle again"):
        read_starting_weights([str(halved)], None, load_family("small"))
