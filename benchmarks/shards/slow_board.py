"""A variant node on a slow board: `python -m benchmarks.shards.slow_board SECONDS leaves|stays vp-node's FLAGS`.

Its model waits for so long with each frame, so that several boards can be measured on a machine of few cores.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.cli.app import node_main
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.runtimes import Predictor
from vp_mqtt.nodes import replica_gate


def main() -> None:
    """Run the node."""
    seconds, behaviour, *flags = sys.argv[1:]
    load = runtimes.load

    def load_slow(runtime: str, model: bytes, *, resolution: int, classes: int, threads: int) -> Predictor:
        predict = load(runtime, model, resolution=resolution, classes=classes, threads=threads)

        def predict_slowly(picture: NDArray[np.float32]) -> NDArray[np.float32]:
            time.sleep(float(seconds))
            return predict(picture)

        return predict_slowly

    runtimes.load = load_slow
    if behaviour == "stays":
        replica_gate.LONGEST_WAIT_S = math.inf
    sys.argv[1:] = [*flags, "--runtime", "onnxruntime"]
    node_main()


if __name__ == "__main__":
    main()
