"""What the newest training said: read from its JSON, which a file keeps over restarts. Pure but for the reading."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Share = Annotated[float, Field(ge=0, le=1)]


class Doubt(BaseModel):
    """A picture that a classifier which was fitted without it takes for another class."""

    model_config = ConfigDict(frozen=True)

    file: str = Field(description="its path within the folder of the pictures")
    seems: str
    confidence: Share


class Held(BaseModel):
    """What a family says of the pictures that its training has held out."""

    model_config = ConfigDict(frozen=True)

    images: int
    fused: Share
    interval: tuple[Share, Share]
    variants: tuple[Share, ...]
    unknown: Share | None = Field(default=None, description="share that is called unknown; None without a threshold")
    confusion: tuple[tuple[int, ...], ...] | None = Field(default=None, description="by class and label")


class Result(BaseModel):
    """What a training said."""

    model_config = ConfigDict(frozen=True)

    bundle: str
    digest: str
    out: str
    split: str = Field(default="", description="folder of what it has learnt; empty of versions that had a single one")
    classes: tuple[str, ...]
    pictures: int
    seconds: float
    cross_validated: Share | None = Field(default=None, description="None of a family that was fine-tuned")
    is_tuned: bool = Field(default=False, description="whether the whole networks have learnt, not only classifiers")
    zoom: float = Field(default=1.0, ge=1, description="by which boards enlarge pictures before they crop the centre")
    after: Held
    before: Held | None = None
    advice: tuple[str, ...] = ()
    doubtful: tuple[Doubt, ...] = ()

    @property
    def hidden_edge(self) -> float:
        """The share of the width or height, 0..1, that boards do not see at each edge of a picture."""
        return (1 - 1 / self.zoom) / 2


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """How often a class was taken for another one."""

    count: int
    share: float
    is_right: bool


def read_result(path: Path) -> Result | None:
    """Return what a training said; None if there was none, or it cannot be read."""
    try:
        return Result.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None
