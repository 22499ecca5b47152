"""ImageNet weights of MobileNetV2 to start from."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.learning.networks import VariantNetwork

# The last 1x1 convolution and its batch norm, which the narrow head replaces.
_REPLACED = "features.18."
_BACKBONE = "features."


@dataclass(frozen=True)
class Match:
    """What of a file went into a network.

    Attributes:
        loaded: names of the arrays that were loaded.
        unused: names in the file that the network has no place for.
    """

    loaded: tuple[str, ...]
    unused: tuple[str, ...]


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read arrays by name from a `.npz`, never running a pickle.

    Raises:
        UserError: the file cannot be read, or holds anything but plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float32) for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"--pretrained {path}: no such file") from None
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"--pretrained {path}: not a .npz file of plain arrays") from None


def load_backbone(network: VariantNetwork, weights: Mapping[str, NDArray[np.float32]]) -> Match:
    """Load the backbone's weights; the head and the classifier keep theirs.

    Args:
        network: whose backbone is loaded.
        weights: by torchvision's names, convolutions as (out, in / groups, height, width).

    Raises:
        UserError: an array of the backbone is missing or has another shape; nothing is loaded then.
    """
    state = network.state_dict()
    wanted = [name for name in state if name.startswith(_BACKBONE) and not name.endswith("num_batches_tracked")]
    for name in wanted:
        if name not in weights:
            raise UserError(f"--pretrained: the file has no '{name}': it is not MobileNetV2 in torchvision's names")
        if weights[name].shape != tuple(state[name].shape):
            raise UserError(
                f"--pretrained: '{name}' has shape {weights[name].shape}, but this family needs "
                f"{tuple(state[name].shape)}: the file is of another width"
            )
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in wanted}, strict=False)
    unused = sorted(name for name in weights if name not in wanted and not name.startswith(_REPLACED))
    return Match(loaded=tuple(wanted), unused=tuple(unused))
