"""CPU affinity: which core each process of a measurement runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Pin this thread, and the processes and threads that it starts within the context, to one core.

    Args:
        core: number of the core; None changes nothing, nor does anything change on systems without affinities.
    """
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, former)


@dataclass(frozen=True)
class Placement:
    """A core for each process.

    Attributes:
        site: core of broker, camera and fusion node.
        variants: core of each variant node, by the variant's index.
    """

    site: int
    variants: Mapping[int, int]

    def busiest(self, costs: Mapping[int, float]) -> float:
        """Return the largest sum of costs on one core, since boards that share a core take turns.

        Args:
            costs: cost of each variant, by its index, such as its time in ms.
        """
        sums: dict[int, float] = {}
        for variant, core in self.variants.items():
            sums[core] = sums.get(core, 0.0) + costs[variant]
        return max(sums.values())


def place(cores: Sequence[int], costs: Mapping[int, float]) -> Placement:
    """Place a site on cores: broker, camera and fusion node on the first, each variant on the least loaded.

    Args:
        cores: numbers of the cores, at least one.
        costs: cost of each variant, by its index, greater than 0; the most expensive one gets a core without the
            site's own nodes if there is one.
    """
    loads = dict.fromkeys(cores, 0.0)
    loads[cores[0]] = max(costs.values())
    variants = {}
    for variant in sorted(costs, key=lambda index: (-costs[index], index)):
        core = min(reversed(cores), key=lambda number: loads[number])
        variants[variant] = core
        loads[core] += costs[variant]
    return Placement(cores[0], dict(sorted(variants.items())))
