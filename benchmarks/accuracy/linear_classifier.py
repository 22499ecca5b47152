"""What a family starts from: `python -m benchmarks.accuracy.linear_classifier`.

Trains nothing but a linear classifier on the pooled features of every variant as `vp train` would start it (pretrained
backbone, and a head of pretrained filters), without augmentation, and judges variants and fusion on the test pictures.
What fine-tuning gains is what a training has beyond that.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.cli.lazy import run_app
from vp_mqtt.inference.onnx import OnnxModel
from vp_mqtt.inference.pictures import prepare
from vp_mqtt.training.datasets import Pictures, load
from vp_mqtt.training.export import module_to_onnx
from vp_mqtt.training.losses import fused_sums
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.parallel import each_picture
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.pretrained.starting_weights import in_order, load_fitting, weights_of

K = 3
BATCH, EPOCHS, LEARNING_RATE, LABEL_SMOOTHING = 256, 25, 3e-3, 0.1


def _features(network: VariantNetwork, pictures: Pictures, resolution: int) -> Tensor:
    """Return what the classifier would get, shape (N, head), float32."""
    folded = fold_batch_norm(network)
    folded.classifier = nn.Identity()  # type: ignore[assignment]
    example = torch.zeros(1, 3, resolution, resolution)
    exported = module_to_onnx(folded, example, input_name="picture", output_name="features")
    model = OnnxModel(exported, input_shape=example.shape, output_shape=(1, network.classifier.in_channels))

    def one(index: int) -> Tensor:
        return torch.from_numpy(model(prepare(pictures.picture(index), resolution, Preprocessing()))[0])

    return torch.stack(list(each_picture(one, len(pictures), f"{resolution} pixels")))


def _logits(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Return what a linear classifier that learned from features says of others, shape (N, classes)."""
    mean, spread = train.mean(0), train.std(0) + 1e-3
    train, test = (train - mean) / spread, (test - mean) / spread
    linear = nn.Linear(train.shape[1], classes)
    nn.init.zeros_(linear.weight)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=LEARNING_RATE)
    steps = max(1, len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=EPOCHS * steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(train))[: steps * BATCH].chunk(steps):
            loss = functional.cross_entropy(linear(train[chosen]), labels[chosen], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return torch.as_tensor(linear(test))


def main(
    data: Annotated[str, typer.Argument(help="a folder of class folders, or a named data set")],
    *,
    pretrained: Annotated[list[str], typer.Option(help="weights, as for `vp train`")],
    root: Annotated[Path | None, typer.Option(help="folder with the files of a named data set")] = None,
    family: Annotated[str, typer.Option(help="as for `vp train`")] = "paper",
    seeds: Annotated[int, typer.Option(min=1, help="classifiers of each variant: accuracies are means")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train the classifiers and judge."""
    torch.set_num_threads(1)
    dataset = load(data, root)
    spec = load_family(family)
    starts = weights_of(pretrained, None, spec)
    truth, labels = (torch.from_numpy(part.labels) for part in (dataset.test, dataset.train))
    logits: list[list[Tensor]] = [[] for _ in range(seeds)]
    for variant in spec.variants:
        network = VariantNetwork(variant, len(dataset.classes))
        load_fitting(network, in_order(starts, variant, dataset.classes))
        train, test = (_features(network, part, variant.resolution) for part in (dataset.train, dataset.test))
        for seed in range(seeds):
            torch.manual_seed(seed)
            logits[seed].append(_logits(train, labels, test, len(dataset.classes)))

    def accuracy(scores: list[Tensor]) -> float:
        return round(statistics.fmean(float((one.argmax(1) == truth).float().mean()) for one in scores), 4)

    fused = accuracy([fused_sums(of_one, spec.weights(), min(K, len(dataset.classes) // 2)) for of_one in logits])
    alone = [accuracy(list(of_one)) for of_one in zip(*logits, strict=True)]
    if as_json:
        print(json.dumps({"images": len(truth), "seeds": seeds, "fused": fused, "variants": alone}))
        return
    table = Table("pixels", "accuracy")
    for variant, share in zip(spec.variants, alone, strict=True):
        table.add_row(str(variant.resolution), f"{share:.2%}")
    table.add_row("fused", f"{fused:.2%}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
