"""What each part of the training is worth: `python -m benchmarks.accuracy.ablation`.

Trains one small family again and again on a part of a data set, each time with one part of the recipe switched off or
added, and judges each with `vp eval` on pictures that were not learned from. Trainings that are done are not repeated,
so that it can be interrupted. DATA is a folder with train/CLASS and test/CLASS.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.trainings import exported, trained, vp
from vp_mqtt.cli.lazy import run_app

FAMILY = """\
name = "ablation"

[[variants]]
resolution = 48
head = 160

[[variants]]
resolution = 64
head = 192

[[variants]]
resolution = 80
head = 224
"""
TEACHER = """\
name = "teacher"

[[variants]]
resolution = 96
alpha = 1.0
head = 1280
pooling = "average"
"""
# The recipe's own number is for longer trainings: it would leave most of these frozen.
FROZEN_STEPS = 40
NO_VIEWS = ("flip=0", "rotation=0", "zoom=0", "margin=0", "jpeg=0", "erase=0")
ALL = "all parts of the recipe"
DISTILLED = "distillation from MobileNetV2 1.0 at 96 pixels"
PARTS: dict[str, list[str]] = {
    ALL: [],
    "without the fused loss": ["early_fused=0", "late_fused=0"],
    "without stages of the loss's weights (1:1 all along)": ["early_fused=0.5", "late_fused=0.5"],
    "without frozen first steps": ["frozen_steps=0"],
    "without mixup": ["mixup=0"],
    "without label smoothing": ["label_smoothing=0"],
    "without a view of its own for each variant (no augmentation)": [f"views.{part}" for part in NO_VIEWS],
    "without the moving average": ["average=0"],
    "without ImageNet weights": [],
    "with variants missing from the fused loss (0.3)": ["missing=0.3"],
    "with the mean of all variants as teacher (0.3)": ["mutual=0.3"],
    DISTILLED: [],
}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _part_of(data: Path, out: Path, train: int, test: int) -> Path:
    """Link the first so many pictures, in an order that a seed gives, of each class."""
    folder = out / "data"
    for part, count in (("train", train), ("test", test)):
        for source in sorted(path for path in (data / part).iterdir() if path.is_dir()):
            target = folder / part / source.name
            if target.exists():
                continue
            target.mkdir(parents=True)
            files = sorted(source.iterdir())
            random.Random(0).shuffle(files)  # noqa: S311 (dice, no secrets)
            for file in files[:count]:
                (target / file.name).symlink_to(file.resolve())
    return folder


def main(
    data: Annotated[Path, typer.Argument(help="folder with train/CLASS and test/CLASS")],
    *,
    pretrained: Annotated[list[Path], typer.Option(help="ImageNet weights, one file per width: 0.35 and 1.0")],
    out: Annotated[Path, typer.Option(help="folder for the trainings")],
    train: Annotated[int, typer.Option(help="pictures of each class to learn from")] = 800,
    test: Annotated[int, typer.Option(help="pictures of each class to judge by")] = 500,
    epochs: Annotated[int, typer.Option()] = 4,
    seeds: Annotated[int, typer.Option(help="trainings of each kind")] = 1,
    only: Annotated[str, typer.Option(help="parts whose name holds this text, and all of the recipe")] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train and judge."""
    pictures = _part_of(data, out, train, test)
    family, teacher = out / "family.toml", out / "teacher.toml"
    family.write_text(FAMILY, encoding="utf-8")
    teacher.write_text(TEACHER, encoding="utf-8")
    start = [flag for file in pretrained for flag in ("--pretrained", str(file))]
    found: dict[str, list[dict[str, float]]] = {}
    for name, assignments in PARTS.items():
        if only not in name and name != ALL:
            continue
        for seed in range(seeds):
            _say(f"{name}, seed {seed}")
            common = f"--epochs {epochs} --batch 64 --seed {seed} --set frozen_steps={FROZEN_STEPS}".split()
            flags = [*common, *(flag for one in assignments for flag in ("--set", one))]
            if name != "without ImageNet weights":
                flags += start
            if name == DISTILLED:
                taught = trained(str(pictures), out / f"teacher-{seed}", "--family", str(teacher), *common, *start)
                flags += ["--teacher", str(taught)]
            folder = trained(str(pictures), out / f"{list(PARTS).index(name)}-{seed}", "--family", str(family), *flags)
            accuracy = json.loads(vp("eval", str(exported(folder)), str(pictures), "--json"))["accuracy"]
            found.setdefault(name, []).append(
                {
                    "fused": accuracy["fused"],
                    "alone": statistics.fmean(accuracy["variants"]),
                    "two_alive": accuracy["by_alive"]["2"],
                }
            )
    means = {
        name: {key: round(statistics.fmean(run[key] for run in runs), 4) for key in runs[0]}
        for name, runs in found.items()
    }
    if as_json:
        print(json.dumps({"train": train, "test": test, "epochs": epochs, "seeds": seeds, "accuracy": means}))
        return
    table = Table("", "fused", "two alive", "alone")
    for name, run in means.items():
        table.add_row(name, f"{run['fused']:.2%}", f"{run['two_alive']:.2%}", f"{run['alone']:.2%}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
