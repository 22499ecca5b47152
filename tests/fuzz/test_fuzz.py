"""A short run of the fuzzer's targets with hypothesis; the long, coverage-guided one is `python -m tests.fuzz.run`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.nasty import NASTY
from tests.fuzz.targets import TARGETS

_SEEDS = {name: inputs[0] for name, inputs in NASTY.items()}


@pytest.mark.parametrize("name", TARGETS)
def test_nasty_inputs_are_refused_in_an_orderly_way(name: str) -> None:
    assert len(NASTY[name]) > 5
    for data in NASTY[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_and_changed_good_ones(name: str, data: st.DataObject) -> None:
    good = _SEEDS[name]
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 8)))
    patch = data.draw(st.binary(max_size=16))
    TARGETS[name](patch)
    TARGETS[name](good[:start] + patch + good[end:])
