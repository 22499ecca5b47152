"""Runtimes in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_board_tells_nobody_what_it_does(tmp_path: Path, bundle: Path) -> None:
    script = (
        "import sys; from vp_mqtt.bundle.folder import open_bundle; from vp_mqtt.inference.runtimes import load;"
        "load('onnxruntime', open_bundle(sys.argv[1]).model_bytes(0), resolution=16, classes=4, threads=1)"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    # ONNX Runtime's own reports are kept under the user's cache folder until they are sent.
    assert list(tmp_path.iterdir()) == []
