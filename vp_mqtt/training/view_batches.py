"""Batches of views for training, prepared ahead in worker processes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from vp_mqtt.errors import UserError
from vp_mqtt.training.augment import ViewRecipe, draw_views
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.rng import Stream, rng_at

# Batches that a worker process prepares ahead: enough to bridge a slow one; of many workers, each needs fewer.
_PREFETCH, _PREFETCH_OF_MANY = 4, 2

# How torch tells of a worker process that has ended before its time.
_KILLED = re.compile(r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)")


class WorkerKilledError(UserError):
    """A process that prepares pictures was killed."""

    def __init__(self) -> None:
        super().__init__(
            "a process that prepares pictures was killed, perhaps for lack of memory: continue with --resume if there "
            "is a checkpoint; with a smaller --batch, a new training needs less memory"
        )


class ViewBatches(TorchDataset[tuple[list[Tensor], Tensor]]):
    """The batches of a training, by step: (views for each resolution, (N, H, W, 3), uint8; labels, (N,), int64).

    Attributes:
        steps: batches per epoch; the pictures that remain do not fill a batch and are left out of the epoch.
    """

    def __init__(
        self,
        pictures: Pictures,
        resolutions: Sequence[int],
        recipe: ViewRecipe,
        *,
        batch: int,
        seed: int,
        epochs: int,
        version: int = 1,
    ) -> None:
        """Describe the batches of a training.

        Args:
            pictures: at least one batch; shuffled anew for every epoch.
            resolutions: of the views of each picture, in pixels.
            recipe: how views are drawn.
            batch: pictures in a batch.
            seed: random seed.
            epochs: passes over the pictures.
            version: of the preprocessing.
        """
        self._pictures = pictures
        self._resolutions = resolutions
        self._recipe = recipe
        self._batch = batch
        self._seed = seed
        self._epochs = epochs
        self._version = version
        self.steps = len(pictures) // batch
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self._epochs * self.steps

    def __getitem__(self, index: int) -> tuple[list[Tensor], Tensor]:
        epoch, step = divmod(index, self.steps)
        chosen = self._order_of(epoch)[step * self._batch : (step + 1) * self._batch]
        rng = rng_at(Stream.VIEWS, self._seed, epoch, step)
        views = [
            draw_views(self._pictures.picture(int(i)), self._resolutions, self._recipe, rng, self._version)
            for i in chosen
        ]
        stacked = [torch.from_numpy(np.stack(of_one)) for of_one in zip(*views, strict=True)]
        return stacked, torch.from_numpy(self._pictures.labels[chosen])

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            rng = rng_at(Stream.ORDER, self._seed, epoch)
            self._order = (epoch, rng.permutation(len(self._pictures)))
        return self._order[1]

    def ahead(self, workers: int = 1, *, epoch: int = 0, pinned: bool = False) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Yield the batches in order, prepared by worker processes.

        The workers start with the first batch: take it before training fills this process's memory, since each worker
        keeps a copy of the memory it was forked with.

        Args:
            workers: number of processes.
            epoch: first epoch, from 0.
            pinned: place the batches in pinned memory, for asynchronous copies to a GPU.

        Raises:
            UserError: a picture cannot be read, or a worker was killed.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(epoch * self.steps, len(self)),
            num_workers=workers,
            prefetch_factor=_PREFETCH if workers == 1 else _PREFETCH_OF_MANY,
            worker_init_fn=_set_up_worker,
            pin_memory=pinned,
        )
        try:
            yield from loader
        except (ConnectionError, EOFError, FileNotFoundError):
            # Of the socket that batches come through, before torch notices that the worker is gone. A broken pipe would
            # end the command without a word, as if it were that of its own output.
            raise WorkerKilledError from None
        except UserError as error:
            # torch puts the worker's whole traceback into the message; the original message is at its end.
            kind = type(error)
            raise kind(str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")[2]) from None


@contextlib.contextmanager
def telling_of_killed_workers() -> Iterator[None]:
    """Report in words that a worker process was killed: torch raises that wherever the main thread happens to be.

    Raises:
        WorkerKilledError: a worker process has ended before its time.
    """
    try:
        yield
    except RuntimeError as error:
        if not _KILLED.search(str(error)):
            raise
        raise WorkerKilledError from None


def _set_up_worker(_worker: int) -> None:
    cv2.setNumThreads(1)
