"""The whole comparison: features once, then every draw, and the time of one training from pictures to bundle."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.own_pictures.features import read_or_measure
from benchmarks.own_pictures.measure import all_variants, chosen_pictures, compare_all, draw
from vp_mqtt.training.datasets import Dataset, Pictures
from vp_mqtt.training.frozen.pretrained import start_from_files, start_from_weights
from vp_mqtt.training.frozen.start import Start
from vp_mqtt.training.frozen.teach import teach
from vp_mqtt.training.frozen.zoom_choice import ZOOMS, with_zoom
from vp_mqtt.training.parallel import cores
from vp_mqtt.training.pretrained.starting_weights import read_starting_weights

TIMED_CLASSES, TIMED_PICTURES = 10, 20


def run(
    data: str,
    root: Path | None,
    pretrained: Sequence[str],
    cache: Path,
    *,
    classes: Sequence[int],
    pictures: Sequence[int],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Return the results.

    Args:
        data: a folder of class folders, or a named data set.
        root: folder with the files of a named data set.
        pretrained: weights, as for `vp train`.
        cache: folder for features.
        classes: numbers of classes.
        pictures: numbers of pictures of each.
        seeds: of the draws.

    Raises:
        UserError: data or weights cannot be used.
    """
    _, chosen = chosen_pictures(data, root)
    family = all_variants()

    def start(zoom: float) -> Start:
        return with_zoom(start_from_weights(read_starting_weights(pretrained, None, family), family, "all"), zoom)

    found = [read_or_measure(family, partial(start, zoom), chosen, cache / f"zoom-{zoom:g}") for zoom in ZOOMS]
    rows = compare_all(found, chosen.labels, classes=classes, pictures=pictures, seeds=seeds, folder=cache)
    return {
        "data": Path(data).name,
        "rows": rows,
        "timed": _time(chosen, pretrained),
    }


def _time(pictures: Pictures, pretrained: Sequence[str]) -> dict[str, Any]:
    """Return how long `vp teach` takes from pictures and weights to a bundle, in s."""
    drawn = draw(pictures.labels, TIMED_CLASSES, TIMED_PICTURES, 0)
    (train, labels), (test, truth) = drawn.train, drawn.test
    order = np.random.default_rng(0).permutation(len(train))
    held = len(train) // 12
    dataset = Dataset(
        "timed",
        tuple(str(index) for index in range(TIMED_CLASSES)),
        pictures.subset(train[order[held:]]).relabelled(labels[order[held:]]),
        pictures.subset(train[order[:held]]).relabelled(labels[order[:held]]),
        pictures.subset(test[::10]).relabelled(truth[::10]),
    )
    began, worked = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        taught = teach(dataset, start_from_files(pretrained), Path(folder) / "bundle", name="timed")
    return {
        "classes": TIMED_CLASSES,
        "pictures": TIMED_PICTURES,
        "tested": taught.held_out.images,
        "cores": cores(),
        "wall_s": round(time.monotonic() - began, 1),
        "cpu_s": round(time.process_time() - worked, 1),
    }
