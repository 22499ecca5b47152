"""The votes of a family on a benchmark's frames, recorded once: every setting is then tried on the same votes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.states.scenes import Shot
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.inference.picture_folders import find_pictures
from vp_mqtt.inference.pictures import Picture, decode, encode_jpeg
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.loaded_variant import load_variant
from vp_mqtt.protocol.votes import Vote, encode
from vp_mqtt.protocol.votes import decode as decode_vote

_QUALITY = 90
_REPORT_EVERY = 500


def read_others(folder: Path, count: int, seed: int) -> list[Picture]:
    """Return pictures of a folder, drawn at random, from all folders below it."""
    files = sorted(
        file for found in (folder, *folder.rglob("*")) if found.is_dir() for file in find_pictures(found).files
    )
    chosen = np.random.default_rng(seed).choice(len(files), min(count, len(files)), replace=False)
    return [decode(files[index].read_bytes()) for index in chosen]


@dataclass(frozen=True)
class Recording:
    """Votes on frames.

    Attributes:
        votes: shape (frames, variants, bytes), uint8: as they travel.
        truth: shape (frames,), int16: class indices, or `scenes.NOTHING_KNOWN`.
        is_moving: shape (frames,), bool.
    """

    votes: NDArray[np.uint8]
    truth: NDArray[np.int16]
    is_moving: NDArray[np.bool_]

    @classmethod
    def make(cls, bundle: Bundle, shots: Iterable[Shot], report: Callable[[str], None]) -> Self:
        """Have every variant vote on every frame, through JPEG as on the wire."""
        cv2.setNumThreads(1)
        variants = [
            load_variant(bundle, entry.index, k=None, runtime="onnxruntime", threads=1)
            for entry in bundle.manifest.variants
        ]
        votes, truth, is_moving = [], [], []
        for number, shot in enumerate(shots):
            message = Received("", encode_jpeg(shot.picture, _QUALITY), None, time.monotonic())
            votes.append([np.frombuffer(encode(variant.vote(message)), np.uint8) for variant in variants])
            truth.append(shot.truth)
            is_moving.append(shot.is_moving)
            if number % _REPORT_EVERY == 0:
                report(f"{number} frames")
        return cls(np.array(votes, np.uint8), np.array(truth, np.int16), np.array(is_moving, np.bool_))

    def save(self, path: Path) -> None:
        """Write it as an .npz file."""
        np.savez_compressed(path, votes=self.votes, truth=self.truth, is_moving=self.is_moving)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as found:
            return cls(found["votes"], found["truth"], found["is_moving"])

    def of_frame(self, frame: int, classes: int, alive: Sequence[int]) -> dict[int, Vote]:
        """Return the votes on a frame, by variant."""
        return {variant: decode_vote(self.votes[frame, variant].tobytes(), classes) for variant in alive}
