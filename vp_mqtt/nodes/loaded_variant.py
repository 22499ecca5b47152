"""A variant of a bundle, loaded: from a frame to a vote."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest, VariantEntry
from vp_mqtt.inference import pictures, runtimes
from vp_mqtt.inference.pictures import Picture
from vp_mqtt.inference.runtimes import Predictor
from vp_mqtt.inference.trial import Trial
from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol.votes import Vote, select


@dataclass(frozen=True)
class LoadedVariant:
    """A variant of a bundle, ready to run.

    Attributes:
        manifest: the bundle's.
        entry: the variant's, in the manifest.
        k: classes in a vote.
        predict: the model.
    """

    manifest: Manifest
    entry: VariantEntry
    k: int
    predict: Predictor

    @property
    def frame_side(self) -> int:
        """Side of the square that frames are resized to, in pixels."""
        return self.manifest.preprocessing.side(self.entry.resolution)

    def vote(self, message: Received, look: Callable[[Picture], None] = lambda _: None) -> Vote:
        """Return the variant's vote on a frame.

        Args:
            message: with the frame, as it arrived.
            look: called with the decoded picture, once the vote is there.

        Raises:
            ValueError: the frame is not a picture that can be decoded.
            cv2.error: it cannot be resized.
        """
        resolution, preprocessing = self.entry.resolution, self.manifest.preprocessing
        picture = pictures.decode(message.payload, self.frame_side, version=preprocessing.version)
        probabilities = self.predict(pictures.prepare(picture, resolution, preprocessing))
        compute_ms = (time.monotonic() - message.at) * 1000
        vote = select(probabilities, self.k, self.manifest.short_digest, compute_ms)
        look(picture)
        return vote


def frame_side(bundle: Bundle, variant: int) -> int:
    """Return the side of the square that a variant of a bundle resizes frames to, in pixels.

    Raises:
        UserError: the bundle has no such variant.
    """
    return bundle.manifest.preprocessing.side(bundle.variant(variant).resolution)


def load_variant(
    bundle: Bundle,
    variant: int,
    *,
    k: int | None,
    runtime: str,
    threads: int,
    trial_pause: Callable[[float], bool] | None = None,
) -> LoadedVariant:
    """Load a variant of a bundle.

    Args:
        bundle: on disk.
        variant: the variant's index.
        k: classes in a vote; None for what the bundle says.
        runtime: "auto" for the fastest that is installed, or a runtime's name.
        threads: of the runtime, at least 1.
        trial_pause: called while the model is tried in a process of its own; None for a model that needs no trial.

    Raises:
        UserError: variant, k or runtime are not usable, or the model fails its trial.
        Interrupted: the node has been told to stop.
    """
    manifest, entry = bundle.manifest, bundle.variant(variant)
    if k is not None:
        manifest.check_k(k, "--k")
    model, classes = bundle.model_bytes(variant), len(manifest.classes)
    if trial_pause is not None:
        trial = Trial(
            model=str((bundle.folder / entry.file).absolute()),
            runtime=runtime,
            resolution=entry.resolution,
            classes=classes,
            k=k or manifest.k,
            threads=threads,
        )
        runtime = trial.run(trial_pause)
    if runtime == runtimes.AUTO:
        _, predict = runtimes.load_fastest(model, resolution=entry.resolution, classes=classes, threads=threads)
    else:
        predict = runtimes.load(runtime, model, resolution=entry.resolution, classes=classes, threads=threads)
    return LoadedVariant(manifest, entry, k or manifest.k, predict)
