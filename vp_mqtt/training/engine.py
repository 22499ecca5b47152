"""Forward and backward passes of several networks side by side: in threads on a CPU, as CUDA graphs on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm

_WARM_UP_PASSES = 3

T = TypeVar("T")


class Passes(Protocol):
    """The passes of a step: the teachers' and the variants' forward, then the variants' backward."""

    def begin(self) -> None:
        """Take note that an epoch begins: what never learns may have been loaded anew."""

    def forward(self, inputs: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of variants and teachers, each (N, classes), float32.

        Args:
            inputs: gives the input of a variant by its index, and of the teachers by those that follow; called once
                for each, (N, 3, resolution, resolution), float32.
        """

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Set the gradients of the parameters that learn, from those of the variants' logits."""

    def average(self, variant: int, inputs: Tensor) -> Tensor:
        """Return the logits of a variant's moving average, (N, classes), for (N, 3, resolution, resolution)."""


class ThreadedPasses:
    """Passes on a CPU: each network in a thread, the dearest begun first."""

    def __init__(
        self,
        networks: Sequence[VariantNetwork],
        averages: Sequence[VariantNetwork],
        teachers: Sequence[VariantNetwork],
        *,
        frozen_blocks: int,
        threads: ThreadPoolExecutor,
        order: Sequence[int],
    ) -> None:
        """Take the networks.

        Args:
            networks: the variants, in training.
            averages: their moving averages.
            teachers: never change.
            frozen_blocks: first blocks of the variants that never learn, and need no backward pass.
            threads: to compute in.
            order: the variants' indices, the dearest first.
        """
        self._networks = networks
        self._averages = [average.eval() for average in averages]
        self._teachers = [fold_batch_norm(teacher) for teacher in teachers]
        self._frozen_blocks = frozen_blocks
        self._threads = threads
        self._order = order
        self._folded: list[nn.Sequential] = []
        self._outputs: list[Tensor] = []

    def begin(self) -> None:
        """Fold the batch norms of what never learns."""
        self._folded = fold_first_blocks(self._networks, self._frozen_blocks)

    def forward(self, inputs: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of variants and teachers; see `Passes`."""

        def taught(index: int) -> Tensor:
            with torch.no_grad():
                logits: Tensor = self._teachers[index](inputs(len(self._networks) + index))
            return logits

        def of_variant(variant: int) -> Tensor:
            with torch.no_grad():
                features = self._folded[variant](inputs(variant))
            network = self._networks[variant]
            return network.classify(network.features[self._frozen_blocks :](features))

        # The teachers' work is begun first: it is the dearest.
        lessons = [self._threads.submit(taught, index) for index in range(len(self._teachers))]
        self._outputs = self._for_each(of_variant)
        return self._outputs, [lesson.result() for lesson in lessons]

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Set the gradients of the parameters; see `Passes`."""
        self._for_each(lambda variant: self._outputs[variant].backward(gradients[variant]))  # type: ignore[no-untyped-call]

    def average(self, variant: int, inputs: Tensor) -> Tensor:
        """Return the logits of a variant's average; see `Passes`."""
        with torch.inference_mode():
            logits: Tensor = self._averages[variant](inputs.contiguous(memory_format=torch.channels_last))
        return logits

    def _for_each(self, work: Callable[[int], T]) -> list[T]:
        done = dict(zip(self._order, self._threads.map(work, self._order), strict=True))
        return [done[variant] for variant in range(len(self._networks))]


class GraphedPasses:
    """Passes on a GPU, each network's as CUDA graphs and in a stream of its own.

    Such small networks are thousands of kernels of a few microseconds: launched one by one, they leave the GPU waiting
    for Python. Convolutions compute in bfloat16.
    """

    def __init__(
        self,
        networks: Sequence[VariantNetwork],
        averages: Sequence[VariantNetwork],
        teachers: Sequence[VariantNetwork],
        *,
        frozen_blocks: int,
        batch: int,
    ) -> None:
        """Take the networks, on the GPU.

        Args:
            networks: the variants, in training.
            averages: their moving averages.
            teachers: never change.
            frozen_blocks: first blocks of the variants that never learn, and need no backward pass.
            batch: pictures in every forward pass of variants and teachers, and the most that averages are given.
        """
        self._networks = networks
        self._averages = [average.eval() for average in averages]
        self._teachers = [fold_batch_norm(teacher) for teacher in teachers]
        self._frozen_blocks = frozen_blocks
        self._batch = batch
        # cuDNN looks for its kernels anew in every thread, for seconds a network: side by side, and once.
        self._lanes = [ThreadPoolExecutor(1, "lane") for _ in (*networks, *teachers)]
        self._of_variants: list[_GraphedNetwork] = []
        self._of_teachers: list[_GraphedNetwork] = []
        self._of_averages: dict[int, _GraphedNetwork] = {}

    def begin(self) -> None:
        """Do nothing: what never learns is folded when the first batch comes."""

    def forward(self, inputs: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of variants and teachers, to be read before the next forward; see `Passes`."""
        given = [inputs(index) for index in range(len(self._networks) + len(self._teachers))]
        learning = [[p for p in network.parameters() if p.requires_grad] for network in self._networks]
        if [len(graphed.parameters) for graphed in self._of_variants] != [len(some) for some in learning]:
            self._capture(learning, given)
        graphs = [*self._of_variants, *self._of_teachers]
        logits = [graph.forward(x) for graph, x in zip(graphs, given, strict=True)]
        _wait_for(graphs)
        return logits[: len(self._networks)], logits[len(self._networks) :]

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Set the gradients of the parameters; see `Passes`."""
        for graph, gradient in zip(self._of_variants, gradients, strict=True):
            graph.backward(gradient)
        _wait_for(self._of_variants)

    def average(self, variant: int, inputs: Tensor) -> Tensor:
        """Return the logits of a variant's average; see `Passes`."""
        count = len(inputs)
        padded = functional.pad(inputs, (0, 0, 0, 0, 0, 0, 0, self._batch - count)).cuda()
        if variant not in self._of_averages:
            network = self._averages[variant]
            self._of_averages[variant] = _captured([(self._lanes[variant], network, network, (), padded)])[0]
        graph = self._of_averages[variant]
        logits = graph.forward(padded)
        _wait_for([graph])
        return logits[:count].clone()

    def _capture(self, learning: Sequence[Sequence[nn.Parameter]], given: Sequence[Tensor]) -> None:
        """Capture all passes, with these parameters of each variant that learn, and inputs of variants and teachers."""
        self._of_variants = self._of_teachers = []
        folded = fold_first_blocks(self._networks, self._frozen_blocks)
        runs = [
            _after(first, network, self._frozen_blocks) for first, network in zip(folded, self._networks, strict=True)
        ]
        count = len(self._networks)
        networks = [*self._networks, *self._teachers]
        nothing: list[Sequence[nn.Parameter]] = [()] * len(self._teachers)
        all_runs: list[Callable[[Tensor], Tensor]] = [*runs, *self._teachers]
        all_learning = [*learning, *nothing]
        graphs = _captured(list(zip(self._lanes, networks, all_runs, all_learning, given, strict=True)))
        self._of_variants, self._of_teachers = graphs[:count], graphs[count:]


def _after(first: nn.Sequential, network: VariantNetwork, blocks: int) -> Callable[[Tensor], Tensor]:
    """Return what gives a network's logits, its first blocks replaced by these, which do not learn."""
    if not blocks:
        return network

    def run(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            features = first(pictures)
        return network.classify(network.features[blocks:](features))

    return run


_ToCapture = tuple[ThreadPoolExecutor, nn.Module, Callable[[Tensor], Tensor], Sequence[nn.Parameter], Tensor]


def _captured(wanted: Sequence[_ToCapture]) -> list[_GraphedNetwork]:
    """Return the graphs of networks, each made in a thread of its own: (thread, network, run, parameters, inputs)."""
    begun = [
        (lane, lane.submit(_GraphedNetwork, network, run, parameters, inputs))
        for lane, network, run, parameters, inputs in wanted
    ]
    made = [(lane, future.result()) for lane, future in begun]
    # One at a time: while CUDA captures, nothing else may happen in the process.
    for lane, graphed in made:
        lane.submit(graphed.capture).result()
    return [graphed for _, graphed in made]


class _GraphedNetwork:
    """One network's forward and backward pass, each a CUDA graph."""

    def __init__(
        self,
        network: nn.Module,
        run: Callable[[Tensor], Tensor],
        parameters: Sequence[nn.Parameter],
        inputs: Tensor,
    ) -> None:
        """Run the passes for once, so that what is chosen or allocated at the first is; batch norms stay as they are.

        Args:
            network: on the GPU, in the mode that it is to run in.
            run: gives the network's logits.
            parameters: those that learn; none for a network that does not.
            inputs: of the shape that all inputs will have, shape (N, 3, resolution, resolution), float32.
        """
        self.parameters = parameters
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._run = run
        self._inputs = inputs.clone(memory_format=torch.channels_last)
        buffers = list(network.buffers())
        kept = [buffer.clone() for buffer in buffers]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream), torch.autograd.set_multithreading_enabled(mode=False):
            for _ in range(_WARM_UP_PASSES):
                logits = self._logits_of_inputs()
                if parameters:
                    torch.autograd.grad(logits, parameters, torch.zeros_like(logits))
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)
        self.stream.synchronize()

    def _logits_of_inputs(self) -> Tensor:
        # Without the cache of casted weights, which a graph would read long after it is gone.
        autocast = torch.autocast("cuda", torch.bfloat16, cache_enabled=False)
        with torch.set_grad_enabled(bool(self.parameters)), autocast:
            return self._run(self._inputs).float()

    def capture(self) -> None:
        """Capture the passes, which does not run them; in the thread in which this was made."""
        self._forward = torch.cuda.CUDAGraph()
        # Other threads go on with work of their own meanwhile, such as pinning the next batches.
        with torch.cuda.graph(self._forward, stream=self.stream, capture_error_mode="thread_local"):
            self._logits = self._logits_of_inputs()
        if not self.parameters:
            return
        self._cotangent = torch.zeros_like(self._logits)
        self._backward = torch.cuda.CUDAGraph()
        pool = self._forward.pool()
        with (
            torch.autograd.set_multithreading_enabled(mode=False),
            torch.cuda.graph(self._backward, pool=pool, stream=self.stream, capture_error_mode="thread_local"),
        ):
            found = torch.autograd.grad(self._logits, self.parameters, self._cotangent)
            # In the layout of the parameters, as the optimizer wants them.
            self._gradients = [
                gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
                for parameter, gradient in zip(self.parameters, found, strict=True)
            ]
        self._logits = self._logits.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        """Begin the forward pass, and return where the logits will be."""
        self._inputs.copy_(inputs)
        self._begin(self._forward)
        return self._logits

    def backward(self, gradient: Tensor) -> None:
        """Begin the backward pass, and tell the parameters where their gradients will be."""
        self._cotangent.copy_(gradient)
        self._begin(self._backward)
        for parameter, found in zip(self.parameters, self._gradients, strict=True):
            parameter.grad = found

    def _begin(self, graph: torch.cuda.CUDAGraph) -> None:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            graph.replay()


def _wait_for(graphs: Iterable[_GraphedNetwork]) -> None:
    for graph in graphs:
        torch.cuda.current_stream().wait_stream(graph.stream)


def fold_first_blocks(networks: Sequence[VariantNetwork], blocks: int) -> list[nn.Sequential]:
    """Return copies of the networks' first blocks with their batch norms folded, so that what is saved stays whole."""
    firsts = [network.features[:blocks] for network in networks]
    return [fold_batch_norm(first).to(memory_format=torch.channels_last) for first in firsts]  # type: ignore[call-overload]
