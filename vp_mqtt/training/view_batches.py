"""Batches of views, drawn in a process of their own, ahead of the training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vp_mqtt.errors import UserError
from vp_mqtt.training.augment import ViewRecipe, draw_views
from vp_mqtt.training.datasets import Pictures

# Batches that a process draws ahead: enough to bridge a slow one, and many processes need less each.
_AHEAD, _AHEAD_OF_MANY = 4, 2
# Streams of chance: each draws anew for every epoch or step, so that a training resumed is the training continued.
_ORDER, _VIEWS = 1, 2


def to_input(views: Tensor) -> Tensor:
    """Return networks' input, (N, 3, H, W), float32, RGB, -1..1, from views, (N, H, W, 3), uint8, blue, green, red."""
    return views.flip(3).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


class DrawnBatches(Dataset[tuple[list[Tensor], Tensor]]):
    """The batches of a training, by step: (views of each variant, (N, H, W, 3), uint8; labels, (N,), int64)."""

    def __init__(
        self,
        pictures: Pictures,
        resolutions: Sequence[int],
        recipe: ViewRecipe,
        *,
        batch: int,
        seed: int,
        epochs: int,
    ) -> None:
        """Prepare a training.

        Args:
            pictures: to draw from, in another order every epoch; at least a batch.
            resolutions: of the views of each picture, in pixels.
            recipe: how views are drawn.
            batch: pictures in a step; what is left over at the end of an epoch is left out.
            seed: of all chance.
            epochs: how often the pictures are gone through.
        """
        self._pictures = pictures
        self._resolutions = resolutions
        self._recipe = recipe
        self._batch = batch
        self._seed = seed
        self._epochs = epochs
        self.steps = len(pictures) // batch
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self._epochs * self.steps

    def __getitem__(self, index: int) -> tuple[list[Tensor], Tensor]:
        epoch, step = divmod(index, self.steps)
        chosen = self._order_of(epoch)[step * self._batch : (step + 1) * self._batch]
        rng = np.random.default_rng([_VIEWS, self._seed, epoch, step])
        views = [draw_views(self._pictures.picture(int(i)), self._resolutions, self._recipe, rng) for i in chosen]
        stacked = [torch.from_numpy(np.stack(of_one)) for of_one in zip(*views, strict=True)]
        return stacked, torch.from_numpy(self._pictures.labels[chosen])

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([_ORDER, self._seed, epoch])
            self._order = (epoch, rng.permutation(len(self._pictures)))
        return self._order[1]

    def ahead(self, workers: int = 1, *, epoch: int = 0, pinned: bool = False) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Yield the batches in order, from an epoch on, drawn by so many other processes.

        The processes begin with the first batch: before a training fills this one's memory, of which each would else
        keep a copy.

        Args:
            workers: how many processes.
            epoch: to begin with, from 0.
            pinned: in memory that a GPU can copy from by itself.

        Raises:
            UserError: a picture cannot be read.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(epoch * self.steps, len(self)),
            num_workers=workers,
            prefetch_factor=_AHEAD if workers == 1 else _AHEAD_OF_MANY,
            worker_init_fn=_set_up,
            pin_memory=pinned,
        )
        try:
            yield from loader
        except UserError as error:
            # torch makes the other process's whole traceback the message; what it ends with is ours.
            raise UserError(str(error).rpartition(f"{UserError.__module__}.{UserError.__name__}: ")[2]) from None


def _set_up(_worker: int) -> None:
    cv2.setNumThreads(1)
