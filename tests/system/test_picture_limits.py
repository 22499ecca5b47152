"""Limits on pictures hold in whatever order a node imports its modules."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

# Decodes pictures given as a JSON list of [suffix, width, height] whose headers claim that size, as the module named
# on the command line does when it is imported first, and tells what came of each and how much memory that took.
CLAIMS = """
import importlib, json, pathlib, re, sys
importlib.import_module(sys.argv[1])
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import PictureError, decode

def peak_mb():
    return int(re.search(r"VmPeak:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024

before = peak_mb()
said = {}
for file in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    try:
        said[file.name] = list(decode(file.read_bytes(), formats=FILES).shape)
    except PictureError as error:
        said[file.name] = str(error)
print(json.dumps({"said": said, "mb": peak_mb() - before}))
"""


def claiming(width: int, height: int, suffix: str) -> bytes:
    """Return a small picture whose header claims another size."""
    done, picture = cv2.imencode(suffix, np.full((30, 40, 3), (0, 0, 255), dtype=np.uint8))
    assert done
    data = bytearray(picture.tobytes())
    match suffix:
        case ".jpg":
            start = data.index(b"\xff\xc0")  # the frame header, SOF0
            data[start + 5 : start + 9] = struct.pack(">HH", height, width)
        case ".png":
            data[16:24] = struct.pack(">II", width, height)
            data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        case ".bmp":
            data[18:26] = struct.pack("<ii", width, height)
        case ".ppm":
            data = data.replace(b"40 30", f"{width} {height}".encode(), 1)
    return bytes(data)


# A node imports what it needs in an order of its own, and OpenCV reads its limits but once.
@pytest.mark.parametrize(
    "module", ["vp_mqtt.inference.pictures", "vp_mqtt.nodes.variant", "vp_mqtt.nodes.camera", "vp_mqtt.cli.app"]
)
def test_a_picture_that_claims_too_many_pixels_is_refused_before_memory_is_taken_for_it(
    module: str, tmp_path: Path
) -> None:
    sizes = [(60_000, 60_000), (10_000, 10_000), (5_000, 5_001)]
    for suffix in (".jpg", ".png", ".bmp", ".ppm"):
        for width, height in sizes:
            (tmp_path / f"{width}x{height}{suffix}").write_bytes(claiming(width, height, suffix))
    # What this process has told OpenCV is not to be handed down.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    command = [sys.executable, "-c", CLAIMS, module, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    result = json.loads(done.stdout)
    assert result["said"] == {file.name: "picture too large" for file in tmp_path.iterdir()}
    assert result["mb"] < 50
