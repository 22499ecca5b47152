"""Small data for the training tests, in the formats of the published sets."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return an array in IDX format: two zero bytes, type 8 (unsigned byte), dimensions, sizes, data."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes())


def stripes(label: int, rng: np.random.Generator, side: int = 28) -> NDArray[np.uint8]:
    """Return a grey picture that tells its class at a glance: bars whose number and direction depend on the label."""
    bars = (np.arange(side) * (1 + label // 2) * 4 // side) % 2
    picture = np.tile(bars * 180, (side, 1)) + rng.integers(0, 60, (side, side))
    return np.asarray(picture if label % 2 else picture.T, dtype=np.uint8)


def write_fashion_mnist(root: Path, train: int = 240, test: int = 40) -> Path:
    """Write the four published files, with pictures of stripes."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        pictures = np.stack([stripes(int(label), rng) for label in labels])
        (root / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(pictures))
        (root / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return root


def write_class_folders(root: Path, per_class: int = 12, classes: int = 3) -> Path:
    """Write a folder of class folders."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class {label}"
        folder.mkdir(parents=True)
        for number in range(per_class):
            cv2.imwrite(str(folder / f"{number}.png"), stripes(label, rng, 40))
    return root


FAMILY = """
name = "tiny"

[[variants]]
resolution = 24
alpha = 0.1
head = 16

[[variants]]
resolution = 32
alpha = 0.1
head = 16
"""
