"""The runtimes for models: loads a model in one of them, or in the one that is the fastest on this board."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.files import cache_folder, write_to_cache
from vp_mqtt.logs import LOGGER

AUTO = "auto"
RUNTIMES = ("onnxruntime", "openvino")
"""Names of the runtimes, and of their Python distributions."""

_ROUNDS = 15
_LEAST_GAIN = 1.05
_LARGEST_DIFFERENCE = 0.01


Predictor = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps a picture, shape (1, 3, resolution, resolution), to its probabilities, shape (classes,); both float32."""


def installed() -> dict[str, str]:
    """Return the version of every runtime that is installed, by its name."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def import_runtime(runtime: str) -> None:
    """Import what `load` imports for a runtime that is installed."""
    importlib.import_module({"openvino": "vp_mqtt.inference.openvino"}.get(runtime, "vp_mqtt.inference.onnx"))


def load(runtime: str, model: bytes, *, resolution: int, classes: int, threads: int) -> Predictor:
    """Load a model in a runtime.

    Args:
        runtime: "onnxruntime" or "openvino".
        model: in ONNX, see `OnnxPredictor`.
        resolution: side of the input, in pixels.
        classes: number of classes of the family.
        threads: number of threads of the runtime, at least 1.

    Raises:
        UserError: the runtime is not installed, or cannot run the model.
    """
    if runtime not in installed():
        raise UserError(f"--runtime {runtime}: not installed; `pip install {runtime}`")
    if runtime == "openvino":
        from vp_mqtt.inference.openvino import OpenVinoPredictor  # noqa: PLC0415 (an extra, and slow to import)

        return OpenVinoPredictor(model, resolution=resolution, classes=classes, threads=threads)
    from vp_mqtt.inference.onnx import OnnxPredictor  # noqa: PLC0415 (not needed where another is chosen)

    return OnnxPredictor(model, resolution=resolution, classes=classes, threads=threads)


def load_fastest(
    model: bytes, *, resolution: int, classes: int, threads: int, cache: Path | None = None
) -> tuple[str, Predictor]:
    """Load a model in the runtime that is the fastest here, which is measured once per model, threads and runtimes.

    Args:
        model: in ONNX, see `OnnxPredictor`.
        resolution: side of the input, in pixels.
        classes: number of classes of the family.
        threads: number of threads of the runtime, at least 1.
        cache: file with the results of earlier measurements; by default in the cache folder.

    Returns:
        The runtime's name, and the model loaded in it.

    Raises:
        UserError: no runtime can run the model.
    """
    versions = installed()

    def loaded(name: str) -> Predictor:
        return load(name, model, resolution=resolution, classes=classes, threads=threads)

    if len(versions) == 1:
        (name,) = versions
        return name, loaded(name)
    path = cache or cache_folder() / "runtimes.json"
    known = _read_results(path)
    conditions = json.dumps([hashlib.sha256(model).hexdigest(), threads, versions], sort_keys=True)
    key = hashlib.sha256(conditions.encode()).hexdigest()
    name = known.get(key, "")
    if name in versions:
        LOGGER.info("runtime %s, the fastest in an earlier measurement", name)
        return name, loaded(name)
    candidates: dict[str, Predictor] = {}
    for candidate in versions:
        try:
            candidates[candidate] = loaded(candidate)
        except UserError as error:
            LOGGER.warning("%s", error)
    if not candidates:
        raise UserError("no runtime can run the model; export the bundle again")
    name, times = fastest(candidates, resolution)
    LOGGER.info("runtime %s: %s", name, ", ".join(f"{one} {ms:.2f} ms" for one, ms in times.items()))
    _write_results(path, known | {key: name})
    return name, candidates[name]


def fastest(
    candidates: dict[str, Predictor], resolution: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[str, dict[str, float]]:
    """Measure candidates in turns, and return the winner.

    The first one wins unless another is at least 5 % faster; one whose answer differs from the first's cannot win.

    Args:
        candidates: predictors by name, at least one.
        resolution: side of the input, in pixels.
        clock: returns the time, in seconds.

    Returns:
        The winner's name, and every candidate's median time, in ms.
    """
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, resolution, resolution)).astype(np.float32)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    answers: dict[str, NDArray[np.float32]] = {}
    for _ in range(_ROUNDS):
        for name, predict in candidates.items():
            start = clock()
            answers[name] = predict(picture)
            times[name].append((clock() - start) * 1000)
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    first = next(iter(candidates))
    winner = first
    for name, median in medians.items():
        agrees = float(np.abs(answers[name] - answers[first]).max()) < _LARGEST_DIFFERENCE
        if agrees and median * _LEAST_GAIN < medians[winner]:
            winner = name
    return winner, medians


def _read_results(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: name for key, name in content.items() if isinstance(name, str)}


def _write_results(path: Path, known: dict[str, str]) -> None:
    try:
        write_to_cache(path, json.dumps(known, indent=1))
    except UserError as error:
        LOGGER.debug("%s", error)
