"""Ablation: what each part of the training recipe contributes.

Trains one small family again and again on a subset of a data set, each time with one part of the recipe switched off or
added, and evaluates each with `vp eval` on test pictures. Finished trainings are not repeated.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.trainings import export, run_vp, train

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
# The recipe's own number is meant for longer trainings: most steps of these short ones would be frozen.
FROZEN_STEPS = 40
_NO_VIEWS = ("flip=0", "rotation=0", "zoom=0", "margin=0", "jpeg=0", "erase=0")
ALL = "all parts of the recipe"
WITHOUT_WEIGHTS = "without ImageNet weights"
DISTILLED = "distillation from MobileNetV2 1.0 at 96 pixels"
PARTS: dict[str, list[str]] = {
    ALL: [],
    "without the fused loss": ["early_fused=0", "late_fused=0"],
    "without stages of the loss's weights (1:1 all along)": ["early_fused=0.5", "late_fused=0.5"],
    "without frozen first steps": ["frozen_steps=0"],
    "without mixup": ["mixup=0"],
    "without label smoothing": ["label_smoothing=0"],
    "without a view of its own for each variant (no augmentation)": [f"views.{part}" for part in _NO_VIEWS],
    "without the moving average": ["average=0"],
    WITHOUT_WEIGHTS: [],
    "with variants missing from the fused loss (0.3)": ["missing=0.3"],
    "with the mean of all variants as teacher (0.3)": ["mutual=0.3"],
    DISTILLED: [],
}


@dataclass(frozen=True)
class AblationSettings:
    """What is trained.

    Attributes:
        data: folder with train/CLASS and test/CLASS.
        pretrained: ImageNet weights, one file per width: 0.35 and 1.0.
        out: folder for the trainings.
        train: training pictures of each class.
        test: test pictures of each class.
        epochs: epochs of each training.
        seeds: trainings of each kind.
        only: text in the names of the parts to train, in addition to the complete recipe.
    """

    data: Path
    pretrained: Sequence[Path]
    out: Path
    train: int
    test: int
    epochs: int
    seeds: int
    only: str


def _subset(data: Path, out: Path, train: int, test: int) -> Path:
    """Link a random selection of so many pictures of each class, the same every time, and return its folder."""
    folder = out / "data"
    for part, count in (("train", train), ("test", test)):
        for source in sorted(path for path in (data / part).iterdir() if path.is_dir()):
            target = folder / part / source.name
            if target.exists():
                continue
            target.mkdir(parents=True)
            files = sorted(source.iterdir())
            random.Random(0).shuffle(files)  # noqa: S311 (not for secrets)
            for file in files[:count]:
                (target / file.name).symlink_to(file.resolve())
    return folder


def run_ablation(settings: AblationSettings, report: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Train and evaluate every part; return mean accuracies, 0..1, by part: "fused", "alone", "two_alive".

    Raises:
        UserError: a training failed.
    """
    pictures = str(_subset(settings.data, settings.out, settings.train, settings.test))
    (settings.out / "family.toml").write_text(FAMILY, encoding="utf-8")
    (settings.out / "teacher.toml").write_text(TEACHER, encoding="utf-8")
    means: dict[str, dict[str, float]] = {}
    for name in PARTS:
        if settings.only not in name and name != ALL:
            continue
        runs = []
        for seed in range(settings.seeds):
            report(f"{name}, seed {seed}")
            runs.append(_train_and_evaluate(settings, pictures, name, seed))
        means[name] = {key: round(statistics.fmean(run[key] for run in runs), 4) for key in runs[0]}
    return means


def _train_and_evaluate(settings: AblationSettings, pictures: str, name: str, seed: int) -> dict[str, float]:
    out = settings.out
    common = f"--epochs {settings.epochs} --batch 64 --seed {seed} --set frozen_steps={FROZEN_STEPS}".split()
    start = [flag for file in settings.pretrained for flag in ("--pretrained", str(file))]
    flags = [*common, *(flag for one in PARTS[name] for flag in ("--set", one))]
    if name != WITHOUT_WEIGHTS:
        flags += start
    if name == DISTILLED:
        teacher = train(pictures, out / f"teacher-{seed}", "--family", str(out / "teacher.toml"), *common, *start)
        flags += ["--teacher", str(teacher)]
    folder = out / f"{list(PARTS).index(name)}-{seed}"
    bundle = export(train(pictures, folder, "--family", str(out / "family.toml"), *flags))
    accuracy = json.loads(run_vp("eval", str(bundle), pictures, "--no-jpeg", "--json"))["accuracy"]
    return {
        "fused": accuracy["fused"],
        "alone": statistics.fmean(accuracy["variants"]),
        "two_alive": accuracy["by_alive"]["2"],
    }
