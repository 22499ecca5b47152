"""Features of all pictures by all backbones, kept in files, so that every comparison costs seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.files import open_atomically
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.frozen.features import Watcher, measure_features
from vp_mqtt.training.frozen.start import Start

CHUNK = 200
"""Pictures in a file."""


@dataclass(frozen=True, eq=False)
class FeatureCache:
    """Features of pictures, plain and mirrored, by variant.

    Attributes:
        specs: of the variants.
        features: by variant, shape (N, 2, features), float32.
    """

    specs: tuple[VariantSpec, ...]
    features: tuple[NDArray[np.float32], ...]

    def of(self, family: FamilySpec) -> list[NDArray[np.float32]]:
        """Return the features of a family's variants."""
        return [self.features[self.specs.index(spec)] for spec in family.variants]


def read_or_measure(
    family: FamilySpec, make_start: Callable[[], Start], pictures: Pictures, folder: Path
) -> FeatureCache:
    """Return the features of pictures, of which those that are missing in a folder are computed and kept there.

    Args:
        family: the variants.
        make_start: returns their backbones; called if something is missing.
        pictures: the same for the same folder.
        folder: of the files.

    Raises:
        UserError: a picture cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start: Start | None = None
    parts: list[list[NDArray[np.float32]]] = []
    for begin in range(0, len(pictures), CHUNK):
        indices = np.arange(begin, min(begin + CHUNK, len(pictures)))
        file = folder / f"{begin:06d}.npz"
        if not file.exists():
            start = start or make_start()
            found = measure_features(start, pictures.subset(indices), Watcher(), "features", has_mirrored=True)
            with open_atomically(file) as opened:
                np.savez(opened, *[one.astype(np.float16) for one in found])
            sys.stderr.write(f"features of {indices[-1] + 1} of {len(pictures)} pictures\n")
        with np.load(file) as stored:
            parts.append([stored[name].astype(np.float32) for name in stored.files])
    features = tuple(np.concatenate(own) for own in zip(*parts, strict=True))
    return FeatureCache(family.variants, features)
