"""Checkpoints: everything that is needed to resume a training, or to export its result."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.errors import UserError
from vp_mqtt.files import open_atomically
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.recipe import Recipe

CHECKPOINT_NAME = "checkpoint.pt"


class Origin(BaseModel):
    """What a family is trained from: the inputs that determine the result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: FamilySpec
    classes: tuple[str, ...]
    dataset: str
    recipe: Recipe
    pretrained: str | None = Field(
        default=None, description="names of the files, bundles or trainings with the initial weights"
    )
    teacher: str | None = Field(default=None, description="data set, family and validation accuracy of the teacher")
    data: str | None = Field(default=None, description="where the pictures are: a folder, or a data set's name")
    root: str | None = Field(default=None, description="folder of the named data set, if one was given")
    split_seed: int | None = Field(
        default=None, ge=0, description="seed of the split into parts, where it is not the recipe's seed"
    )

    @property
    def seed_of_split(self) -> int:
        """The seed that says which pictures the training held out."""
        return self.recipe.seed if self.split_seed is None else self.split_seed

    def at(self, other: Origin) -> Origin:
        """Return the same origin with the pictures where another has them: they may have been moved."""
        return self.model_copy(update={"data": other.data, "root": other.root})


@dataclass
class Checkpoint:
    """The state of a training after an epoch.

    Attributes:
        origin: what the family is trained from.
        epoch: number of epochs done.
        networks: state dicts of the variants, by index.
        averages: state dicts of their moving averages, which are exported.
        optimizer: its state dict.
        schedule: state dict of the learning rate schedule.
        history: one row per epoch.
    """

    origin: Origin
    epoch: int
    networks: list[dict[str, Any]]
    averages: list[dict[str, Any]]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write the checkpoint into a folder, atomically: after a crash or on a full disk the previous one remains.

        Raises:
            UserError: it cannot be written.
        """
        path = folder / CHECKPOINT_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open_atomically(path) as file:
                torch.save(self.__dict__ | {"origin": self.origin.model_dump_json()}, file)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path}: cannot be saved ({error}); the previous checkpoint is kept") from None

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint, or the one in a folder; only tensors and plain values are read, and no code is run.

        Raises:
            UserError: it is missing, or not a checkpoint of this program.
        """
        file = path / CHECKPOINT_NAME if path.is_dir() else path
        try:
            with warnings.catch_warnings(action="ignore"):
                content = torch.load(file, map_location="cpu", weights_only=True)
            return cls(**(content | {"origin": Origin.model_validate_json(content["origin"])}))
        except OSError as error:
            if (path / "bundle").is_dir():
                raise UserError(f"{path}: nothing was fine-tuned there; its family is in {path / 'bundle'}") from None
            raise UserError(f"{file}: {error.strerror}; train first, or name the folder of a training") from None
        except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, EOFError):
            raise UserError(f"{file}: not a checkpoint of this version") from None

    def summary(self) -> str:
        """Return a short description: family, data set, epochs, validation accuracy."""
        reached = f", validation accuracy {self.history[-1]['fused']:.4f}" if self.history else ""
        return f"{self.origin.family.name} on {self.origin.dataset}, {self.epoch} epochs{reached}"

    def trained_networks(self) -> list[VariantNetwork]:
        """Return the averaged networks, ready for inference.

        Raises:
            UserError: the weights do not fit the family.
        """
        networks = []
        try:
            for spec, state in zip(self.origin.family.variants, self.averages, strict=True):
                network = VariantNetwork(spec, len(self.origin.classes))
                network.load_state_dict(state)
                networks.append(network.eval())
        except (RuntimeError, TypeError, ValueError, AttributeError):
            raise UserError(f"{self.summary()}: the checkpoint is not one of this version") from None
        return networks
