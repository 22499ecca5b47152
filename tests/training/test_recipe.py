"""Recipes: included ones, files, and assignments on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.training.recipe import read_recipe


def test_a_recipe_comes_from_a_file_and_assignments_which_win(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("mixup = 0.4\nepochs = 3\n[views]\nflip = 0.0\n", encoding="utf-8")
    recipe = read_recipe(str(tmp_path / "recipe.toml"), ["mixup=0", "views.erase=0.1"], epochs=10, batch=7)
    assert (recipe.mixup, recipe.epochs, recipe.batch) == (0, 3, 7)
    assert (recipe.views.flip, recipe.views.erase) == (0, 0.1)
    assert read_recipe("small-pictures", []).label_smoothing == 0.02
    assert read_recipe("few-pictures", []).frozen_blocks == 11


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("mixup", "write NAME=VALUE"),
        ("mixup=", "write a number"),
        ("views.nope=1", "there is flip"),
        ("mixup=-1", "mixup: must be at least 0"),
        ("mixin=1", "mixin: there is no such key; there is epochs, batch"),
        ("views.tilt=1", "views.tilt"),
        ("batch.size=1", "batch is not a table"),
    ],
)
def test_a_wrong_part_of_a_recipe_is_reported(assignment: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        read_recipe(None, [assignment], batch=8)


def test_a_missing_recipe_is_reported() -> None:
    with pytest.raises(UserError, match="No such file"):
        read_recipe("nowhere.toml", [])
