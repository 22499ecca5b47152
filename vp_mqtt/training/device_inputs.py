"""Network inputs from pictures: as in training, and prepared as a board does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from vp_mqtt.inference.pictures import Picture, resize_square
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.parallel import cores


def to_input(views: Tensor) -> Tensor:
    """Return network inputs, (N, 3, H, W), float32, RGB, -1..1, from views, (N, H, W, 3), uint8, BGR."""
    return views.flip(3).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


class DeviceInputs:
    """Reads pictures and prepares them as a board does."""

    def __init__(self, device: torch.device, version: int = 1) -> None:
        """Prepare inputs for networks on this device, by a version of the preprocessing."""
        self._device = device
        self._version = version
        # On a CPU the caller already runs one thread per variant.
        self._readers = ThreadPoolExecutor(cores(), "reader") if device.type == "cuda" else None

    def read(self, pictures: Pictures, indices: Sequence[int], resolution: int) -> Tensor:
        """Return the inputs for some of the pictures, shape (N, 3, resolution, resolution), float32, -1..1.

        Raises:
            UserError: a picture cannot be read.
        """

        def prepare(index: int) -> Picture:
            return resize_square(pictures.picture(index), resolution, version=self._version)

        prepared = self._readers.map(prepare, indices) if self._readers else map(prepare, indices)
        return to_input(torch.from_numpy(np.stack(list(prepared))).to(self._device))
