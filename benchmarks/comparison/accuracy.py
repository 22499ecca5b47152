"""Accuracy of a system by number of dead boards, with the models and the code of the boards."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparators import feature_maps
from benchmarks.comparators.feature_maps import Precision
from benchmarks.comparators.pipeline import Pipeline, open_pipeline
from benchmarks.comparison.systems import System
from vp_mqtt.inference.onnx import OnnxModel
from vp_mqtt.inference.pictures import decode, encode_jpeg, prepare
from vp_mqtt.nodes.frame_encoder import FrameEncoder
from vp_mqtt.training.datasets import EvaluationSet, Pictures
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, sum_alive
from vp_mqtt.training.evaluation.evaluate import predict
from vp_mqtt.training.parallel import map_pictures

CAMERA_QUALITY = 90
"""JPEG quality of frames on the wire: a camera node's default."""

Probabilities = dict[str, NDArray[np.float32]]


def accuracy_by_dead(system: System, evaluation: EvaluationSet, known: Probabilities) -> dict[int, float]:
    """Return the share of right labels by number of dead boards, 0..1: the mean over all choices of the dead.

    Args:
        system: a system with trained weights.
        evaluation: the pictures.
        known: probabilities of the bundles evaluated so far, by folder; updated.

    Raises:
        UserError: a model or a picture cannot be read.
    """
    manifest = system.bundle.manifest
    pictures = evaluation.for_classes(manifest.classes)
    key = f"{system.bundle.folder} {system.precision}"
    if key not in known:
        known[key] = (
            _predict_in_stages(open_pipeline(system.bundle.folder), system.precision, pictures)
            if system.precision is not None
            else predict(system.bundle, pictures, FrameEncoder(size=None, quality=CAMERA_QUALITY, passes_through=False))
        )
    shares = BatchVotes.select(known[key], manifest.k).shares([v.weight for v in manifest.variants], manifest.k)

    def accuracy(alive: tuple[int, ...]) -> float:
        return float((sum_alive(shares, alive).argmax(axis=1) == pictures.labels).mean())

    if system.kind == "mp":
        # Every board has a part of the one network.
        return {dead: accuracy((0,)) if dead == 0 else 0.0 for dead in range(system.boards)}
    return {
        dead: float(np.mean([accuracy(alive) for alive in combinations(system.variants, system.boards - dead)]))
        for dead in range(system.boards)
    }


def _predict_in_stages(pipeline: Pipeline, precision: str, pictures: Pictures) -> NDArray[np.float32]:
    """Return the probabilities of a cut network, shape (1, N, classes); feature maps travel in the precision."""
    manifest = pipeline.bundle.manifest
    stages = pipeline.manifest.stages
    models = [
        OnnxModel(
            pipeline.model_bytes(stage.index),
            input_shape=(1, *stage.input),
            output_shape=(1, *(stage.output or (len(manifest.classes),))),
        )
        for stage in stages
    ]
    result = np.empty((1, len(pictures), len(manifest.classes)), dtype=np.float32)

    def one(index: int) -> None:
        side = stages[0].input[1]
        picture = decode(encode_jpeg(pictures.picture(index), CAMERA_QUALITY), manifest.preprocessing.side(side))
        values = prepare(picture, side, manifest.preprocessing)
        for stage, model in zip(stages, models, strict=True):
            values = model(values)
            if stage.output is not None:
                sent = feature_maps.encode(values, Precision[precision.upper()], manifest.short_digest)
                values = feature_maps.decode(sent, stage.output, manifest.short_digest)
        result[0, index] = values[0]

    for _ in map_pictures(one, len(pictures), "evaluating"):
        pass
    return result
