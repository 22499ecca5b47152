"""Checkpoints: everything that training needs to go on, and export to begin."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error, open_atomically, parse_toml, read_toml
from vp_mqtt.training.augment import ViewRecipe
from vp_mqtt.training.networks import VariantNetwork

CHECKPOINT_NAME = "checkpoint.pt"

_BOXED_RECIPES = Path(__file__).parent / "presets" / "recipes"


class Recipe(BaseModel):
    """How a family is trained. What changes the result is in here; what only changes the speed is not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=1, le=10_000)
    batch: int = Field(default=128, ge=2, le=65_536, description="pictures in a step")
    learning_rate: float = Field(
        default=1.2e-3, gt=0, description="largest of the backbone, in a schedule of one cycle"
    )
    head_rate: float = Field(default=2.0, gt=0, description="learning rate of the heads, as a multiple of it")
    weight_decay: float = Field(default=0.02, ge=0)
    frozen_steps: int = Field(default=150, ge=0, description="first steps, in which only the heads learn")
    frozen_blocks: int = Field(
        default=0, ge=0, le=18, description="first blocks of the backbone, its stem among them, that never learn"
    )
    head_filters: bool = Field(
        default=True, description="a narrow head starts from filters of a file's wide last convolution, not from chance"
    )
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    mixup: float = Field(default=0.2, ge=0, description="alpha of mixup's beta distribution; 0: none")
    mixup_until: float = Field(default=0.85, ge=0, le=1, description="share of the epochs with mixup")
    early_fused: float = Field(
        default=1 / 6, ge=0, le=1, description="weight of the fused loss, first half (1 of 5 + 1)"
    )
    late_fused: float = Field(default=1.43 / 2.43, ge=0, le=1, description="weight of the fused loss, second half")
    missing: float = Field(default=0.0, ge=0, lt=1, description="probability of each variant to miss the fused loss")
    distilled: float = Field(default=0.5, ge=0, le=1, description="share of the loss from the teacher, if there is one")
    mutual: float = Field(default=0.0, ge=0, le=1, description="share of the loss from the mean of all variants")
    temperature: float = Field(default=2.0, gt=0, description="softens teacher and variants in distillation")
    average: float = Field(default=0.999, ge=0, lt=1, description="decay of the weights' moving average, per step")
    k: int = Field(default=3, ge=1, description="classes in a vote, in the fused loss too")
    seed: int = Field(default=0, ge=0)
    views: ViewRecipe = ViewRecipe()


def read_recipe(name_or_file: str | None, assignments: Sequence[str], **given: object) -> Recipe:
    """Return a recipe from a TOML file, or from one in the box by name, and assignments, which win over the file.

    Args:
        name_or_file: of the recipe; None for the defaults.
        assignments: such as "mixup=0" or "views.flip=0".
        given: values that the file may replace.

    Raises:
        UserError: the file cannot be read, or a name or value is not a recipe's.
    """
    table: dict[str, Any] = dict(given)
    known = sorted(path.stem for path in _BOXED_RECIPES.glob("*.toml"))
    file = _BOXED_RECIPES / f"{name_or_file}.toml" if name_or_file in known else Path(name_or_file or "")
    if name_or_file is not None:
        hint = f"give a TOML file, or one of {', '.join(known)}"
        table |= read_toml(file, name=f"--recipe {name_or_file}", hint=hint)
    for assignment in assignments:
        _assign(table, assignment)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        is_unknown = error.errors()[0]["type"] == "extra_forbidden"
        hint = f"; there is {', '.join(Recipe.model_fields)}" if is_unknown else ""
        raise UserError(f"recipe: {first_error(error)}{hint}") from None


def _assign(table: dict[str, Any], assignment: str) -> None:
    """Set a value in a recipe's table.

    Raises:
        UserError: the assignment is not NAME=VALUE, or the name or the value cannot be.
    """
    name, equals, value = assignment.partition("=")
    if not equals:
        raise UserError(f"--set {assignment}: write NAME=VALUE, such as mixup=0")
    *outer, last = name.strip().split(".")
    for part in outer:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {assignment}: {part} is not a table")
    table[last] = parse_toml(f"value = {value}", f"--set {assignment}")["value"]


class Origin(BaseModel):
    """What a family is made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: FamilySpec
    classes: tuple[str, ...]
    dataset: str
    recipe: Recipe
    pretrained: str | None = Field(
        default=None, description="names of files or trainings with the weights to start from"
    )
    teacher: str | None = Field(default=None, description="data set, family and validation accuracy of the teacher")


@dataclass
class Checkpoint:
    """A family in training, or trained.

    Attributes:
        origin: what it is made from.
        epoch: how many epochs are done.
        networks: state dicts of the variants, by index.
        averages: state dicts of their moving averages: what is exported.
        optimizer: state dict.
        schedule: state dict.
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
        """Write the checkpoint aside, then put it in place: a crash or a full disk leaves the last one as it was.

        Raises:
            UserError: it cannot be written.
        """
        path = folder / CHECKPOINT_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open_atomically(path) as file:
                torch.save(self.__dict__ | {"origin": self.origin.model_dump_json()}, file)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path}: cannot be saved ({error}); what was saved before is still there") from None

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint, or the one in a folder; tensors and plain values only, no code in it is run.

        Raises:
            UserError: it is missing, or not a checkpoint of ours.
        """
        file = path / CHECKPOINT_NAME if path.is_dir() else path
        try:
            with warnings.catch_warnings(action="ignore"):
                content = torch.load(file, map_location="cpu", weights_only=True)
            return cls(**(content | {"origin": Origin.model_validate_json(content["origin"])}))
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}; train first, or name the folder of a training") from None
        except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, EOFError):
            raise UserError(f"{file}: not a checkpoint of this version") from None

    def summary(self) -> str:
        """Return in a few words what this is: data set, family, epochs, validation accuracy."""
        reached = f", validation accuracy {self.history[-1]['fused']:.4f}" if self.history else ""
        return f"{self.origin.family.name} on {self.origin.dataset}, {self.epoch} epochs{reached}"

    def trained_networks(self) -> list[VariantNetwork]:
        """Return the averaged networks, ready for inference.

        Raises:
            UserError: the weights are not those of the family.
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
