"""A short training on small pictures."""

from __future__ import annotations

from pathlib import Path

from tests.support.training_data import FAMILY, write_fashion_mnist
from vp_mqtt.training.builder import build_trainer
from vp_mqtt.training.checkpoint import Origin
from vp_mqtt.training.datasets import load
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.recipe import Recipe
from vp_mqtt.training.trainer import Trainer

EPOCHS = 8
RECIPE = {"epochs": EPOCHS, "batch": 40, "frozen_steps": 2, "average": 0.9, "learning_rate": 6e-3, "mixup": 0}


def training(folder: Path, out: Path, **recipe: float) -> Trainer:
    family = folder / "family.toml"
    family.write_text(FAMILY, encoding="utf-8")
    dataset = load("fashion-mnist", write_fashion_mnist(folder / "data", train=480))
    origin = Origin(
        family=load_family(str(family)),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=Recipe.model_validate({**RECIPE, **recipe}),
    )
    return build_trainer(origin, dataset, out)
