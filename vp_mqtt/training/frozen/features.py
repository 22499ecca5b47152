"""Features of pictures: what the frozen part of each variant makes of them, as a board would see them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.inference.pictures import PictureError, prepare
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.datasets.pictures import UnusablePictureError
from vp_mqtt.training.evaluation.evaluate import default_encoder, published
from vp_mqtt.training.familiarity import with_features
from vp_mqtt.training.frozen.start import Start
from vp_mqtt.training.parallel import map_pictures


class Cancelled(Exception):  # noqa: N818 (not an error)
    """The work was cancelled."""


def _ignore(_stage: str, _done: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class Watcher:
    """Follows work, and may cancel it.

    Attributes:
        on_progress: called with the stage, what is done and how much there is of it, in the thread that does the work.
        is_cancelled: asked often; once it returns true, the work ends with `Cancelled`.
    """

    on_progress: Callable[[str, int, int], None] = _ignore
    is_cancelled: Callable[[], bool] = lambda: False

    def report(self, stage: str, done: int, total: int) -> None:
        """Report progress.

        Raises:
            Cancelled: the work is to end.
        """
        if self.is_cancelled():
            raise Cancelled
        self.on_progress(stage, done, total)


def measure_features(
    start: Start, pictures: Pictures, watcher: Watcher, stage: str, *, has_mirrored: bool
) -> list[NDArray[np.float32]]:
    """Return the features of pictures by each backbone, shape (N, views, features), float32.

    Args:
        start: backbones, one for each variant.
        pictures: as a camera node would publish them.
        watcher: follows the work.
        stage: its name.
        has_mirrored: whether each picture has a second view, mirrored.

    Raises:
        UserError: a picture cannot be read.
        Cancelled: the watcher says so.
    """
    cv2.setNumThreads(1)
    backbones, preprocessing = start.backbones, start.preprocessing
    sizes = [backbone.outputs + backbone.spec.head for backbone in backbones]
    runners = [
        OnnxPredictor(with_features(backbone.model), resolution=backbone.spec.resolution, classes=size)
        for backbone, size in zip(backbones, sizes, strict=True)
    ]
    views = 2 if has_mirrored else 1
    found = [np.empty((len(pictures), views, backbone.spec.head), dtype=np.float32) for backbone in backbones]
    encoder = default_encoder()

    def measure(index: int) -> None:
        view = published(pictures, index, encoder, preprocessing)
        try:
            for backbone, runner, features in zip(backbones, runners, found, strict=True):
                side = backbone.spec.resolution
                picture = view(preprocessing.side(side))
                seen = [picture, np.ascontiguousarray(picture[:, ::-1])][:views]
                for place, one in enumerate(seen):
                    features[index, place] = runner(prepare(one, side, preprocessing))[backbone.outputs :]
        except PictureError as error:
            raise UnusablePictureError.of(pictures.where(index), str(error)) from None

    with contextlib.closing(map_pictures(measure, len(pictures), stage)) as measured:
        for done, _ in enumerate(measured, 1):
            watcher.report(stage, done, len(pictures))
    return found
