"""Chooses by how much pictures are enlarged before their centre is cropped.

Views in training are random parts of pictures, in which things look larger than in whole ones. Networks are more
accurate on pictures in which things are as large as they were in training: Touvron et al., "Fixing the train-test
resolution discrepancy", NeurIPS 2019, arXiv 1906.06423.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import MAX_ZOOM, Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.datasets.split import cut_off
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes
from vp_mqtt.training.evaluation.evaluate import default_encoder, run_models

ZOOMS = (1.0, 1.05, 1.1, 1.15, 1.2, MAX_ZOOM)

_MAX_PICTURES = 1000
_SEED = 0


def zoomed(manifest: Manifest, zoom: float) -> Manifest:
    """Return the manifest with another zoom.

    Raises:
        UserError: it has a margin, which is another way to crop.
    """
    if manifest.preprocessing.margin and zoom > 1:
        raise UserError(f"--zoom {zoom:g}: the bundle '{manifest.name}' crops a margin already; leave --zoom out")
    return manifest.model_copy(update={"preprocessing": manifest.preprocessing.model_copy(update={"zoom": zoom})})


def choose_zoom(manifest: Manifest, models: Sequence[bytes], pictures: Pictures) -> float:
    """Return the zoom with which the true classes get the largest share of the votes; 1 where that could be chance.

    The share is less noisy than accuracy and likelihood, which a few pictures decide.

    Args:
        manifest: of the family; its own zoom does not matter.
        models: ONNX, by variant.
        pictures: that the family was not trained on, at least one; up to 1,000 are looked at.

    Raises:
        UserError: a model or a picture cannot be used.
    """
    if manifest.preprocessing.margin:
        return 1.0
    if len(pictures) > _MAX_PICTURES:
        pictures = cut_off(pictures, _MAX_PICTURES / len(pictures), _SEED)[1]
    return best_zoom(np.stack([_shares(zoomed(manifest, zoom), models, pictures) for zoom in ZOOMS]))


def best_zoom(shares: NDArray[np.float64]) -> float:
    """Return the zoom of the largest mean, if it exceeds that of 1 by more than the standard error of the difference.

    Args:
        shares: of the votes for each picture's true class, 0..1, shape (zooms, N), in the order of `ZOOMS`; N at least
            1.
    """
    best = int(shares.mean(1).argmax())
    gains = shares[best] - shares[0]
    return ZOOMS[best] if gains.mean() > gains.std() / np.sqrt(len(gains)) else ZOOMS[0]


def _shares(manifest: Manifest, models: Sequence[bytes], pictures: Pictures) -> NDArray[np.float64]:
    probabilities = np.stack(run_models(manifest, models, pictures, default_encoder()))
    weights = [variant.weight for variant in manifest.variants]
    means = mean_votes(BatchVotes.select(probabilities, manifest.k), weights, range(len(weights)))[0]
    return means[np.arange(len(pictures)), pictures.labels]
