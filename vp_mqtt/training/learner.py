"""Joint training steps of a family: one loss per variant and one on the fused output (arXiv 2210.08376)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vp_mqtt.training.averaging import WeightAverages
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.device_inputs import to_input
from vp_mqtt.training.engine import NetworkSet, Passes
from vp_mqtt.training.losses import JointLoss, Target
from vp_mqtt.training.networks import freeze_norms
from vp_mqtt.training.optimization import Optimization
from vp_mqtt.training.rng import Stream, rng_at


class JointLearner:
    """Updates the variants of a family from batches of views."""

    def __init__(
        self,
        origin: Origin,
        networks: NetworkSet,
        passes: Passes,
        *,
        averages: WeightAverages,
        optimization: Optimization,
        device: torch.device,
    ) -> None:
        """Combine the parts.

        Args:
            origin: family and recipe.
            networks: that are trained.
            passes: run them.
            averages: of the variants' weights.
            optimization: of the variants' parameters.
            device: of the networks.
        """
        self.device = device
        self.passes = passes
        recipe = origin.recipe
        self._origin = origin
        self._recipe = recipe
        self._variants = networks.variants
        self._averages = averages
        self._optimization = optimization
        self._loss = JointLoss(
            origin.family.vote_weights(),
            recipe.k,
            label_smoothing=recipe.label_smoothing,
            distilled=recipe.distilled,
            mutual=recipe.mutual,
            temperature=recipe.temperature,
        )

    def begin_epoch(self, epoch: int) -> None:
        """Switch to training mode and reseed the dropout layers; epochs count from 0."""
        for index, network in enumerate(self._variants):
            network.train()
            if self._recipe.frozen_norms:
                freeze_norms(network)
            network.dropout.seed(int(self._rng(Stream.DROPOUT, epoch, index).integers(2**62)))
        self.passes.begin_epoch()

    def learn(self, views: Sequence[Tensor], labels: Tensor, *, epoch: int, step: int, steps: int) -> Tensor:
        """Update the networks from a batch, and return its loss, a scalar.

        Args:
            views: of each variant, then of each teacher, shape (N, resolution, resolution, 3), uint8.
            labels: shape (N,), int64.
            epoch: from 0.
            step: within the epoch, from 0.
            steps: per epoch.
        """
        done = epoch * steps + step
        self._optimization.begin_step(done)
        loss = self._compute_gradients(views, labels, epoch, step)
        self._optimization.end_step()
        self._averages.update_after(done + 1)
        return loss

    def _compute_gradients(self, views: Sequence[Tensor], labels: Tensor, epoch: int, step: int) -> Tensor:
        recipe = self._recipe
        share = 1.0
        if recipe.uses_mixup(epoch):
            share = float(self._rng(Stream.MIXUP, epoch, step).beta(recipe.mixup, recipe.mixup))
        partner = torch.from_numpy(self._rng(Stream.MIXUP, epoch, step, 1).permutation(len(labels)))

        def mixed_inputs(index: int) -> Tensor:
            inputs = to_input(views[index].to(self.device, non_blocking=True))
            return inputs if share == 1.0 else share * inputs + (1 - share) * inputs[partner.to(self.device)]

        outputs, from_teachers = self.passes.forward(mixed_inputs)
        target = Target(
            labels.to(self.device),
            labels[partner].to(self.device),
            share,
            torch.stack(from_teachers).mean(0) if from_teachers else None,
        )
        # The variants share nothing but the loss: its gradient is computed first, then each runs backward on its own.
        leaves = [output.detach().requires_grad_() for output in outputs]
        loss = self._loss(leaves, target, recipe.fused_share(epoch), self._draw_missing(epoch, step))
        loss.backward()  # type: ignore[no-untyped-call]
        self.passes.backward([leaf.grad for leaf in leaves if leaf.grad is not None])
        return loss.detach()

    def _draw_missing(self, epoch: int, step: int) -> list[int]:
        """Draw the variants that are left out of the fused loss in a step; never all of them."""
        if not self._recipe.missing:
            return []
        rng = self._rng(Stream.MISSING, epoch, step)
        missing = np.flatnonzero(rng.random(len(self._variants)) < self._recipe.missing).tolist()
        if len(missing) == len(self._variants):
            missing.remove(int(rng.integers(len(self._variants))))
        return missing

    def _rng(self, stream: Stream, *position: int) -> np.random.Generator:
        return rng_at(stream, self._recipe.seed, *position)

    def checkpoint(self, epoch: int, history: list[dict[str, float]]) -> Checkpoint:
        """Return the present state; its tensors are those in training, not copies.

        Args:
            epoch: number of epochs done.
            history: one row for each.
        """
        optimizer, schedule = self._optimization.states()
        return Checkpoint(
            origin=self._origin,
            epoch=epoch,
            networks=[network.state_dict() for network in self._variants],
            averages=[average.state_dict() for average in self._averages.networks],
            optimizer=optimizer,
            schedule=schedule,
            history=history,
        )

    def restore(self, saved: Checkpoint, steps: int) -> None:
        """Continue from a checkpoint of the same family and recipe.

        Args:
            saved: the checkpoint.
            steps: per epoch.
        """
        for network, state in zip(self._variants, saved.networks, strict=True):
            network.load_state_dict(state)
        self._averages.restore(saved.averages, saved.epoch * steps)
        self._optimization.restore(saved.optimizer, saved.schedule)
