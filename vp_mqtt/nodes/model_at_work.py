"""Which model a variant node's work is in, and whether it ever comes out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.fetch import Interrupted
from vp_mqtt.nodes.loaded_variant import LoadedVariant

LIMIT_S = 15.0
"""For one picture: three times what the trial allows, and less than systemd's watchdog does."""
_TICK_S = 0.5
_POLL_S = 0.05


class ModelAtWork:
    """The model of a node: the work takes it for each frame, another thread replaces it, and a third one watches."""

    def __init__(self) -> None:
        """Begin without a model."""
        self._lock = threading.Lock()
        self._newest: LoadedVariant | None = None
        self._taken: LoadedVariant | None = None
        # Counts the pictures; 0 while there is none in the model.
        self._pictures = 0
        self._picture = 0

    @property
    def newest(self) -> LoadedVariant | None:
        """The model for the next frame."""
        return self._newest

    def replace(self, loaded: LoadedVariant, ended: threading.Event) -> None:
        """Use a model from the next frame on.

        Args:
            loaded: the model.
            ended: set, before `clear`, when the node is to have none of this variant any more.

        Raises:
            Interrupted: it is set.
        """

        def predict(batch: NDArray[np.float32]) -> NDArray[np.float32]:
            self._pictures += 1
            self._picture = self._pictures
            try:
                return loaded.predict(batch)
            finally:
                self._picture = 0

        with self._lock:
            if ended.is_set():
                raise Interrupted
            self._newest = replace(loaded, predict=predict)

    def clear(self) -> None:
        """Have no model from the next frame on."""
        with self._lock:
            self._newest = None

    @contextmanager
    def take(self) -> Iterator[LoadedVariant | None]:
        """Work on a frame with the newest model within this context."""
        with self._lock:
            self._taken = self._newest
        try:
            yield self._taken
        finally:
            with self._lock:
                self._taken = None

    def await_newest(self, stopping: threading.Event) -> None:
        """Wait until the work is out of the model before: one that never ends is not replaced by loading another.

        Raises:
            Interrupted: the node has been told to stop.
        """
        while True:
            with self._lock:
                if self._taken is None or self._taken is self._newest:
                    return
            if stopping.wait(_POLL_S):
                raise Interrupted

    def watch(self, on_hang: Callable[[LoadedVariant], None], stopping: threading.Event) -> None:
        """Watch until the node stops, or a picture has been in the model for too long.

        Args:
            on_hang: called with the model that hangs.
            stopping: set when the node ends.
        """
        picture, ticks = 0, 0
        # Counted, not measured: a machine that sleeps, or a process that is halted, does not make a model slow.
        while not stopping.wait(_TICK_S):
            ticks = ticks + 1 if self._picture and self._picture == picture else 0
            picture = self._picture
            taken = self._taken
            if taken is not None and ticks * _TICK_S >= LIMIT_S:
                on_hang(taken)
                return
