"""Pipelines: a network cut into stages, on disk.

A pipeline is a bundle of one variant, usable by any fusion node, with the same network cut into stages beside it, which
`pipeline.json` lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vp_mqtt.bundle.folder import Bundle, open_bundle, read_verified
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error

PIPELINE_NAME = "pipeline.json"
MAX_STAGES = 19
"""MobileNetV2 has 19 places to be cut at: its stem, 17 blocks, and its head."""

_Side = Annotated[int, Field(ge=1, le=4096)]
Shape = tuple[_Side, _Side, _Side]


class StageEntry(BaseModel):
    """One stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int = Field(ge=0, lt=MAX_STAGES)
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="model file, beside the manifest")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    blocks: tuple[int, int] = Field(description="first block of the network in the stage, and first after it")
    macs: int = Field(gt=0, description="multiply-accumulates for one picture")
    input: Shape = Field(description="channels, height, width of the input")
    output: Shape | None = Field(description="channels, height, width of the output; null: the probabilities")


class PipelineManifest(BaseModel):
    """The contents of `pipeline.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stages: tuple[StageEntry, ...] = Field(min_length=1, max_length=MAX_STAGES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if [stage.index for stage in self.stages] != list(range(len(self.stages))):
            raise ValueError("the stages must be listed by index, 0, 1, 2, ..")
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if before.output != after.input:
                raise ValueError(f"stage {after.index} does not take what stage {before.index} gives")
        if self.stages[-1].output is not None:
            raise ValueError("the last stage must give the probabilities")
        return self


@dataclass(frozen=True)
class Pipeline:
    """A pipeline on disk.

    Attributes:
        bundle: the complete network as a family of one variant.
        manifest: its stages.
    """

    bundle: Bundle
    manifest: PipelineManifest

    def stage(self, index: int) -> StageEntry:
        """Return the stage with this index.

        Raises:
            UserError: there is no such stage.
        """
        stages = self.manifest.stages
        if not 0 <= index < len(stages):
            raise UserError(f"--stage {index}: this pipeline has stages 0 to {len(stages) - 1}")
        return stages[index]

    def model_bytes(self, index: int) -> bytes:
        """Return a stage's model file, checked against its digest.

        Raises:
            UserError: no such stage, or its file is missing or not the one that the manifest names.
        """
        entry = self.stage(index)
        return read_verified(self.bundle.folder / entry.file, entry.sha256, "cut the network again")


def open_pipeline(folder: Path) -> Pipeline:
    """Open a pipeline by its folder.

    Raises:
        UserError: there is none, or it is not valid.
    """
    bundle = open_bundle(folder)
    path = bundle.folder / PIPELINE_NAME
    try:
        manifest = PipelineManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; cut a network with `vp baseline cut`") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error)}; cut the network again") from None
    return Pipeline(bundle, manifest)
