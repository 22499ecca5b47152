"""Accuracy of families and base models: `python -m benchmarks.accuracy.plan`.

A plan (TOML; those of docs/results.md: benchmarks/plans) has a data set, and trainings by their flags of `vp train`:

    data = "cifar10"
    [trainings.base]
    flags = "--family {plans}/base-96.toml --pretrained {weights}/mobilenet_v2_1.0.npz --epochs 3"

`{plans}`, `{weights}` and `{out}` stand for the plan's folder, `--weights` and `--out`, so that a training can start
from another (`--pretrained {out}/one`) or have it as teacher. Each is trained, exported and judged on the test
pictures; what is done is not repeated, so that it can be interrupted. Prints a table in Markdown, or with --json all.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.accuracy.trainings import exported, trained, vp
from vp_mqtt.cli.lazy import run_app
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error, read_toml
from vp_mqtt.training.checkpoint import Checkpoint
from vp_mqtt.training.cost import compare

DEAD = {1: "one dead (mean over all choices; worst)", 2: "two dead", 3: "three dead"}


class Training(BaseModel):
    """One training of a plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flags: str


class Plan(BaseModel):
    """A data set and what is trained on it, in this order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    trainings: dict[str, Training]


def read_plan(path: Path) -> Plan:
    """Return the plan in a file.

    Raises:
        UserError: the file cannot be read, or is not a plan.
    """
    table = read_toml(path, hint="plans are in benchmarks/plans")
    try:
        return Plan.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error)}") from None


def _filled(plan: Path, flags: str, places: dict[str, Path]) -> list[str]:
    try:
        return [flag.format_map(places) for flag in shlex.split(flags)]
    except (LookupError, ValueError, AttributeError) as error:
        known = ", ".join(f"{{{place}}}" for place in places)
        raise UserError(f"{plan}: flags {flags!r}: {error}; there is {known}") from None


def judged(data: str, root: Path | None, folder: Path) -> dict[str, Any]:
    """Return what `vp eval` and `vp bench models` say of a training, and how long it took; kept in the folder."""
    kept = folder / "judged.json"
    if not kept.exists():
        where = ["--root", str(root)] if root else []
        checkpoint = Checkpoint.load(folder)
        found: dict[str, Any] = {
            "trained": checkpoint.summary(),
            "minutes": round(sum(row["seconds"] for row in checkpoint.history) / 60),
            "eval": json.loads(vp("eval", str(exported(folder)), data, *where, "--json")),
            "variants": compare(checkpoint.origin.family, len(checkpoint.origin.classes)).as_dict()["variants"],
        }
        kept.write_text(json.dumps(found), encoding="utf-8")
    result: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return result


def rows(name: str, one: dict[str, Any]) -> list[str]:
    """Return the rows of a training in the table: fused, with boards dead, and each variant."""
    accuracy, per_class = one["eval"]["accuracy"], one["eval"]["mean_per_class"]
    count = len(accuracy["variants"])
    found = [f"| **{name}** ({one['trained']}; {one['minutes']} minutes) | | | | | |"]
    if count > 1:
        found.append(f"| fused, all {count} alive | | | | {accuracy['fused']:.2%} | {per_class['fused']:.2%} |")
        for dead, what in DEAD.items():
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


def main(
    plan: Annotated[Path, typer.Argument(help="TOML file, see above")],
    *,
    out: Annotated[Path, typer.Option(help="folder for the trainings")],
    weights: Annotated[Path, typer.Option(help="folder with the files that the plan starts from")] = Path(),
    root: Annotated[Path | None, typer.Option(help="folder with the files of the data set")] = None,
    only: Annotated[list[str] | None, typer.Option(help="this training of the plan; may be given again")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train what is not trained yet, judge, and print the table."""
    spec = read_plan(plan)
    unknown = set(only or ()) - set(spec.trainings)
    if unknown:
        raise UserError(f"--only {unknown.pop()}: the plan has {', '.join(spec.trainings)}")
    where = ["--root", str(root)] if root else []
    places = {"plans": plan.parent, "weights": weights, "out": out}
    commands = {name: _filled(plan, training.flags, places) for name, training in spec.trainings.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, flags in commands.items():
        if only and name not in only:
            continue
        print(name, file=sys.stderr, flush=True)
        found[name] = judged(spec.data, root, trained(spec.data, out / name, *flags, *where))
    if as_json:
        print(json.dumps({"data": spec.data, "trainings": found}))
        return
    print("| | pixels | params fewer | MACs fewer | accuracy | mean per class |\n|---|---|---|---|---|---|")
    for name, one in found.items():
        print("\n".join(rows(name, one)))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
