"""Which runtimes and precisions a measurement covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vp_mqtt.config.settings import NCNN_REMOVED
from vp_mqtt.errors import UserError
from vp_mqtt.inference import runtimes

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
ALL_RUNTIMES = "all"


def select_runtimes(names: Sequence[str]) -> list[str]:
    """Return the named runtimes, without duplicates.

    Args:
        names: of runtimes, or "all" for every installed one.

    Raises:
        UserError: one of them is unknown or not installed.
    """
    installed = runtimes.installed()
    selected: list[str] = []
    for name in names:
        if name == "ncnn":
            raise UserError(f"--runtime {name}: {NCNN_REMOVED}")
        if name != ALL_RUNTIMES and name not in runtimes.RUNTIMES:
            raise UserError(f"--runtime {name}: write {', '.join(runtimes.RUNTIMES)} or {ALL_RUNTIMES}")
        if name != ALL_RUNTIMES and name not in installed:
            raise UserError(f"--runtime {name}: not installed; `pip install {name}`")
        selected += installed if name == ALL_RUNTIMES else [name]
    return list(dict.fromkeys(selected))


def select_precisions(names: Sequence[str]) -> list[Precision]:
    """Return the named precisions, without duplicates, in the order of `PRECISIONS`.

    Raises:
        UserError: one of them is unknown.
    """
    for name in names:
        if name not in PRECISIONS:
            raise UserError(f"--precision {name}: write {' or '.join(PRECISIONS)}")
    return [precision for precision in PRECISIONS if precision in names]
