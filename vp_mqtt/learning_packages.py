"""Which packages learning needs, without importing any."""

from __future__ import annotations

import importlib.util

_TEACHING = ("onnx", "scipy", "threadpoolctl")
_TRAINING = ("torch", "onnxscript", "matplotlib", *_TEACHING)


def missing_for_teaching() -> list[str]:
    """Return what is not installed of what classifiers and calibration need; torch is not among it."""
    return _missing(_TEACHING)


def missing_for_training() -> list[str]:
    """Return what is not installed of what training, its export and its plots need."""
    return _missing(_TRAINING)


def _missing(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(name) is None]
