from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from benchmarks.comparators.feature_maps import HEADER_BYTES, FeatureError, Precision, decode, encode

DIGEST = b"1234"
SHAPE = (3, 4, 5)

Maps = arrays(np.float32, (1, *SHAPE), elements=st.floats(-6e4, 6e4, width=32))


@settings(max_examples=100, deadline=None)
@given(Maps, st.sampled_from(Precision))
def test_what_is_encoded_is_decoded_within_its_precision(features: NDArray[np.float32], precision: Precision) -> None:
    data = encode(features, precision, DIGEST)
    assert len(data) == HEADER_BYTES + features.size * {0: 4, 1: 2, 2: 1}[precision]
    found = decode(data, SHAPE, DIGEST)
    if precision is Precision.FLOAT32:
        np.testing.assert_array_equal(found, features)
    elif precision is Precision.FLOAT16:
        np.testing.assert_allclose(found, features, rtol=1e-3, atol=1e-7)
    else:
        np.testing.assert_allclose(found, features, atol=float(np.abs(features).max()) / 250 + 1e-30)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FeatureError):
        decode(data, SHAPE, DIGEST)


@pytest.mark.parametrize(
    ("position", "value", "says"),
    [(0, 9, "unknown format"), (1, 7, "unknown format"), (3, 4, "another shape"), (12, 0, "another bundle")],
)
def test_a_wrong_header_is_refused(position: int, value: int, says: str) -> None:
    data = bytearray(encode(np.ones((1, *SHAPE), np.float32), Precision.FLOAT32, DIGEST))
    data[position] = value
    with pytest.raises(FeatureError, match=says):
        decode(bytes(data), SHAPE, DIGEST)
    with pytest.raises(FeatureError, match="length"):
        decode(encode(np.ones((1, *SHAPE), np.float32), Precision.INT8, DIGEST) + b"0", SHAPE, DIGEST)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    data = encode(np.full((1, *SHAPE), value, np.float32), Precision.FLOAT32, DIGEST)
    with pytest.raises(FeatureError, match="not finite"):
        decode(data, SHAPE, DIGEST)
