"""Forward and backward passes of several networks on a GPU, as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.nn import functional

from vp_mqtt.training.engine import NetworkSet, fold_first_blocks
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm

_WARM_UP_PASSES = 3


class GraphedPasses:
    """Passes on a GPU: each network's passes are CUDA graphs with a stream of their own.

    Such small networks consist of thousands of kernels of a few microseconds: launched one by one from Python, they
    leave the GPU idle. Convolutions compute in bfloat16.
    """

    def __init__(self, networks: NetworkSet, batch: int) -> None:
        """Prepare the networks.

        Args:
            networks: on the GPU.
            batch: pictures in every forward pass of variants and teachers, and at most in one of the averages.
        """
        self._variants = networks.variants
        self._averages = [average.eval() for average in networks.averages]
        self._teachers = [fold_batch_norm(teacher) for teacher in networks.teachers]
        self._frozen_blocks = networks.frozen_blocks
        self._batch = batch
        # cuDNN selects its kernels once per thread, which takes seconds per network: one thread each, kept for good.
        self._threads = [ThreadPoolExecutor(1, "graph") for _ in (*networks.variants, *networks.teachers)]
        self._variant_graphs: list[_GraphedNetwork] = []
        self._teacher_graphs: list[_GraphedNetwork] = []
        self._average_graphs: dict[int, _GraphedNetwork] = {}

    def begin_epoch(self) -> None:
        """Do nothing: frozen blocks are folded when the passes are captured, with the first batch."""

    def forward(self, inputs: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of variants and teachers, valid until the next forward pass; see `Passes`."""
        batch_inputs = [inputs(index) for index in range(len(self._variants) + len(self._teachers))]
        learning = [[p for p in network.parameters() if p.requires_grad] for network in self._variants]
        if [len(graphed.parameters) for graphed in self._variant_graphs] != [len(some) for some in learning]:
            self._capture(learning, batch_inputs)
        graphs = [*self._variant_graphs, *self._teacher_graphs]
        logits = [graph.forward(x) for graph, x in zip(graphs, batch_inputs, strict=True)]
        _wait_for(graphs)
        return logits[: len(self._variants)], logits[len(self._variants) :]

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Set the gradients of the parameters; see `Passes`."""
        for graph, gradient in zip(self._variant_graphs, gradients, strict=True):
            graph.backward(gradient)
        _wait_for(self._variant_graphs)

    def average_logits(self, variant: int, inputs: Tensor) -> Tensor:
        """Return the logits of a variant's moving average; see `Passes`."""
        count = len(inputs)
        padded = functional.pad(inputs, (0, 0, 0, 0, 0, 0, 0, self._batch - count)).cuda()
        if variant not in self._average_graphs:
            network = self._averages[variant]
            self._average_graphs[variant] = _captured([(self._threads[variant], network, network, (), padded)])[0]
        graph = self._average_graphs[variant]
        logits = graph.forward(padded)
        _wait_for([graph])
        return logits[:count].clone()

    def _capture(self, learning: Sequence[Sequence[nn.Parameter]], batch_inputs: Sequence[Tensor]) -> None:
        """Capture all passes.

        Args:
            learning: the parameters that learn, per variant.
            batch_inputs: an input for each variant, then for each teacher.
        """
        self._variant_graphs = self._teacher_graphs = []
        folded = fold_first_blocks(self._variants, self._frozen_blocks)
        runs = [
            _after(first, network, self._frozen_blocks) for first, network in zip(folded, self._variants, strict=True)
        ]
        count = len(self._variants)
        networks = [*self._variants, *self._teachers]
        nothing: list[Sequence[nn.Parameter]] = [()] * len(self._teachers)
        all_runs: list[Callable[[Tensor], Tensor]] = [*runs, *self._teachers]
        all_learning = [*learning, *nothing]
        graphs = _captured(list(zip(self._threads, networks, all_runs, all_learning, batch_inputs, strict=True)))
        self._variant_graphs, self._teacher_graphs = graphs[:count], graphs[count:]


def _after(first: nn.Sequential, network: VariantNetwork, blocks: int) -> Callable[[Tensor], Tensor]:
    """Return a function from pictures to a network's logits, its first blocks replaced by frozen ones."""
    if not blocks:
        return network

    def run(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            features = first(pictures)
        return network.classify(network.features[blocks:](features))

    return run


_ToCapture = tuple[ThreadPoolExecutor, nn.Module, Callable[[Tensor], Tensor], Sequence[nn.Parameter], Tensor]


def _captured(wanted: Sequence[_ToCapture]) -> list[_GraphedNetwork]:
    """Return the graphs of networks, each made in its own thread: (thread, network, run, parameters, inputs)."""
    submitted = [
        (thread, thread.submit(_GraphedNetwork, network, run, parameters, inputs))
        for thread, network, run, parameters, inputs in wanted
    ]
    made = [(thread, future.result()) for thread, future in submitted]
    # One at a time: no other thread may submit work to the GPU during a capture.
    for thread, graphed in made:
        thread.submit(graphed.capture).result()
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
        """Warm up: run the passes, so that kernels are selected and memory is allocated; buffers are restored after it.

        Args:
            network: on the GPU, in its final mode (training or evaluation).
            run: computes the network's logits.
            parameters: those that learn; empty for a network that does not.
            inputs: an example of all later inputs, shape (N, 3, resolution, resolution), float32.
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
        # No cache of cast weights: a graph would read it after it has been freed.
        autocast = torch.autocast("cuda", torch.bfloat16, cache_enabled=False)
        with torch.set_grad_enabled(bool(self.parameters)), autocast:
            return self._run(self._inputs).float()

    def capture(self) -> None:
        """Capture the passes without running them, in the thread that created this object."""
        self._forward = torch.cuda.CUDAGraph()
        # Other threads, such as the one that pins the next batches, continue during the capture.
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
            # In the parameters' memory layout, as the fused optimiser requires.
            self._gradients = [
                gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
                for parameter, gradient in zip(self.parameters, found, strict=True)
            ]
        self._logits = self._logits.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        """Launch the forward pass, and return the tensor that will hold the logits."""
        self._inputs.copy_(inputs)
        self._replay(self._forward)
        return self._logits

    def backward(self, gradient: Tensor) -> None:
        """Launch the backward pass, and set the parameters' gradients to the tensors that will hold them."""
        self._cotangent.copy_(gradient)
        self._replay(self._backward)
        for parameter, found in zip(self.parameters, self._gradients, strict=True):
            parameter.grad = found

    def _replay(self, graph: torch.cuda.CUDAGraph) -> None:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            graph.replay()


def _wait_for(graphs: Iterable[_GraphedNetwork]) -> None:
    for graph in graphs:
        torch.cuda.current_stream().wait_stream(graph.stream)
