from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.accuracy import pareto_report
from benchmarks.accuracy.pareto import Point, best, evaluate
from tests.support import tiny
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.training import datasets


def point(ms: float, validation: float, boards: int = 2) -> Point:
    return Point("f", ("0.35 at 96",) * boards, ms, validation, 0.9)


def test_a_slower_family_is_kept_only_if_validation_pictures_say_that_it_is_better() -> None:
    points = [point(3.0, 0.93), point(1.0, 0.9), point(2.0, 0.89), point(1.0, 0.88), point(4.0, 0.93)]
    assert [(one.ms, one.validation) for one in best(points)] == [(1.0, 0.9), (3.0, 0.93)]


def test_every_network_alone_and_the_best_families_are_compared(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for index, name in enumerate(tiny.CLASSES[:3]):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            picture = np.full((60, 60, 3), 40, dtype=np.uint8)
            picture[..., 2 - index] = 200
            for number in range(4):
                cv2.imwrite(str(folder / f"{number}.png"), picture)
    bundle = open_bundle(str(tiny.write_bundle(tmp_path / "tiny")))
    result = evaluate({"six": bundle}, datasets.load(str(tmp_path / "data")), runs=2)
    assert (result["validation_images"], result["images"]) == (12, 12)
    points = result["points"]
    assert [one["networks"] for one in points[:6]] == [(f"0.35 at {side}",) for side in tiny.RESOLUTIONS]
    assert {len(one["networks"]) for one in points} == set(range(1, 7))
    assert all(one["test"] == one["validation"] == 1.0 for one in points)
    assert points[-1]["ms"] == max(one["ms"] for one in points[:6])
    heading, *cells = pareto_report.rows(result)
    assert {len(row) for row in cells} == {len(heading)}
    assert cells[-1][:2] == ["6", "six"]
    pareto_report.draw(result, tmp_path / "pareto.png")
    assert cv2.imread(str(tmp_path / "pareto.png")) is not None
    with pytest.raises(UserError, match="No such file"):
        pareto_report.draw(result, tmp_path / "nowhere" / "pareto.png")
