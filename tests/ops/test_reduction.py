"""Reductions and statistics: errors, dtypes and what NumPy leaves open; values are the conformance suite's."""

from __future__ import annotations

import re
import warnings
from typing import Any

import hypothesis.extra.numpy as arrays
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cornu.ops as ops
from cornu.backend import B
from cornu.base import config
from cornu.base.errors import ArgumentError, DTypeError, ShapeError
from cornu.core.symbolic import KerasTensor

BACKENDS = pytest.mark.parametrize("backend", ["jax", "numpy"])
X = np.arange(6, dtype="float32").reshape(2, 3)
IDS = np.array([0, 2, 2])
nan, inf = np.nan, np.inf


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ArgumentError, "quantile: q should lie in [0, 1], got 1.5", lambda: ops.quantile(X, 1.5)),
        (ArgumentError, "quantile: q should lie in [0, 1], got [0.5, nan]", lambda: ops.quantile(X, [0.5, nan])),
        (ArgumentError, "nanquantile: q should lie in [0, 1]", lambda: ops.nanquantile(KerasTensor((2,)), -0.1)),
        (ArgumentError, "percentile: q should lie in [0, 100], got 101", lambda: ops.percentile(X, 101)),
        (ArgumentError, "nanpercentile: q should lie in [0, 100]", lambda: ops.nanpercentile(X, ops.array([-1.0]))),
        (ArgumentError, "quantile: method must be one of 'linear', 'lower'", lambda: ops.quantile(X, 1, method="lin")),
        (ShapeError, "average: weights should have", lambda: ops.average(X, 0, np.ones(3))),
        (ShapeError, "average: weights should have", lambda: ops.average(X, weights=np.ones(3))),
        (ShapeError, "average: weights should have", lambda: ops.average(KerasTensor((2, 3)), 0, KerasTensor((3,)))),
        (ShapeError, "corrcoef: x should be (variables, samples)", lambda: ops.corrcoef(np.ones((2, 2, 2)))),
        (ShapeError, "cdist: x and y should be", lambda: ops.cdist(X, X[:, :2])),
        (ShapeError, "cdist: x and y should be", lambda: ops.cdist(KerasTensor((3,)), KerasTensor((2, 3)))),
        (ShapeError, "digitize: bins should have one axis, got shape (2, 3)", lambda: ops.digitize(X, X)),
        (ArgumentError, "histogram: bins should be a positive int, got [0, 1]", lambda: ops.histogram(X, [0, 1])),
        (ArgumentError, "histogram: bins should be a positive int, got 0", lambda: ops.histogram(KerasTensor((3,)), 0)),
        (ArgumentError, "histogram: range should be a pair", lambda: ops.histogram(X, 3, (1, 0))),
        (ArgumentError, "histogram: range should be a pair", lambda: ops.histogram(X, 3, (1, 2, 3))),
        (DTypeError, "bincount: x should be integers, got float32", lambda: ops.bincount(X[0])),
        (ShapeError, "bincount: x should be (n,) or (batch, n)", lambda: ops.bincount(IDS, weights=X)),
        (ArgumentError, "bincount: x should not be negative, got -1", lambda: ops.bincount([1, -1])),
        (ShapeError, "segment_sum: segment_ids should have one axis", lambda: ops.segment_sum(X, IDS, 3)),
        (ShapeError, "segment_max: segment_ids should have one axis", lambda: ops.segment_max(X, IDS[None], 3)),
        (ShapeError, "segment_min: segment_ids", lambda: ops.segment_min(KerasTensor((3, 2)), KerasTensor((4,)), 3)),
        (DTypeError, "segment_prod: segment_ids should be integers, got float32", lambda: ops.segment_prod(X, X[:, 0])),
        (ArgumentError, "segment_sum: num_segments should be 0 or more", lambda: ops.segment_sum(X.T, IDS, -1)),
    ],
)
@BACKENDS
def test_what_makes_no_sense(backend: str, error: type[Exception], message: str, call: Any) -> None:
    with config.backend_scope(backend), pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("bincount: .* Use segment_sum", ops.bincount),
        ("segment_sum: .* Give num_segments", lambda ids: ops.segment_sum(ids, ids)),
        ("segment_prod: .* Give num_segments", lambda ids: ops.segment_prod(ids, ids)),
    ],
)
@BACKENDS
def test_sizes_that_depend_on_values_are_refused_under_a_trace(backend: str, message: str, call: Any) -> None:
    with config.backend_scope(backend):
        with pytest.raises(ArgumentError, match=message):
            call(KerasTensor((3,), "int32"))
        if backend == "jax":
            with pytest.raises(ArgumentError, match=message):
                ops.jit(call)(ops.array(IDS))
        assert B.to_numpy(call(IDS)).shape == (3,)


@pytest.mark.parametrize("name", ["segment_sum", "segment_max", "segment_min", "segment_prod"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "float16", "float32"])
def test_segments_are_those_of_keras(name: str, dtype: str) -> None:
    data, ids = np.array([3, 1, 2, 5, 4], dtype), np.array([0, -1, 2, 2, 9])
    ours, theirs = getattr(ops, name)(data, ids, 4), getattr(keras.ops, name)(data, ids, 4)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "bfloat16", "float16", "float32"])
def test_counts_have_the_dtypes_of_keras(dtype: str) -> None:
    x = ops.cast(np.array([1, 0, 2, 1]), dtype)
    assert [ops.dtype(a) for a in ops.histogram(x, 3)] == [ops.dtype(a) for a in keras.ops.histogram(x, 3)]
    if "float" not in dtype:
        assert ops.dtype(ops.bincount(x)) == "int32"
    if dtype != "bool":  # Keras adds no truth values
        weighted = ops.bincount(np.array([0, 1, 1, 0]), x)
        assert ops.dtype(weighted) == ops.dtype(keras.ops.bincount(np.array([0, 1, 1, 0]), x))


def test_histogram_of_halves_counts_exactly() -> None:
    """1000 ones do not add up in bfloat16."""
    counts, _ = ops.histogram(ops.cast(np.arange(1000) % 2, "bfloat16"), 2)
    assert ops.convert_to_numpy(counts).tolist() == [500, 500]


@BACKENDS
def test_quantiles_given_as_tensors(backend: str) -> None:
    with config.backend_scope(backend):
        known = ops.quantile(X, [0.2, 0.5])
        assert np.allclose(known, ops.quantile(X, ops.array([0.2, 0.5])))
        traced = ops.jit(lambda q: (ops.quantile(X, q), ops.nanpercentile(X, 100 * q)))(ops.array([0.2, 0.5]))
        assert np.allclose(known, traced)
        assert ops.quantile(KerasTensor((None, 3)), [0.2, 0.5], axis=0).shape == (2, 3)
        assert ops.quantile(KerasTensor((None, 3)), 0.2, axis=1, keepdims=True).shape == (None, 1)


def test_ranks_of_a_long_axis_are_exact() -> None:
    """In float32 the rank 0.9 · 10 007 is off."""
    x = np.random.default_rng(0).permutation(100_001).astype("float32")
    for q in (0.1, 0.3, 0.7, 0.9, 0.99999):
        assert ops.quantile(x, q, method="lower") == np.quantile(x.astype("float64"), q, method="lower")


@pytest.mark.parametrize("name", "amax amin ptp median nanmean nanvar nanmedian nanmax nanprod".split())
@BACKENDS
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_reductions_are_numpys(backend: str, name: str, data: Any) -> None:
    """Over any axes of any shape, negative ones too."""
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=4, max_side=4))
    elements = [-1.5, 0.0, 2.0, 3.25] + ([nan] if "nan" in name else [])
    if name == "nanprod":  # 256 of them multiply to what float32 can hold
        elements = [-1.25, 0.0, 1.0, 1.25, nan]
    x = data.draw(arrays.arrays("float32", shape, elements=st.sampled_from(elements)))
    axes = data.draw(st.none() | arrays.valid_tuple_axes(len(shape), min_size=1) | st.integers(-len(shape), -1))
    keepdims = data.draw(st.booleans())
    with config.backend_scope(backend), np.errstate(all="ignore"):
        found = B.to_numpy(getattr(ops, name)(x, axes, keepdims))
        with warnings.catch_warnings(action="ignore"):
            expected = getattr(np, name)(x.astype("float64"), axis=axes, keepdims=keepdims)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_moments_of_nothing_are_nan() -> None:
    for name in ("mean", "var", "std", "median", "nanmean", "nanvar", "quantile"):
        args = (0.5,) if name == "quantile" else ()
        assert np.isnan(getattr(ops, name)(np.zeros((0,), "float32"), *args))


def test_the_distance_of_a_point_to_itself_has_gradient_zero() -> None:
    assert np.array_equal(ops.grad(lambda x: ops.sum(ops.cdist(x, x)))(np.ones((1, 3), "float32")), np.zeros((1, 3)))


def test_distances_far_from_zero_keep_their_digits() -> None:
    assert np.allclose(ops.cdist([[1e4, 1e4]], [[1e4 + 0.5, 1e4]]), 0.5, atol=1e-6)
    assert np.allclose(ops.cdist([[3e30, 0]], [[0, 4e30]]), 5e30)
