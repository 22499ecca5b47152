"""Variant parallelism over MQTT: image recognition on a handful of cheap boards.

The method is that of Asadi and Goudarzi, "Variant Parallelism: Lightweight Deep Convolutional Models for Distributed
Inference on IoT Devices", IEEE Internet of Things Journal 2023, arXiv 2210.08376.
"""

import os

# Must be set before OpenCV is imported, which reads it once: pictures that claim more pixels are refused before
# anything is allocated for them.
MAX_PIXELS = 25_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))

# ONNX Runtime reads this when it is imported: some of its builds send telemetry to their vendor. Here it is off, unless
# the user sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
