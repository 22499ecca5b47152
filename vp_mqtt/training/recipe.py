"""Recipes: the parameters of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error, parse_toml, read_toml
from vp_mqtt.training.augment import ViewRecipe

_BUILT_IN_RECIPES = Path(__file__).parent / "presets" / "recipes"
_LATE = 0.5
"""Share of the epochs after which `late_fused` replaces `early_fused`."""


class Recipe(BaseModel):
    """How a family is trained: everything that affects the result, and nothing that only affects speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=1, le=10_000)
    batch: int = Field(default=128, ge=2, le=65_536, description="pictures per training step")
    learning_rate: float = Field(
        default=1.2e-3, gt=0, description="peak learning rate of the backbones, in a one-cycle schedule"
    )
    head_rate: float = Field(
        default=2.0, gt=0, description="learning rate of the heads, as a multiple of the backbones'"
    )
    weight_decay: float = Field(default=0.02, ge=0)
    frozen_steps: int = Field(default=150, ge=0, description="initial steps in which only the heads learn")
    frozen_blocks: int = Field(
        default=0, ge=0, le=18, description="first blocks of the backbone, including its stem, that never learn"
    )
    frozen_norms: bool = Field(
        default=False,
        description="batch norms keep the statistics of the pretrained weights, instead of using those of each batch",
    )
    head_filters: bool = Field(
        default=True,
        description="initialise a narrow head from filters of the pretrained wide last convolution, not at random",
    )
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    mixup: float = Field(default=0.2, ge=0, description="alpha of mixup's beta distribution; 0: no mixup")
    mixup_until: float = Field(default=0.85, ge=0, le=1, description="share of the epochs with mixup")
    early_fused: float = Field(
        default=1 / 6, ge=0, le=1, description="weight of the fused loss in the first half of the epochs (1 of 5 + 1)"
    )
    late_fused: float = Field(
        default=1.43 / 2.43, ge=0, le=1, description="weight of the fused loss in the second half of the epochs"
    )
    missing: float = Field(
        default=0.0, ge=0, lt=1, description="probability that a variant is left out of the fused loss"
    )
    distilled: float = Field(
        default=0.5, ge=0, le=1, description="share of the teacher in the variants' loss, if there is a teacher"
    )
    mutual: float = Field(
        default=0.0, ge=0, le=1, description="share of the mean of all variants' predictions in the variants' loss"
    )
    temperature: float = Field(default=2.0, gt=0, description="softens the predictions in distillation")
    average: float = Field(default=0.999, ge=0, lt=1, description="decay per step of the weights' moving average")
    k: int = Field(default=3, ge=1, description="classes in a vote, also in the fused loss")
    seed: int = Field(default=0, ge=0)
    views: ViewRecipe = ViewRecipe()
    preprocessing: Literal[1, 2] = Field(
        default=1, description="version of the preprocessing; 1 for trainings from before there were several"
    )

    def uses_mixup(self, epoch: int) -> bool:
        """Return whether pictures are mixed in an epoch, from 0."""
        return self.mixup > 0 and self._progress(epoch) < self.mixup_until

    def fused_share(self, epoch: int) -> float:
        """Return the weight of the fused loss in an epoch, from 0."""
        return self.early_fused if self._progress(epoch) < _LATE else self.late_fused

    def _progress(self, epoch: int) -> float:
        return epoch / (self.epochs - 1) if self.epochs > 1 else 1.0


def read_recipe(name_or_file: str | None, assignments: Sequence[str], **defaults: object) -> Recipe:
    """Return a recipe from a built-in recipe or a TOML file, and from assignments, which override it.

    Args:
        name_or_file: name of a built-in recipe, or a file; None for the defaults.
        assignments: such as "mixup=0" or "views.flip=0".
        defaults: values that the file may override.

    Raises:
        UserError: the file cannot be read, or a name or a value is invalid.
    """
    table: dict[str, Any] = dict(defaults)
    known = sorted(path.stem for path in _BUILT_IN_RECIPES.glob("*.toml"))
    file = _BUILT_IN_RECIPES / f"{name_or_file}.toml" if name_or_file in known else Path(name_or_file or "")
    if name_or_file is not None:
        hint = f"give a TOML file, or one of {', '.join(known)}"
        table |= read_toml(file, name=f"--recipe {name_or_file}", hint=hint)
    for assignment in assignments:
        _assign(table, assignment)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        details = error.errors()[0]
        model = ViewRecipe if len(details["loc"]) > 1 else Recipe
        hint = f"; there is {', '.join(model.model_fields)}" if details["type"] == "extra_forbidden" else ""
        raise UserError(f"recipe: {first_error(error)}{hint}") from None


def _assign(table: dict[str, Any], assignment: str) -> None:
    """Set a value in a recipe's table.

    Raises:
        UserError: the assignment is not NAME=VALUE, or there can be no such name or value.
    """
    name, equals, value = assignment.partition("=")
    if not equals:
        raise UserError(f"--set {assignment}: write NAME=VALUE, such as mixup=0")
    *outer, last = name.strip().split(".")
    for part in outer:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {assignment}: {part} is not a table")
    try:
        table[last] = parse_toml(f"value = {value}", f"--set {assignment}")["value"]
    except UserError:
        raise UserError(f"--set {assignment}: write a number, true or false, such as mixup=0") from None
