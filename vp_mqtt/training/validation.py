"""Accuracy on the validation pictures while a family is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.device_inputs import DeviceInputs
from vp_mqtt.training.engine import Passes, VariantThreads
from vp_mqtt.training.losses import fused_sums


class Validator:
    """Measures the accuracy of the averaged networks on pictures prepared as a board does."""

    def __init__(
        self,
        pictures: Pictures,
        inputs: DeviceInputs,
        *,
        resolutions: Sequence[int],
        vote_weights: Sequence[float],
        k: int,
        batch: int,
    ) -> None:
        """Configure the validation of a family.

        Args:
            pictures: to validate on.
            inputs: prepares them.
            resolutions: of the variants, in pixels.
            vote_weights: of each variant's vote.
            k: classes in a vote.
            batch: pictures in a forward pass.
        """
        self._pictures = pictures
        self._inputs = inputs
        self._resolutions = resolutions
        self._vote_weights = vote_weights
        self._k = k
        self._batch = batch

    def accuracies(self, passes: Passes, threads: VariantThreads) -> dict[str, float]:
        """Return the accuracy, 0..1, of the fused label ("fused") and of each variant ("variant 0", ..).

        Raises:
            UserError: a picture cannot be read.
        """
        labels = torch.from_numpy(self._pictures.labels)
        logits = threads.map(lambda variant: self._logits(passes, variant))
        result = {"fused": _accuracy(fused_sums(logits, self._vote_weights, self._k), labels)}
        return result | {f"variant {index}": _accuracy(own, labels) for index, own in enumerate(logits)}

    def _logits(self, passes: Passes, variant: int) -> Tensor:
        parts = []
        for start in range(0, len(self._pictures), self._batch):
            indices = range(start, min(start + self._batch, len(self._pictures)))
            inputs = self._inputs.read(self._pictures, indices, self._resolutions[variant])
            parts.append(passes.average_logits(variant, inputs).cpu())
        return torch.cat(parts)


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    return round(float((scores.argmax(1) == labels).float().mean()), 4)
