"""Sample pictures: a few held-out ones of every class, for a camera node to publish."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.files import why_unwritable
from vp_mqtt.training.datasets import EvaluationSet


def write_samples(held_out: EvaluationSet, out: Path, per_class: int, seed: int = 0) -> int:
    """Write randomly chosen pictures as `CLASS/INDEX.png`, and return their number.

    Args:
        held_out: pictures to choose from.
        out: the output folder, new or empty.
        per_class: pictures per class; fewer if a class has fewer.
        seed: random seed.

    Raises:
        UserError: there is something in the folder, such as the pictures themselves, or it cannot be written.
    """
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise UserError(f"--out {out}: there is something already; name a new folder")
    rng = np.random.default_rng(seed)
    written = 0
    for label, name in enumerate(held_out.classes):
        members = np.flatnonzero(held_out.pictures.labels == label)
        folder = out / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for index in sorted(rng.permutation(members)[:per_class].tolist()):
                picture = held_out.pictures.picture(index)
                is_grey = bool((picture == picture[..., :1]).all())
                _, data = cv2.imencode(".png", picture[..., 0] if is_grey else picture)
                (folder / f"{index:05d}.png").write_bytes(data.tobytes())
                written += 1
        except OSError as error:
            raise UserError(f"--out {folder}: {why_unwritable(folder, error)}") from None
    return written
