"""Which pictures are held out, and the results of a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.web.teaching.collection import Collection, CollectionError
from vp_mqtt.web.teaching.job import JobState, JobView
from vp_mqtt.web.teaching.split import divide, held_out
from vp_mqtt.web.teaching.trainer import as_result, is_refusal

NAMES = st.lists(st.text("abcdef0123456789-", min_size=1, max_size=12), unique=True)


@given(NAMES)
def test_some_are_held_out_and_some_are_learnt(names: list[str]) -> None:
    chosen = held_out(names)
    assert chosen <= set(names)
    if len(names) > 1:
        assert 0 < len(chosen) < len(names)


@given(NAMES.filter(lambda names: len(names) >= 20), NAMES)
def test_what_was_learnt_is_not_held_out_later(before: list[str], more: list[str]) -> None:
    after = held_out(list({*before, *more}))
    assert after & (set(before) - held_out(before)) == set()


def test_about_a_fifth_is_held_out() -> None:
    assert 150 < len(held_out([f"cam0-{number}.jpg" for number in range(1000)])) < 250


def test_pictures_are_linked_into_parts_and_too_few_are_refused(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "pictures")
    collection.open()
    for name, count in (("cup", 9), ("spoon", 5), ("empty", 0)):
        collection.create(name)
        for number in range(count):
            collection.add(name, b"%d" % number, f"{number}.jpg")
    for _ in range(2):
        divide(collection, tmp_path / "split")
    linked = sorted(path.relative_to(tmp_path / "split").parts for path in (tmp_path / "split").glob("*/*/*"))
    assert len(linked) == 14
    assert {(part, name) for part, name, _ in linked} == {(p, n) for p in ("train", "test") for n in ("cup", "spoon")}
    assert (tmp_path / "split" / Path(*linked[0])).read_bytes() == linked[0][2][0].encode()
    collection.delete("spoon", ["0.jpg"])
    with pytest.raises(CollectionError, match="'spoon' has 4 pictures"):
        divide(collection, tmp_path / "split")
    collection.delete_class("spoon")
    with pytest.raises(CollectionError, match="two classes"):
        divide(collection, tmp_path / "split")


def test_what_vp_teach_says_becomes_a_result() -> None:
    outcome = {"images": 4, "fused": 0.5, "variants": [0.5], "unknown": None, "confusion": [[1, 1], [1, 1]]}
    found = {
        "bundle": "home-1",
        "digest": "0000002a",
        "out": "/bundles/1",
        "classes": ["cup", "spoon"],
        "pictures": 20,
        "zoom": 1.15,
        "seconds": 3.5,
        "advice": [],
        "cross_validated": {"fused": 0.8, "variants": [0.8]},
        "outcome": outcome,
        "interval": [0.15, 0.85],
        "outcome_before": None,
        "interval_before": None,
        "doubtful": [{"picture": "/t/split/test/cup/more/a.jpg", "class": "cup", "seems": "spoon", "confidence": 0.9}],
    }
    result = as_result(found, Path("/t/split"))
    assert result.doubtful[0].file == "cup/more/a.jpg"
    assert (result.after.fused, result.before, result.cross_validated) == (0.5, None, 0.8)
    assert (result.zoom, round(result.hidden_edge, 3)) == (1.15, 0.065)
    del found["outcome"]
    with pytest.raises(ValueError, match="outcome"):
        as_result(found, Path("/t/split"))


def test_a_push_that_access_rules_forbid_is_told_from_other_failures() -> None:
    failed = JobView("send", JobState.FAILED, "", 0.0, 1.0, (), "it has not kept the bundle whole")
    assert not is_refusal(failed)
    assert is_refusal(replace(failed, log=("the broker refuses a message of ours (Not authorized)",)))
    assert not is_refusal(replace(failed, log=("Not authorized",), problem=""))
