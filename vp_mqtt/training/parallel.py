"""Processes many pictures in as many threads as there are cores, with a progress bar on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vp_mqtt.terminal import can_redraw

_PICTURES_PER_TASK = 16

ResultT = TypeVar("ResultT")


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the number of pictures per second."""
        return Text(f"{task.speed:.0f} images/s" if task.speed else "")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_pictures(do: Callable[[int], ResultT], count: int, title: str) -> Generator[ResultT]:
    """Yield `do(0)`, `do(1)`, .. `do(count - 1)`, computed side by side.

    Args:
        do: called in several threads at once; what it raises is raised here.
        count: number of pictures.
        title: of the progress bar, which is drawn on stderr if that is a terminal.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _SpeedColumn(),
        TimeRemainingColumn(),
    )
    lots = [range(start, min(start + _PICTURES_PER_TASK, count)) for start in range(0, count, _PICTURES_PER_TASK)]
    pool = ThreadPoolExecutor(cores(), thread_name_prefix="picture")
    try:
        with Progress(*columns, console=console, transient=True, disable=not can_redraw(sys.stderr)) as progress:
            task = progress.add_task(title, total=count)
            for results in pool.map(lambda lot: [do(index) for index in lot], lots):
                progress.advance(task, len(results))
                yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
