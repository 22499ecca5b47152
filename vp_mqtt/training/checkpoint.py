"""Checkpoints: everything that is needed to resume a training, or to export its result."""

from __future__ import annotations

import errno
import pickle
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from vp_mqtt.bundle.manifest import MANIFEST_NAME, FamilySpec
from vp_mqtt.errors import UserError
from vp_mqtt.files import open_atomically, why_unwritable
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.recipe import Recipe

CHECKPOINT_NAME = "checkpoint.pt"
_UNREADABLE = "damaged, or not a checkpoint of this version; name another training, or train again"


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
    teachers: tuple[str, ...] = Field(default=(), description="folders of the teachers' trainings")
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
        """Return the same origin with pictures and teachers where another has them: they may have been moved."""
        return self.model_copy(update={"data": other.data, "root": other.root, "teachers": other.teachers})

    def differences(self, other: Origin) -> list[str]:
        """Return what another origin has otherwise: values of the recipe as `NAME=VALUE, not VALUE`, others by name."""
        ours, theirs = self.model_dump(), other.model_dump()
        recipes = _flat(ours.pop("recipe")), _flat(theirs.pop("recipe"))
        values = [
            f"{name}={theirs_value}, not {recipes[0][name]}"
            for name, theirs_value in recipes[1].items()
            if recipes[0][name] != theirs_value
        ]
        return values + [f"another {name.replace('_', ' ')}" for name in ours if ours[name] != theirs[name]]


def _why_there_is_none(path: Path, file: Path, error: OSError) -> str:
    if (path / "bundle").is_dir():
        return f"{path}: nothing was fine-tuned there; its family is in {path / 'bundle'}"
    if (path / MANIFEST_NAME).is_file():
        return f"{path}: this is a bundle; name the folder of its training, the --out of vp train"
    # So torch says of some files that end too early.
    if error.errno == errno.EINVAL:
        return f"{file}: {_UNREADABLE}"
    return f"{file}: {error.strerror}; train first, or name the folder of a training"


def _why_unsaved(folder: Path, error: Exception) -> str:
    """Return why a checkpoint could not be written: torch raises an error of its own while it handles the real one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return str(error) if cause is None else why_unwritable(folder, cause)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a table and those of the tables in it, by names such as "views.flip"."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


class CheckpointUnsavedError(UserError):
    """A checkpoint cannot be saved.

    Attributes:
        why: what the system says.
    """

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        super().__init__(f"{path}: the checkpoint cannot be saved ({why}); {remedy}")
        self.why = why


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
            CheckpointUnsavedError: it cannot be written.
        """
        path = folder / CHECKPOINT_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open_atomically(path) as file:
                torch.save(self.__dict__ | {"origin": self.origin.model_dump_json()}, file)
        except (OSError, RuntimeError) as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                # torch closes its file when it is interrupted, and complains that it is not whole.
                raise error.__context__ from None
            remedy = "the one before is kept: make space, and continue with --resume"
            if not path.exists():
                remedy = "there is none from before: make space, or name another folder, and train again"
            raise CheckpointUnsavedError(path, _why_unsaved(folder, error), remedy) from None

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
            raise UserError(_why_there_is_none(path, file, error)) from None
        except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, EOFError):
            raise UserError(f"{file}: {_UNREADABLE}") from None

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.origin.recipe.epochs

    def progress(self) -> str:
        """Return a clause for people: how many epochs are done, and how to go on."""
        return (
            f"this training has done {self.epoch} of {self.origin.recipe.epochs} epochs; vp train --resume continues it"
        )

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
