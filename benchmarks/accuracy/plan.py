"""Training plans: a data set, and the trainings to make on it, by their flags of `vp train`.

A plan is a TOML file; those of docs/results.md are in benchmarks/plans:

    data = "cifar10"
    [trainings.base]
    flags = "--family {plans}/base-96.toml --pretrained {weights}/mobilenet_v2_1.0.npz --epochs 3"

`{plans}`, `{weights}` and `{out}` stand for the plan's folder, `--weights` and `--out`, so that a training can start
from another one (`--pretrained {out}/one`) or have it as teacher. Each training is exported and evaluated on the test
pictures. Finished steps are not repeated, so that a run can be interrupted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.accuracy.trainings import export, run_vp, train
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error, read_toml
from vp_mqtt.training.checkpoint import Checkpoint
from vp_mqtt.training.cost import compare

_CACHE_NAME = "judged.json"
DEAD_BOARDS = {1: "one dead (mean over all choices; worst)", 2: "two dead", 3: "three dead"}


class Training(BaseModel):
    """One training of a plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flags: str


class TrainingPlan(BaseModel):
    """A data set and the trainings to make on it, in this order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    trainings: dict[str, Training]


def read_plan(path: Path) -> TrainingPlan:
    """Return the plan in a file.

    Raises:
        UserError: the file cannot be read, or is not a plan.
    """
    table = read_toml(path, hint="plans are in benchmarks/plans")
    try:
        return TrainingPlan.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error)}") from None


def _filled_in(plan: Path, flags: str, places: dict[str, Path]) -> list[str]:
    try:
        return [flag.format_map(places) for flag in shlex.split(flags)]
    except (LookupError, ValueError, AttributeError) as error:
        known = ", ".join(f"{{{place}}}" for place in places)
        raise UserError(f"{plan}: flags {flags!r}: {error}; there is {known}") from None


def evaluate(data: str, root: Path | None, folder: Path) -> dict[str, Any]:
    """Return the results of `vp eval` and `vp bench models` for a training, and its duration; cached in its folder."""
    cache = folder / _CACHE_NAME
    if not cache.exists():
        where = ["--root", str(root)] if root else []
        checkpoint = Checkpoint.load(folder)
        found: dict[str, Any] = {
            "trained": checkpoint.summary(),
            "minutes": round(sum(row["seconds"] for row in checkpoint.history) / 60),
            "eval": json.loads(run_vp("eval", str(export(folder)), data, *where, "--no-jpeg", "--json")),
            "variants": compare(checkpoint.origin.family, len(checkpoint.origin.classes)).as_dict()["variants"],
        }
        cache.write_text(json.dumps(found), encoding="utf-8")
    result: dict[str, Any] = json.loads(cache.read_text(encoding="utf-8"))
    return result


def table_rows(name: str, one: dict[str, Any]) -> list[str]:
    """Return the rows of a training in a Markdown table: fused, with dead boards, and each variant."""
    accuracy, per_class = one["eval"]["accuracy"], one["eval"]["mean_per_class"]
    count = len(accuracy["variants"])
    found = [f"| **{name}** ({one['trained']}; {one['minutes']} minutes) | | | | | |"]
    if count > 1:
        found.append(f"| fused, all {count} alive | | | | {accuracy['fused']:.2%} | {per_class['fused']:.2%} |")
        for dead, what in DEAD_BOARDS.items():
            alive = str(count - dead)
            if alive not in accuracy["by_alive"]:
                continue
            mean, worst = accuracy["by_alive"][alive], accuracy["by_alive_worst"][alive]["accuracy"]
            found.append(f"| fused, {what} | | | | {mean:.2%} ({worst:.2%}) | |")
    for index in reversed(range(count)):
        cost = one["variants"][index]
        found.append(
            f"| variant {index} | {cost['resolution']} | {cost['params_ratio']:.2f} x | {cost['macs_ratio']:.2f} x"
            f" | {accuracy['variants'][index]:.2%} | {per_class['variants'][index]:.2%} |"
        )
    return found


def run_plan(
    path: Path, *, out: Path, weights: Path, root: Path | None, only: Sequence[str], report: Callable[[str], None]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Train what is not trained yet, and evaluate it; return the name of the data set, and a result per training.

    Args:
        path: the plan's file.
        out: folder for the trainings.
        weights: folder with the weights that trainings start from.
        root: folder with the files of the data set.
        only: names of the trainings to make; none: all.
        report: called with the name of each training when it begins.

    Raises:
        UserError: the plan is not valid, or a training failed.
    """
    plan = read_plan(path)
    unknown = set(only) - set(plan.trainings)
    if unknown:
        raise UserError(f"--only {unknown.pop()}: the plan has {', '.join(plan.trainings)}")
    where = ["--root", str(root)] if root else []
    places = {"plans": path.parent, "weights": weights, "out": out}
    commands = {name: _filled_in(path, training.flags, places) for name, training in plan.trainings.items()}
    results: dict[str, dict[str, Any]] = {}
    for name, flags in commands.items():
        if not only or name in only:
            report(name)
            results[name] = evaluate(plan.data, root, train(plan.data, out / name, *flags, *where))
    return plan.data, results
