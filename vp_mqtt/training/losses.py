"""Losses of joint training (arXiv 2210.08376): one per variant and one on the fused output; and of distillation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def fused_sums(logits: Sequence[Tensor], weights: Sequence[float], k: int) -> Tensor:
    """Return the weighted sums of the variants' top-k probabilities, shape (N, classes); their softmax is the fusion.

    Args:
        logits: of each variant, shape (N, classes).
        weights: of each variant's vote; 0 leaves it out.
        k: classes in a vote; the probabilities of all others count as zero.
    """
    total = torch.zeros_like(logits[0])
    for one, weight in zip(logits, weights, strict=True):
        if weight:
            probabilities = one.softmax(1)
            largest, indices = probabilities.topk(k, 1)
            total = total + weight * torch.zeros_like(probabilities).scatter(1, indices, largest)
    return total


@dataclass(frozen=True)
class Target:
    """Targets of a batch.

    Attributes:
        labels: class indices, shape (N,), int64.
        partner: labels of the pictures mixed in (mixup), shape (N,), int64.
        share: weight of each picture in its mixture, 0..1; 1 without mixup.
        teacher: the teacher's logits for the mixtures, shape (N, classes); None without a teacher.
    """

    labels: Tensor
    partner: Tensor
    share: float
    teacher: Tensor | None = None


@dataclass(frozen=True)
class JointLoss:
    """The loss of a family: (1 - fused share) * mean loss of the variants + fused share * loss of the fusion.

    Attributes:
        weights: of each variant's vote in the fusion.
        k: classes in a vote.
        label_smoothing: 0..1.
        distilled: share of the teacher in the variants' losses, 0..1, if there is one.
        mutual: share of the mean of all variants, 0..1.
        temperature: softens teacher and variants in distillation (Hinton et al., "Distilling the Knowledge in a
            Neural Network", 2015).
    """

    weights: Sequence[float]
    k: int
    label_smoothing: float = 0.0
    distilled: float = 0.0
    mutual: float = 0.0
    temperature: float = 2.0

    def __call__(self, logits: Sequence[Tensor], target: Target, fused_share: float, missing: Sequence[int]) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: of each variant, shape (N, classes).
            target: labels, and the teacher's logits.
            fused_share: weight of the loss of the fusion, 0..1.
            missing: variants that are left out of the fusion.
        """
        loss = torch.stack([self._cross_entropy(one, target) for one in logits]).mean()
        if target.teacher is not None and self.distilled:
            loss = (1 - self.distilled) * loss + self.distilled * self._distillation(logits, target.teacher)
        if self.mutual and len(logits) > 1:
            mean = torch.stack([(one.detach() / self.temperature).softmax(1) for one in logits]).mean(0)
            loss = (1 - self.mutual) * loss + self.mutual * self._divergence(logits, mean)
        if not fused_share:
            return loss
        weights = [0.0 if index in missing else weight for index, weight in enumerate(self.weights)]
        return (1 - fused_share) * loss + fused_share * self._cross_entropy(fused_sums(logits, weights, self.k), target)

    def _cross_entropy(self, scores: Tensor, target: Target) -> Tensor:
        loss = functional.cross_entropy(scores, target.labels, label_smoothing=self.label_smoothing)
        if target.share == 1.0:
            return loss
        other = functional.cross_entropy(scores, target.partner, label_smoothing=self.label_smoothing)
        return target.share * loss + (1 - target.share) * other

    def _distillation(self, logits: Sequence[Tensor], teacher: Tensor) -> Tensor:
        return self._divergence(logits, (teacher / self.temperature).softmax(1))

    def _divergence(self, logits: Sequence[Tensor], soft: Tensor) -> Tensor:
        """Return the mean Kullback-Leibler divergence of the variants' softened probabilities from soft targets."""
        divergences = [
            functional.kl_div((one / self.temperature).log_softmax(1), soft, reduction="batchmean") for one in logits
        ]
        return self.temperature**2 * torch.stack(divergences).mean()
