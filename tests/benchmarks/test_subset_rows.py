from __future__ import annotations

import json

from benchmarks.accuracy.subset_rows import subsets
from benchmarks.tables import read_result
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.demo.reference import REFERENCE


def test_the_largest_weights_are_beside_the_worst_and_the_best_choice() -> None:
    by_subset = {"0": 0.5, "1": 0.7, "2": 0.8, "0,1": 0.91, "0,2": 0.6, "1,2": 0.9, "0,1,2": 0.95}
    _, _, three, two, one = subsets({"x": {"ranked": [2, 0, 1], "by_subset": by_subset}})
    assert three == ["3", "95.00 % (0,1,2)", ""]
    assert two == ["2", "60.00 % (0,2)", "60.00 % (0,2), 91.00 % (0,1)"]
    assert one == ["1", "80.00 % (2)", "50.00 % (0), 80.00 % (2)"]


def test_the_measured_families_are_the_bundled_ones_and_the_demo_shows_the_same() -> None:
    result = read_result("subsets")["result"]
    for name, one in result.items():
        manifest = open_bundle(name).manifest
        assert one["digest"] == manifest.digest.hex(), "run `vp eval` again, see the file's command"
        assert one["ranked"] == list(manifest.ranked())
    shown = json.loads(REFERENCE.read_text(encoding="utf-8"))
    assert shown == {key: result["fashion-mnist"][key] for key in ("digest", "images", "by_subset")}
