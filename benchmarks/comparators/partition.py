"""Model parallelism: cuts a network at its block boundaries into stages, one per board."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparators.pipeline import PIPELINE_NAME, PipelineManifest, Shape, StageEntry
from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.onnx_export import module_to_onnx

Balance = Literal["macs", "bytes"]

_UNEVEN = 1.25


class _Classify(nn.Module):
    """The part after the last block: head, pooling, classifier, softmax."""

    def __init__(self, network: VariantNetwork) -> None:
        super().__init__()
        self._network = network

    def forward(self, features: Tensor) -> Tensor:
        probabilities: Tensor = self._network.classify(features).softmax(1)
        return probabilities


def blocks_of(network: VariantNetwork) -> list[nn.Module]:
    """Return the parts between which a network can be cut: stem, inverted residuals, and the rest."""
    folded = fold_batch_norm(network)
    return [*folded.features, _Classify(folded)]


def macs_of(blocks: Sequence[nn.Module], resolution: int) -> tuple[list[int], list[Shape]]:
    """Return the multiply-accumulates of every block, and the shape (channels, height, width) of its input."""
    macs: list[int] = []
    shapes: list[Shape] = []
    values = torch.zeros(1, 3, resolution, resolution)
    with torch.inference_mode():
        for block in blocks:
            shapes.append((values.shape[1], values.shape[2], values.shape[3]))
            with FlopCounterMode(display=False) as counter:
                values = block(values)
            macs.append(counter.get_total_flops() // 2)
    return macs, shapes


def cut_points(macs: Sequence[int], shapes: Sequence[Shape], stages: int, balance: Balance) -> list[int]:
    """Return the first block of every stage.

    Args:
        macs: multiply-accumulates of every block.
        shapes: shape of every block's input.
        stages: number of stages, 1..len(macs).
        balance: "macs": minimal cost of the most expensive stage; "bytes": minimal traffic between stages, while no
            stage costs over 25 % more than that minimum.

    Raises:
        ValueError: there are fewer blocks than stages.
    """
    count = len(macs)
    if not 1 <= stages <= count:
        raise ValueError(f"{count} blocks cannot be cut into {stages} stages")
    sums = [0]
    for one in macs:
        sums.append(sums[-1] + one)
    values = [math.prod(shape) for shape in shapes]

    def best(cost: Callable[[int, int, tuple[float, ...]], tuple[float, ...]]) -> list[int]:
        """Return the starts with the least cost, by dynamic programming from the last block backwards."""

        @cache
        def after(start: int, left: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
            if left == 1:
                return cost(start, count, ()), (start,)
            options = (
                (cost(start, end, rest), (start, *starts))
                for end in range(start + 1, count - left + 2)
                for rest, starts in [after(end, left - 1)]
            )
            return min(options)

        return list(after(0, stages)[1])

    def most_expensive(start: int, end: int, rest: tuple[float, ...]) -> tuple[float, ...]:
        return (max((sums[end] - sums[start], *rest)),)

    even = best(most_expensive)
    if balance == "macs":
        return even
    ends = [*even[1:], count]
    limit = _UNEVEN * max(sums[end] - sums[start] for start, end in zip(even, ends, strict=True))

    def traffic(start: int, end: int, rest: tuple[float, ...]) -> tuple[float, ...]:
        excess, travelling = rest or (0.0, 0.0)
        return (excess + max(0.0, sums[end] - sums[start] - limit), travelling + (values[start] if start else 0))

    return best(traffic)


def write_stages(
    network: VariantNetwork, resolution: int, folder: Path, stages: int, balance: Balance
) -> list[StageEntry]:
    """Cut a network and write its stages as ONNX models beside its bundle, with `pipeline.json`.

    Args:
        network: a trained network.
        resolution: side of its input, in pixels.
        folder: folder of its bundle.
        stages: number of boards.
        balance: see `cut_points`.

    Raises:
        UserError: there are too many stages, or the folder cannot be written.
    """
    blocks = blocks_of(network)
    macs, shapes = macs_of(blocks, resolution)
    try:
        starts = cut_points(macs, shapes, stages, balance)
    except ValueError as error:
        raise UserError(f"--stages {stages}: {error}") from None
    entries = []
    try:
        for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(blocks)], strict=True)):
            is_last = end == len(blocks)
            stage = nn.Sequential(*blocks[start:end]).eval()
            example = torch.zeros(1, *shapes[start])
            model = module_to_onnx(
                stage, example, input_name="features", output_name="probabilities" if is_last else "features_out"
            )
            file = f"stage-{index}-of-{stages}.onnx"
            (folder / file).write_bytes(model)
            entries.append(
                StageEntry(
                    index=index,
                    file=file,
                    sha256=hashlib.sha256(model).hexdigest(),
                    blocks=(start, end),
                    macs=sum(macs[start:end]),
                    input=shapes[start],
                    output=None if is_last else shapes[end],
                )
            )
        write_atomically(folder / PIPELINE_NAME, PipelineManifest(stages=tuple(entries)).model_dump_json(indent=1))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    return entries
