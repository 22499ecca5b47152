from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.tiny import model
from vp_mqtt.errors import UserError
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.runtimes import Predictor, fastest, installed, load, load_fastest

ANSWER = np.array([0.1, 0.9], dtype=np.float32)


class Clock:
    """A clock that moves only when a predictor works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def predictor(self, seconds: float, answer: NDArray[np.float32] = ANSWER) -> Predictor:
        def predict(_batch: NDArray[np.float32]) -> NDArray[np.float32]:
            self.now += seconds
            return answer

        return predict


@pytest.mark.parametrize(
    ("second", "winner"),
    [
        (lambda clock: clock.predictor(0.002), "other"),
        (lambda clock: clock.predictor(0.0098), "first"),
        (lambda clock: clock.predictor(0.020), "first"),
        (lambda clock: clock.predictor(0.001, 1 - ANSWER), "first"),
    ],
    ids=["faster", "hardly faster", "slower", "faster but wrong"],
)
def test_the_fastest_that_is_right_wins_if_it_is_worth_it(second: Callable[[Clock], Predictor], winner: str) -> None:
    clock = Clock()
    name, times = fastest({"first": clock.predictor(0.010), "other": second(clock)}, 16, clock)
    assert name == winner
    assert times["first"] == pytest.approx(10)


def test_every_runtime_that_is_installed_gives_the_same_answer() -> None:
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    answers = {name: load(name, model(16), resolution=16, classes=4, threads=1)(picture) for name in installed()}
    assert "onnxruntime" in answers
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["onnxruntime"], atol=1e-5)


def test_the_measurement_is_done_once_and_a_broken_memory_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "installed", lambda: {"onnxruntime": "1", "other": "2"})
    real, loads = runtimes.load, []

    def counted(name: str, data: bytes, **shape: int) -> Predictor:
        loads.append(name)
        return real("onnxruntime", data, **shape)

    monkeypatch.setattr(runtimes, "load", counted)
    cache = tmp_path / "deep" / "runtimes.json"
    first, _ = load_fastest(model(16), resolution=16, classes=4, threads=1, cache=cache)
    assert loads == ["onnxruntime", "other"]
    assert list(json.loads(cache.read_text(encoding="utf-8")).values()) == [first]
    again, predict = load_fastest(model(16), resolution=16, classes=4, threads=1, cache=cache)
    assert (again, loads[2:]) == (first, [first])
    assert predict(np.zeros((1, 3, 16, 16), np.float32)).shape == (4,)
    for content in ("not JSON", "[]", '{"key": 1}'):
        cache.write_text(content, encoding="utf-8")
        load_fastest(model(16), resolution=16, classes=4, threads=1, cache=cache)
    load_fastest(model(16), resolution=16, classes=4, threads=1, cache=Path("/dev/null/runtimes.json"))


def test_a_runtime_that_is_missing_or_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "installed", lambda: {"onnxruntime": "1"})
    with pytest.raises(UserError, match=r"pip install openvino"):
        load("openvino", model(16), resolution=16, classes=4, threads=1)
    for name in ("onnxruntime",):
        with pytest.raises(UserError, match="cannot be run"):
            load(name, b"no model", resolution=16, classes=4, threads=1)
    monkeypatch.setattr(runtimes, "installed", lambda: {"onnxruntime": "1", "openvino": "2"})
    with pytest.raises(UserError, match="no runtime can run the model"):
        load_fastest(b"no model", resolution=16, classes=4, threads=1, cache=Path("/dev/null/runtimes.json"))
