"""What a model must answer in its trial; the trial itself is in tests/system/test_model_trial.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference import trial
from vp_mqtt.inference.trial import Trial, check_answers

TRIAL = Trial(model="/model.onnx", runtime="onnxruntime", resolution=16, classes=4, k=2, threads=1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: np.full(4, 0.25, np.float32), None),
        (lambda _: np.full(5, 0.2, np.float32), "it gives 5 values for 4 classes"),
        (lambda _: np.full(4, 7, np.float32), "probabilities must be 0 to 1"),
        (lambda _: np.full(4, np.inf, np.float32), "probabilities must be finite"),
        (lambda picture: np.full(4, np.nan if picture.std() else 0.25, np.float32), "probabilities must be finite"),
    ],
)
def test_answers_are_probabilities_for_noise_too(
    answer: Callable[[NDArray[np.float32]], NDArray[np.float32]], reason: str | None
) -> None:
    if reason is None:
        check_answers(answer, TRIAL)
    else:
        with pytest.raises(ValueError, match=reason):
            check_answers(answer, TRIAL)


def test_a_model_that_is_too_slow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SLOWEST_S", -1.0)
    with pytest.raises(UserError, match="it takes more than -1 s for a picture"):
        check_answers(lambda _: np.full(4, 0.25, np.float32), TRIAL)
