"""Which parameters learn, when, and how fast: freezing, the optimiser and its learning rate schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.recipe import Recipe

_WARM_UP_SHARE = 0.12
_BACKBONE = "features."


class Optimization:
    """AdamW on one learning rate cycle; backbones and heads have rates of their own."""

    def __init__(self, networks: Sequence[VariantNetwork], recipe: Recipe, steps_per_epoch: int) -> None:
        """Freeze the first blocks and set up the optimiser.

        Args:
            networks: the variants, on their device.
            recipe: learning rates, weight decay, and what is frozen.
            steps_per_epoch: training steps in an epoch.
        """
        self._frozen_steps = recipe.frozen_steps
        # Frozen blocks need no backward pass, and their batch norm statistics do not change either.
        frozen = [network.features[: recipe.frozen_blocks] for network in networks]
        never = {id(parameter) for blocks in frozen for parameter in blocks.parameters()}
        for blocks in frozen:
            blocks.requires_grad_(requires_grad=False)
        named = [item for network in networks for item in network.named_parameters()]
        self._backbones = [p for name, p in named if name.startswith(_BACKBONE) and id(p) not in never]
        heads = [p for name, p in named if not name.startswith(_BACKBONE)]
        self._optimizer = torch.optim.AdamW(
            [{"params": self._backbones}, {"params": heads}],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=[recipe.learning_rate, recipe.head_rate * recipe.learning_rate],
            total_steps=recipe.epochs * steps_per_epoch,
            pct_start=_WARM_UP_SHARE,
            div_factor=20,
            final_div_factor=200,
        )

    def begin_step(self, step: int) -> None:
        """Clear the gradients, and unfreeze the backbones once it is time.

        Args:
            step: of the whole training, from 0.
        """
        for parameter in self._backbones:
            parameter.requires_grad_(step >= self._frozen_steps)
        self._optimizer.zero_grad(set_to_none=True)

    def end_step(self) -> None:
        """Update the parameters from their gradients, then the learning rates."""
        self._optimizer.step()
        self._schedule.step()

    def states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the state dicts of the optimiser and the schedule."""
        return self._optimizer.state_dict(), self._schedule.state_dict()

    def restore(self, optimizer: dict[str, Any], schedule: dict[str, Any]) -> None:
        """Continue from the state dicts of a checkpoint."""
        self._optimizer.load_state_dict(optimizer)
        self._schedule.load_state_dict(schedule)
