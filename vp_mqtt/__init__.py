"""Variant parallelism over MQTT: image recognition on a handful of cheap boards.

The method is that of Asadi and Goudarzi, "Variant Parallelism: Lightweight Deep Convolutional Models for Distributed
Inference on IoT Devices", IEEE Internet of Things Journal 2023, arXiv 2210.08376.
"""

__version__ = "0.1.0"
