"""`vp bench speed` and `vp bench plan`: what goes where, and families of equal cost."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.site.assignment import BoardSpeed, VariantSpeed, propose, read_board, slowest
from vp_mqtt.site.bottleneck import assign, least_sum
from vp_mqtt.training.cost import Cost
from vp_mqtt.training.equal_cost import EqualCost, equal_cost
from vp_mqtt.training.presets import load_family


def board(name: str, *times: float, family: str = "paper") -> BoardSpeed:
    speeds = tuple(VariantSpeed(index=index, total_ms=ms) for index, ms in enumerate(times))
    return BoardSpeed(board=name, family=family, variants=speeds)


# What goes where


def test_the_proposal_is_the_best_of_all() -> None:
    dice = random.Random(1)
    for _ in range(300):
        variants = dice.randint(1, 5)
        boards = dice.randint(variants, 6)
        # Few different times: ties are where such methods go wrong.
        times = [[float(dice.randint(1, 6)) for _ in range(boards)] for _ in range(variants)]
        ways = list(itertools.permutations(range(boards), variants))
        all_times = [[times[v][b] for v, b in enumerate(way)] for way in ways]
        found = [times[v][b] for v, b in enumerate(assign(times))]
        assert len(set(assign(times))) == variants
        assert (max(found), sum(found)) == min((max(one), sum(one)) for one in all_times)
        cheapest = least_sum(times)
        assert cheapest is not None
        assert sum(times[v][b] for v, b in enumerate(cheapest)) == min(sum(one) for one in all_times)


def test_large_sites_are_planned_too() -> None:
    dice = random.Random(2)
    times = [[dice.uniform(1, 100) for _ in range(64)] for _ in range(64)]
    assert sorted(assign(times)) == list(range(64))


def test_fewer_boards_than_variants_cannot_be_assigned() -> None:
    with pytest.raises(ValueError, match="2 variants and 1 boards"):
        assign([[1.0], [2.0]])


def test_the_fastest_board_gets_the_most_expensive_variant() -> None:
    plan = propose([board("fast", 1, 2, 4), board("slow", 4, 8, 16), board("middle", 2, 4, 8)])
    assert {place.board: place.variant for place in plan.proposed} == {"fast": 2, "slow": 0, "middle": 1}
    assert slowest(plan.proposed) == 4
    assert slowest(plan.plain) == 8
    report = plan.as_dict()
    assert (report["slowest_ms"], report["plain_slowest_ms"], report["gain"]) == (4, 8, 2.0)


def test_boards_may_be_spare_variants_left_out_and_one_kind_of_board_named_twice() -> None:
    plan = propose([board("pi", 1, 2, 3), board("pi", 1, 2, 3), board("old", 9, 9, 9)], [1, 2])
    assert [(place.variant, place.ms) for place in plan.proposed] == [(1, 2), (2, 3)]
    assert {place.board for place in plan.proposed} == {"pi", "pi-2"}
    assert plan.spare == ("old",)


def test_what_cannot_be_planned_is_reported() -> None:
    with pytest.raises(UserError, match="1 boards for 2 variants: choose 1 of them with --variants"):
        propose([board("a", 1, 2)])
    with pytest.raises(UserError, match="measured with 'small'"):
        propose([board("a", 1), board("b", 1, family="small")])
    with pytest.raises(UserError, match="board 'b': variant 1 was not measured"):
        propose([board("a", 1, 2), board("b", 1)])


def test_speeds_that_are_none_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    with pytest.raises(UserError, match="No such file"):
        read_board(path)
    for text in ("", "[]", "{}", '{"board": "a", "family": "f", "variants": [{"index": 0, "total_ms": 0}]}'):
        path.write_text(text)
        with pytest.raises(UserError, match="not what `vp bench speed --json` prints") as caught:
            read_board(path)
        assert "\n" not in str(caught.value)


# Equal cost


def count(spec: VariantSpec, classes: int) -> Cost:
    """Cost as it nearly is, without building a network."""
    return Cost(int(2e6 * spec.alpha**2), int(7000 * spec.resolution**2 * spec.alpha**2 * (1 + classes / 1e6)))


def proposed(**chosen: Any) -> EqualCost:
    return equal_cost(load_family("paper"), 10, count=count, **chosen)


def test_variants_of_equal_cost_are_proposed() -> None:
    found = proposed()
    report = found.as_dict()
    assert report["target_macs"] == pytest.approx(report["before"]["total_macs"] / 6, rel=1e-6)
    assert report["after"]["dearest_to_cheapest"] < 1.35
    assert report["dearest_ratio"] > 1.4
    assert report["total_ratio"] == pytest.approx(1, abs=0.15)
    resolutions = [spec.resolution for spec, _ in found.after]
    assert resolutions == sorted(resolutions)
    assert len({(spec.resolution, spec.alpha) for spec, _ in found.after}) == 6
    # Small pictures are looked at by wide networks.
    assert found.after[0][0].alpha > found.after[-1][0].alpha


def test_cost_and_widths_may_be_chosen() -> None:
    widths = (0.35, 0.5, 0.75, 1.0)
    found = proposed(target=20e6, widths=widths)
    assert all(spec.alpha in widths for spec, _ in found.after)
    assert all(own.macs == pytest.approx(20e6, rel=0.35) for _, own in found.after)
    with pytest.raises(UserError, match=r"no variant like that of 96 pixels costs 9000\.0 M MACs"):
        proposed(target=9e9, widths=(0.35,))
