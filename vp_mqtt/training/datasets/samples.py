"""Sample pictures: a few held-out ones of every class, for the camera node to play."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets import EvaluationSet


def write_samples(judged: EvaluationSet, out: Path, per_class: int, seed: int = 0) -> int:
    """Write pictures as `CLASS/INDEX.png`, drawn by chance alone, and return how many.

    Args:
        judged: the pictures to draw from.
        out: the folder.
        per_class: pictures per class, at most as many as there are.
        seed: the same seed draws the same pictures.

    Raises:
        UserError: the folder cannot be written.
    """
    rng = np.random.default_rng(seed)
    written = 0
    for label, name in enumerate(judged.classes):
        members = np.flatnonzero(judged.pictures.labels == label)
        folder = out / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for index in sorted(rng.permutation(members)[:per_class].tolist()):
                picture = judged.pictures.picture(index)
                is_grey = bool((picture == picture[..., :1]).all())
                _, data = cv2.imencode(".png", picture[..., 0] if is_grey else picture)
                (folder / f"{index:05d}.png").write_bytes(data.tobytes())
                written += 1
        except OSError as error:
            raise UserError(f"--out {folder}: {error.strerror}") from None
    return written
