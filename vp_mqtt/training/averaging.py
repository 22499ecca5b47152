"""Exponential moving averages of the weights: these are validated and exported, not the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vp_mqtt.training.networks import VariantNetwork

UPDATE_EVERY = 8
"""Training steps between two updates of the averages."""

_Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverages:
    """Exponential moving averages of the weights and batch norm statistics of several networks.

    The decay grows to its final value as in TensorFlow's `ExponentialMovingAverage` with `num_updates`, so that the
    initial weights fade quickly.
    """

    def __init__(self, networks: Sequence[VariantNetwork], decay_per_step: float) -> None:
        """Start with copies of the networks.

        Args:
            networks: the networks in training, on their device.
            decay_per_step: final decay, 0..1, per training step.
        """
        self._current = nn.ModuleList(networks)
        self._decay = decay_per_step**UPDATE_EVERY
        self._averaged = AveragedModel(self._current, multi_avg_fn=self._average, use_buffers=True)
        # torch's first update is a plain copy: make it here, so that the average starts from the initial weights.
        self._averaged.update_parameters(self._current)

    @property
    def networks(self) -> list[VariantNetwork]:
        """The averaged networks, by variant index."""
        return [network for network in self._averaged.module.children() if isinstance(network, VariantNetwork)]

    def update_after(self, steps: int) -> None:
        """Update the averages if an update is due after this many training steps in total."""
        if steps % UPDATE_EVERY == 0:
            self._averaged.update_parameters(self._current)

    def restore(self, states: Sequence[Mapping[str, Any]], steps: int) -> None:
        """Continue from a checkpoint.

        Args:
            states: state dicts of the averaged networks, by variant index.
            steps: training steps done in total.
        """
        for network, state in zip(self.networks, states, strict=True):
            network.load_state_dict(state)
        self._averaged.n_averaged.fill_(1 + steps // UPDATE_EVERY)

    def _average(self, averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            return  # the batch norms' step counters are not averaged
        # `count` is on the networks' device, where reading it would wait for the GPU; the original is on the CPU.
        updates = int(self._averaged.n_averaged)
        decay = min(self._decay, (1 + updates) / (10 + updates))
        get_ema_multi_avg_fn(decay)(averaged, current, count)  # type: ignore[no-untyped-call]
