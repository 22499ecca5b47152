"""Forward and backward passes of several networks side by side, in threads on a CPU; `cuda_graphs` has a GPU's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class NetworkSet:
    """The networks of a training, all on the same device.

    Attributes:
        variants: in training mode.
        averages: their moving averages.
        teachers: never change.
        frozen_blocks: first blocks of the variants that never learn, and need no backward pass.
    """

    variants: Sequence[VariantNetwork]
    averages: Sequence[VariantNetwork]
    teachers: Sequence[VariantNetwork]
    frozen_blocks: int = 0


class VariantThreads:
    """Runs work for each variant side by side, most expensive first."""

    def __init__(self, resolutions: Sequence[int], workers: int) -> None:
        """Create the threads.

        Args:
            resolutions: of the variants, in pixels: the larger, the more expensive.
            workers: number of threads.
        """
        self._order = sorted(range(len(resolutions)), key=lambda index: -resolutions[index])
        self._pool = ThreadPoolExecutor(workers, "variant")

    def map(self, work: Callable[[int], T]) -> list[T]:
        """Return the results of `work` for every variant index, in the order of the indices."""
        results = dict(zip(self._order, self._pool.map(work, self._order), strict=True))
        return [results[variant] for variant in range(len(self._order))]

    def submit(self, work: Callable[[int], T], index: int) -> Future[T]:
        """Start other work, ahead of what is mapped later."""
        return self._pool.submit(work, index)


class Passes(Protocol):
    """The passes of a training step: forward of variants and teachers, then backward of the variants."""

    def begin_epoch(self) -> None:
        """Prepare for an epoch: frozen blocks may have been loaded from a checkpoint since the last one."""

    def forward(self, inputs: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of the variants and those of the teachers, each (N, classes), float32.

        Args:
            inputs: returns the input of a variant by its index, and of the teachers by the indices that follow; called
                once for each; shape (N, 3, resolution, resolution), float32.
        """

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Set the gradients of the parameters, from the gradients of the variants' logits."""

    def average_logits(self, variant: int, inputs: Tensor) -> Tensor:
        """Return the logits of a variant's moving average, (N, classes), for (N, 3, resolution, resolution)."""


class ThreadedPasses:
    """Passes on a CPU: each network in one thread, its convolutions in bfloat16 if the CPU has instructions for it."""

    def __init__(self, networks: NetworkSet, threads: VariantThreads) -> None:
        """Prepare the networks.

        Args:
            networks: on the CPU.
            threads: to compute in.
        """
        self._variants = networks.variants
        self._averages = [average.eval() for average in networks.averages]
        self._teachers = [fold_batch_norm(teacher) for teacher in networks.teachers]
        self._frozen_blocks = networks.frozen_blocks
        self._threads = threads
        self._has_bfloat16 = cpu_has_bfloat16()
        self._folded: list[nn.Sequential] = []
        self._outputs: list[Tensor] = []

    def begin_epoch(self) -> None:
        """Fold the batch norms of the frozen blocks."""
        self._folded = fold_first_blocks(self._variants, self._frozen_blocks)

    def forward(self, inputs: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of variants and teachers; see `Passes`."""

        def teacher_logits(index: int) -> Tensor:
            with torch.no_grad(), self._bfloat16():
                logits: Tensor = self._teachers[index](inputs(len(self._variants) + index))
            return logits.float()

        def variant_logits(variant: int) -> Tensor:
            with self._bfloat16():
                with torch.no_grad():
                    features = self._folded[variant](inputs(variant))
                network = self._variants[variant]
                return network.classify(network.features[self._frozen_blocks :](features)).float()

        # The teachers are the most expensive: start them first.
        from_teachers = [self._threads.submit(teacher_logits, index) for index in range(len(self._teachers))]
        self._outputs = self._threads.map(variant_logits)
        return self._outputs, [logits.result() for logits in from_teachers]

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Set the gradients of the parameters; see `Passes`."""
        self._threads.map(lambda variant: self._outputs[variant].backward(gradients[variant]))  # type: ignore[no-untyped-call]

    def average_logits(self, variant: int, inputs: Tensor) -> Tensor:
        """Return the logits of a variant's moving average; see `Passes`."""
        with torch.inference_mode():
            logits: Tensor = self._averages[variant](inputs.contiguous(memory_format=torch.channels_last))
        return logits

    def _bfloat16(self) -> torch.autocast:
        """Return a new context: it belongs to the thread that enters it."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self._has_bfloat16)


def cpu_has_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16 (AVX-512 or AMX), as far as this version of torch tells.

    Without them, bfloat16 is emulated, and slower than float32.
    """
    # Older versions of torch have no public function for it.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def fold_first_blocks(networks: Sequence[VariantNetwork], blocks: int) -> list[nn.Sequential]:
    """Return copies of the networks' first blocks with folded batch norms; the networks keep theirs for checkpoints."""
    firsts = [network.features[:blocks] for network in networks]
    return [fold_batch_norm(first).to(memory_format=torch.channels_last) for first in firsts]  # type: ignore[call-overload]
