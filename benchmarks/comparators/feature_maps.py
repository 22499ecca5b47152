"""Feature maps on the wire, as the boards of model parallelism send them.

Layout, big-endian, values in the order channel, row, column:

| bytes  | content                                                |
|--------|--------------------------------------------------------|
| 0      | format, 1                                              |
| 1      | precision: 0 float32, 1 float16, 2 int8                |
| 2..7   | channels, height, width (2 bytes each)                 |
| 8..11  | float32 scale of the int8 values; 1 for the others     |
| 12..15 | the first 4 bytes of the bundle's digest               |
| 16..   | values, big-endian                                     |
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
_HEADER = struct.Struct(">BBHHHf4s")
_LARGEST_INT8 = 127

HEADER_BYTES = _HEADER.size


class Precision(IntEnum):
    """Precision of the values."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT8 = 2


_DTYPES: dict[Precision, np.dtype[Any]] = {
    Precision.FLOAT32: np.dtype(">f4"),
    Precision.FLOAT16: np.dtype(">f2"),
    Precision.INT8: np.dtype("i1"),
}


class FeatureError(ValueError):
    """An invalid encoded feature map; the message is a short reason."""


def encode(features: NDArray[np.float32], precision: Precision, digest: bytes) -> bytes:
    """Encode a feature map: 16 bytes, and 1, 2 or 4 bytes per value.

    int8 is symmetric, with one scale for all values.

    Args:
        features: shape (1, channels, height, width), float32, finite.
        precision: precision of the values; values that exceed float16 are clipped.
        digest: first 4 bytes of the bundle's digest.
    """
    scale = 1.0
    if precision is Precision.INT8:
        scale = max(float(np.abs(features).max()) / _LARGEST_INT8, 1e-30)
        stored = np.rint(features / np.float32(scale)).clip(-_LARGEST_INT8, _LARGEST_INT8)
    elif precision is Precision.FLOAT16:
        largest = float(np.finfo(np.float16).max)
        stored = features.clip(-largest, largest)
    else:
        stored = features
    header = _HEADER.pack(FORMAT, precision, *features.shape[1:], scale, digest)
    return bytes(header + stored.astype(_DTYPES[precision]).tobytes())


def decode(data: bytes, shape: tuple[int, int, int], digest: bytes) -> NDArray[np.float32]:
    """Decode a feature map, and return it, shape (1, channels, height, width), float32.

    Args:
        data: the encoded feature map.
        shape: expected channels, height and width.
        digest: first 4 bytes of the digest of this node's bundle.

    Raises:
        FeatureError: another format, shape, length or bundle, or a value that is not finite.
    """
    if len(data) < HEADER_BYTES:
        raise FeatureError("features too short")
    version, code, *found, scale, theirs = _HEADER.unpack_from(data)
    if version != FORMAT or code not in list(Precision):
        raise FeatureError("unknown format of features")
    if theirs != digest:
        raise FeatureError("features from another bundle")
    if tuple(found) != shape:
        raise FeatureError("features of another shape")
    dtype = _DTYPES[Precision(code)]
    if len(data) - HEADER_BYTES != dtype.itemsize * math.prod(shape):
        raise FeatureError("length of features does not match their shape")
    stored = np.frombuffer(data, dtype, offset=HEADER_BYTES)
    values: NDArray[np.float32] = stored.astype(np.float32).reshape(1, *shape)
    if code == Precision.INT8:
        values *= np.float32(scale)
    if not np.isfinite(values).all():
        raise FeatureError("features not finite")
    return values
