"""Families of ops on drawn shapes and values: broadcasting, indexing, reductions, against NumPy."""

from __future__ import annotations

import warnings
from typing import Any

import hypothesis.extra.numpy as drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cornu.ops as ops
from cornu.backend import B

pytestmark = pytest.mark.usefixtures("backend")
# Every new shape is compiled anew, so there are few examples, always the same.
few = settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
numbers = st.integers(-8, 8).map(lambda n: n / 2)  # exact in every float dtype, with equal ones among them
BROADCASTING = "add arctan2 equal greater logaddexp logical_and maximum minimum multiply not_equal subtract".split()
REDUCTIONS = "all any max mean min prod std sum var".split()
ALONG_ONE = "argmax argmin argsort cumprod cumsum sort".split()


def same(found: Any, expected: Any) -> None:
    """Shapes and values agree, signs of zeros aside."""
    found = B.to_numpy(found)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.astype("float64"), np.asarray(expected, "float64"), rtol=1e-5, atol=1e-6)


@few
@given(
    st.sampled_from(BROADCASTING),
    drawn.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3),
    st.data(),
)
def test_broadcasting(name: str, shapes: Any, data: Any) -> None:
    a, b = (data.draw(drawn.arrays("float32", shape, elements=numbers)) for shape in shapes.input_shapes)
    same(getattr(ops, name)(a, b), getattr(np, name)(a, b))
    condition = data.draw(drawn.arrays(bool, shapes.result_shape))
    same(ops.where(condition, a, b), np.where(condition, a, b))
    same(ops.broadcast_to(a, shapes.result_shape), np.broadcast_to(a, shapes.result_shape))


@few
@given(st.sampled_from(REDUCTIONS), drawn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), st.data())
def test_reductions(name: str, shape: tuple[int, ...], data: Any) -> None:
    x = data.draw(drawn.arrays("float32", shape, elements=numbers))
    axes = st.none() | st.just(()) if not shape else st.none() | drawn.valid_tuple_axes(len(shape), min_size=1)
    axis, keepdims = data.draw(axes), data.draw(st.booleans())
    if axis is not None and len(axis) == 1 and data.draw(st.booleans()):
        (axis,) = axis
    over = range(x.ndim) if axis is None else np.atleast_1d(np.asarray(axis, int)) % max(x.ndim, 1)
    if name in ("max", "min") and 0 in (shape[i] for i in over):
        with pytest.raises(ValueError, match=rf"^{name}"):
            getattr(ops, name)(x, axis=axis, keepdims=keepdims)
        return
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # of means of nothing
        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
        found = getattr(ops, name)(x, axis=axis, keepdims=keepdims)
    same(found, expected)


@few
@given(st.sampled_from(ALONG_ONE), drawn.array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_along_one_axis(name: str, shape: tuple[int, ...], data: Any) -> None:
    x = data.draw(drawn.arrays("float32", shape, elements=numbers))
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    options = {"kind": "stable"} if name == "argsort" else {}
    same(getattr(ops, name)(x, axis=axis), getattr(np, name)(x, axis=axis, **options))


@few
@given(drawn.array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_indexing(shape: tuple[int, ...], data: Any) -> None:
    x = data.draw(drawn.arrays("float32", shape, elements=numbers))
    index = data.draw(drawn.basic_indices(shape, allow_newaxis=True))
    same(ops.get_item(x, index), x[index])
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = shape[axis]
    at = data.draw(drawn.arrays("int32", drawn.array_shapes(max_dims=2), elements=st.integers(-size, size - 1)))
    same(ops.take(x, at, axis), np.take(x, at, axis))
    order = np.argsort(data.draw(drawn.arrays("float32", shape, elements=numbers)), axis, kind="stable")
    same(ops.take_along_axis(x, order, axis), np.take_along_axis(x, order, axis))


@few
@given(drawn.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3), st.data())
def test_shapes(shape: tuple[int, ...], data: Any) -> None:
    x = data.draw(drawn.arrays("float32", shape, elements=numbers))
    axes = data.draw(st.permutations(range(len(shape))))
    same(ops.transpose(x, axes), np.transpose(x, axes))
    first, second = (data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
    same(ops.moveaxis(x, first, second), np.moveaxis(x, first, second))
    same(ops.swapaxes(x, first, second), np.swapaxes(x, first, second))
    same(ops.flip(x, first), np.flip(x, first))
    shift = data.draw(st.integers(-5, 5))
    same(ops.roll(x, shift, first), np.roll(x, shift, first))
