"""Tries a model in a process of its own, with limits of time and memory, before a node runs it.

Whatever the model does there, fail, crash, hang or fill the memory, only that process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vp_mqtt.bundle.fetch import Interrupted
from vp_mqtt.errors import UserError
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.runtimes import Predictor
from vp_mqtt.protocol.votes import select

LIMIT_S = 60.0
"""For the whole trial: slow boards take several seconds to import a runtime."""
MEMORY_MB = 256
"""For a model, beside the runtime itself: each runtime runs our largest in 64 MB."""
SLOWEST_S = 5.0
"""For one picture."""
_POLL_S = 0.05
_NOISE_PICTURES = 3
_DIGEST = bytes(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried.

    Attributes:
        model: the model's file.
        runtime: a runtime's name, or "auto" for the fastest.
        resolution: side of the input, in pixels.
        classes: number of classes of the family.
        k: classes in a vote.
        threads: number of threads of the runtime, at least 1.
    """

    model: str
    runtime: str
    resolution: int
    classes: int
    k: int
    threads: int

    def run(self, pause: Callable[[float], bool]) -> str:
        """Try the model, and return the name of the runtime that it ran in.

        Args:
            pause: called while waiting; returns whether the node has been told to stop.

        Raises:
            UserError: the model cannot be run, gives no probabilities, or takes too much time or memory.
            Interrupted: the node has been told to stop.
        """
        command = [sys.executable, "-P", "-m", "vp_mqtt.inference.trial", json.dumps(asdict(self))]
        until = time.monotonic() + LIMIT_S
        # Not in the node's folder, where its files are.
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
        ) as process:
            try:
                while process.poll() is None:
                    if time.monotonic() > until:
                        raise UserError(f"the model fails its trial: it takes more than {LIMIT_S:g} s")
                    if pause(_POLL_S):
                        raise Interrupted
            finally:
                process.kill()
            said = process.stdout.read(10_000) if process.stdout is not None else b""
        return _result(said, process.returncode)


def _result(said: bytes, code: int) -> str:
    try:
        answer = json.loads(said)
        if isinstance(answer.get("runtime"), str):
            return str(answer["runtime"])
        reason = str(answer["error"])
    except (ValueError, KeyError, AttributeError):
        cause = {-signal.SIGXCPU: "it never ends", -signal.SIGKILL: "it takes too much memory or time"}
        reason = cause.get(code, "it crashes the runtime")
    raise UserError(f"the model fails its trial: {reason}")


def _limit(threads: int) -> None:
    """Limit this process to the memory that it has now and some more, and to a time."""
    with contextlib.suppress(OSError):
        # Where memory runs out, this process is to end, not the node.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    seconds = int(LIMIT_S * threads)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
        # Each thread has a stack of 8 MB, and as much again of the allocator's own.
        most = now + (MEMORY_MB + 16 * threads) * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _load(trial: Trial, model: bytes) -> tuple[str, Predictor]:
    resolution, classes, threads = trial.resolution, trial.classes, trial.threads
    if trial.runtime == runtimes.AUTO:
        return runtimes.load_fastest(model, resolution=resolution, classes=classes, threads=threads)
    predict = runtimes.load(trial.runtime, model, resolution=resolution, classes=classes, threads=threads)
    return trial.runtime, predict


def check_answers(predict: Predictor, trial: Trial) -> None:
    """Check that a model gives probabilities, for pictures of one colour and for noise, and in time.

    Raises:
        ValueError: it does not.
        UserError: it is too slow.
    """
    shape = (1, 3, trial.resolution, trial.resolution)
    noise = np.random.default_rng(0)
    pictures = [np.full(shape, value, dtype=np.float32) for value in (-1, 0, 1)]
    pictures += [noise.uniform(-1, 1, shape).astype(np.float32) for _ in range(_NOISE_PICTURES)]
    for picture in pictures:
        started = time.monotonic()
        probabilities = predict(picture)
        if probabilities.shape != (trial.classes,):
            raise ValueError(f"it gives {probabilities.size} values for {trial.classes} classes")
        select(probabilities, trial.k, _DIGEST)
        if time.monotonic() - started > SLOWEST_S:
            raise UserError(f"it takes more than {SLOWEST_S:g} s for a picture")


def main() -> None:
    """Try the model that the first argument describes, and print what came of it, in JSON."""
    trial = Trial(**json.loads(sys.argv[1]))
    model = Path(trial.model).read_bytes()
    for name in runtimes.installed():
        if trial.runtime in {name, runtimes.AUTO}:
            runtimes.import_runtime(name)
    _limit(trial.threads)
    try:
        name, predict = _load(trial, model)
        check_answers(predict, trial)
        answer = {"runtime": name}
    except Exception as error:  # noqa: BLE001 (whatever a runtime raises is the answer)
        answer = {"error": (str(error) or type(error).__name__).splitlines()[0][:300]}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    # A runtime's threads may not end.
    os._exit(0)


if __name__ == "__main__":
    main()
