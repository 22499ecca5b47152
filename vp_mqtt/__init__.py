"""Variant parallelism over MQTT: image recognition on a handful of cheap boards.

The method is that of Asadi and Goudarzi, "Variant Parallelism: Lightweight Deep Convolutional Models for Distributed
Inference on IoT Devices", IEEE Internet of Things Journal 2023, arXiv 2210.08376.
"""

import os

# OpenCV reads this once, when it is loaded, which must not be before: a picture that claims more pixels is refused
# before anything is allocated for it.
MAX_PIXELS = 25_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))

# ONNX Runtime reads this when it is loaded: some of its builds report their use to their maker over the network, from a
# thread of their own. Boards do not, unless somebody sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
