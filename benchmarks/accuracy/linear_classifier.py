"""What a family starts from: linear classifiers on the features of untrained variants.

Trains nothing but a linear classifier on the pooled features of every variant as `vp train` would start it (pretrained
backbone, and a head of pretrained filters), without augmentation, and evaluates variants and fusion on the test
pictures. What a training achieves beyond that is the gain of fine-tuning.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.inference.onnx import OnnxModel
from vp_mqtt.inference.pictures import prepare
from vp_mqtt.training.datasets import Pictures, load
from vp_mqtt.training.losses import fused_sums
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.onnx_export import module_to_onnx
from vp_mqtt.training.parallel import map_pictures
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.pretrained.starting_weights import candidates_for, load_first_fitting, read_starting_weights

K = 3
BATCH, EPOCHS, LEARNING_RATE, LABEL_SMOOTHING = 256, 25, 3e-3, 0.1


def features_of(network: VariantNetwork, pictures: Pictures, resolution: int) -> Tensor:
    """Return the inputs of a network's classifier, shape (N, head), float32."""
    folded = fold_batch_norm(network)
    folded.classifier = nn.Identity()  # type: ignore[assignment]
    example = torch.zeros(1, 3, resolution, resolution)
    exported = module_to_onnx(folded, example, input_name="picture", output_name="features")
    model = OnnxModel(exported, input_shape=example.shape, output_shape=(1, network.classifier.in_channels))

    def one(index: int) -> Tensor:
        return torch.from_numpy(model(prepare(pictures.picture(index), resolution, Preprocessing()))[0])

    return torch.stack(list(map_pictures(one, len(pictures), f"{resolution} pixels")))


def classify(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Train a linear classifier on features, and return its logits for others, shape (N, classes)."""
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


@dataclass(frozen=True)
class LinearResult:
    """Accuracies, 0..1, means over the seeds.

    Attributes:
        images: test pictures.
        seeds: classifiers of each variant.
        fused: accuracy of the fused label.
        variants: accuracy of each variant alone, by index.
        resolutions: resolution of each variant, in pixels, by index.
    """

    images: int
    seeds: int
    fused: float
    variants: list[float]
    resolutions: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Return it as `vp bench linear-classifier --json` prints it."""
        return asdict(self)


def train_classifiers(data: str, root: Path | None, pretrained: Sequence[str], family: str, seeds: int) -> LinearResult:
    """Train the classifiers and evaluate them.

    Args:
        data: a folder of class folders, or a named data set.
        root: folder with the files of a named data set.
        pretrained: weights, as for `vp train`.
        family: name or TOML file.
        seeds: classifiers of each variant.

    Raises:
        UserError: data, weights or family cannot be used.
    """
    torch.set_num_threads(1)
    dataset = load(data, root)
    spec = load_family(family)
    starts = read_starting_weights(pretrained, None, spec)
    truth, labels = (torch.from_numpy(part.labels) for part in (dataset.test, dataset.train))
    logits: list[list[Tensor]] = [[] for _ in range(seeds)]
    for variant in spec.variants:
        network = VariantNetwork(variant, len(dataset.classes))
        load_first_fitting(network, candidates_for(starts, variant, dataset.classes))
        train, test = (features_of(network, part, variant.resolution) for part in (dataset.train, dataset.test))
        for seed in range(seeds):
            torch.manual_seed(seed)
            logits[seed].append(classify(train, labels, test, len(dataset.classes)))

    def accuracy(scores: list[Tensor]) -> float:
        return round(statistics.fmean(float((one.argmax(1) == truth).float().mean()) for one in scores), 4)

    k = min(K, len(dataset.classes) // 2)
    return LinearResult(
        images=len(truth),
        seeds=seeds,
        fused=accuracy([fused_sums(of_one, spec.vote_weights(), k) for of_one in logits]),
        variants=[accuracy(list(of_one)) for of_one in zip(*logits, strict=True)],
        resolutions=[variant.resolution for variant in spec.variants],
    )
