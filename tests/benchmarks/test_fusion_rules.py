from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.residual_rules import RULES, accuracy, held_back, left_out, multiplied, normalised, spread
from tests.support import tiny
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, sum_alive

_VARIANTS, _COUNT, _CLASSES = 3, 5, 6


def _probabilities(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(_CLASSES), (_VARIANTS, _COUNT)).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, _CLASSES))
def test_the_papers_rule_is_what_the_fusion_node_does(seed: int, k: int) -> None:
    votes = BatchVotes.select(_probabilities(seed), k)
    weights = [0.5, 1.0, 0.25]
    expected = sum_alive(votes.shares(weights, k), range(_VARIANTS))
    found = np.einsum("v,vnc->nc", weights, left_out(votes))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, _CLASSES - 1))
def test_what_becomes_of_the_residual(seed: int, k: int) -> None:
    votes = BatchVotes.select(_probabilities(seed), k)
    np.testing.assert_allclose(spread(votes).sum(axis=2), 1, atol=1e-4)
    np.testing.assert_allclose(normalised(votes).sum(axis=2), 1, atol=1e-9)
    kept = votes.probabilities.sum(axis=2)
    np.testing.assert_allclose(held_back(votes).sum(axis=2), kept**2, atol=1e-9)
    np.testing.assert_allclose(np.exp(multiplied(votes)), np.maximum(spread(votes), 1e-6), atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1))
def test_alone_a_variant_is_as_right_under_every_rule(seed: int) -> None:
    probabilities = _probabilities(seed)
    votes = BatchVotes.select(probabilities, 3)
    labels = np.zeros(_COUNT, dtype=np.int64)
    expected = float((probabilities[1].argmax(axis=1) == 0).mean())
    for rule in RULES.values():
        # Rounding to the steps of the wire may make two equal, in all rules alike.
        assert accuracy(rule(votes), [1.0] * _VARIANTS, labels, [1]) == pytest.approx(expected, abs=1 / _COUNT)


def test_the_command_evaluates_every_rule(tmp_path: Path) -> None:
    colours = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0), "grey": (90, 90, 90)}
    for part in ("train", "val", "test"):
        for name, colour in colours.items():
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for index in range(2):
                picture = np.full((40, 40, 3), colour, dtype=np.uint8)
                cv2.imwrite(str(tmp_path / "data" / part / name / f"{index}.png"), picture)
    bundle = tiny.write_bundle(tmp_path / "bundle")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vp_mqtt", "bench", "fusion", str(bundle), str(tmp_path / "data"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    ended = run("--k", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["k"] == 1
    assert len(report["rules"]) == 4 * len(RULES)
    # The tiny bundle tells pure colours apart, whatever becomes of the rest.
    assert {(one["validation"], one["test"], one["half"]) for one in report["rules"]} == {(1.0, 1.0, 1.0)}
    refused = run("--k", "3")
    assert refused.returncode == 2
    assert "at most half of the classes" in refused.stderr
