"""Ops that reduce, sort or accumulate along axes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from cornu.backend import B
from cornu.backend.contract import Array, Axis
from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError
from cornu.core.op import Tensor, Untyped, op
from cornu.ops.elementwise import widen

_WIDE = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


F = TypeVar("F", bound=Callable[..., Any])


def in_float32(body: F) -> F:
    """`body`, which computes on 16-bit floats in 32 bits and gives their dtype back."""

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        dtypes = [standardize_dtype(leaf.dtype) for leaf in tree.flatten(args) if hasattr(leaf, "dtype")]
        half = next((dtype for dtype in dtypes if dtype in ("float16", "bfloat16")), None)
        if half is None:
            return body(*args, **kwargs)

        def converted(source: str, target: str) -> Callable[[Any], Any]:
            return lambda a: B.cast(a, target) if hasattr(a, "dtype") and standardize_dtype(a.dtype) == source else a

        wide = tree.map_structure(converted(half, "float32"), args)
        return tree.map_structure(converted("float32", half), body(*wide, **kwargs))

    return cast(F, call)


def _axes(axis: Any) -> Axis:
    return tuple(axis) if isinstance(axis, list) else axis


def count(x: Array, axis: Axis) -> int:
    """How many elements lie along the axes of an array of known shape."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    total = 1
    for i in axes:
        total *= x.shape[i]
    return total


def _widened(x: Array) -> Array:
    wide = _WIDE.get(standardize_dtype(x.dtype))
    return x if wide is None else B.cast(x, wide)


def _summed(x: Array) -> str:
    dtype = standardize_dtype(x.dtype)
    return "int32" if dtype == "bool" else dtype


@op
def sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum along the axes (all where None); small integers and bool add up in 32 bits.

    >>> print(ops.sum([[1, 2], [3, 4]], axis=0))
    [4 6]
    >>> print(ops.sum(ops.array([200, 100], "uint8")))
    300
    """
    return B.sum(_widened(x), axis=_axes(axis), keepdims=keepdims)


@op
def prod(x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Array:
    """The product along the axes (all where None).

    >>> print(ops.prod([[1, 2], [3, 4]], axis=1))
    [ 2 12]
    """
    x = _widened(x) if dtype is None else B.cast(x, standardize_dtype(dtype))
    return B.prod(x, axis=_axes(axis), keepdims=keepdims)


@op(promotion="float")
def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The arithmetic mean along the axes (all where None); 16-bit floats add up in 32 bits.

    >>> print(ops.mean([[1, 2], [3, 6]], axis=1))
    [1.5 4.5]
    """
    dtype = standardize_dtype(x.dtype)
    wide = widen(x)
    axis = _axes(axis)
    return B.cast(B.sum(wide, axis=axis, keepdims=keepdims) / count(x, axis), dtype)


@op(promotion="float")
def var(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The mean squared distance from the mean along the axes (all where None).

    >>> print(ops.var([1, 3]))
    1.0
    """
    dtype = standardize_dtype(x.dtype)
    wide = widen(x)
    centred = wide - mean(wide, axis, keepdims=True)
    return B.cast(mean(centred * centred, axis, keepdims), dtype)


@op(promotion="float")
def std(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The standard deviation along the axes (all where None).

    >>> print(ops.std([1, 5]))
    2.0
    """
    return B.sqrt(var(x, axis, keepdims))


@op
def max(x: Tensor, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Array:
    """The largest element along the axes (all where None), and not below `initial`.

    >>> print(ops.max([[1, 9], [4, 2]], axis=1), ops.max([5, 7], initial=9))
    [9 4] 9
    """
    if initial is not None:
        initial = B.convert(initial, standardize_dtype(x.dtype))
        if count(x, _axes(axis)) == 0:
            return B.broadcast_to(initial, sum(x, axis, keepdims).shape)
    largest = B.max(x, axis=_axes(axis), keepdims=keepdims)
    return largest if initial is None else B.maximum(largest, initial)


@op
def min(x: Tensor, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Array:
    """The smallest element along the axes (all where None), and not above `initial`.

    >>> print(ops.min([[1, 9], [4, 2]], axis=1), ops.min([5, 7], initial=0))
    [1 2] 0
    """
    if initial is not None:
        initial = B.convert(initial, standardize_dtype(x.dtype))
        if count(x, _axes(axis)) == 0:
            return B.broadcast_to(initial, sum(x, axis, keepdims).shape)
    smallest = B.min(x, axis=_axes(axis), keepdims=keepdims)
    return smallest if initial is None else B.minimum(smallest, initial)


@op
def amax(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The largest element along the axes (all where None).

    >>> print(ops.amax([[1, 9], [4, 2]], axis=0))
    [4 9]
    """
    return B.max(x, axis=_axes(axis), keepdims=keepdims)


@op
def amin(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The smallest element along the axes (all where None).

    >>> print(ops.amin([[1, 9], [4, 2]], axis=0))
    [1 2]
    """
    return B.min(x, axis=_axes(axis), keepdims=keepdims)


@op
def ptp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The largest minus the smallest element along the axes (all where None).

    >>> print(ops.ptp([[3, 9], [4, 4]], axis=1))
    [6 0]
    """
    return amax(x, axis, keepdims) - amin(x, axis, keepdims)


@op(promotion=None)
def all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """Whether every element along the axes (all where None) is true.

    >>> print(ops.all([[1, 0], [1, 2]], axis=0))
    [ True False]
    """
    return B.all(B.cast(x, "bool"), axis=_axes(axis), keepdims=keepdims)


@op(promotion=None)
def any(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """Whether some element along the axes (all where None) is true.

    >>> print(ops.any([[0, 0], [0, 2]], axis=1))
    [False  True]
    """
    return B.any(B.cast(x, "bool"), axis=_axes(axis), keepdims=keepdims)


@op
def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest element along the axis (of the flattened tensor where None), int32.

    >>> print(ops.argmax([3, 9, 9]), ops.argmax([[3, 9], [9, 1]], axis=1))
    1 [1 0]
    """
    return B.argmax(x, axis=axis, keepdims=keepdims)


@op
def argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest element along the axis (of the flattened tensor where None), int32.

    >>> print(ops.argmin([3, 1, 1]), ops.argmin([[3, 9], [9, 1]], axis=1))
    1 [0 1]
    """
    return B.argmin(x, axis=axis, keepdims=keepdims)


@op
def argsort(x: Tensor, axis: int | None = -1) -> Array:
    """The indices that sort along the axis (the flattened tensor where None), stable, int32.

    >>> print(ops.argsort([2, 1, 2, 0]))
    [3 1 0 2]
    """
    return B.argsort(B.reshape(x, (-1,)), axis=0) if axis is None else B.argsort(x, axis=axis)


@op
def sort(x: Tensor, axis: int | None = -1) -> Array:
    """Sorted in ascending order along the axis (the flattened tensor where None).

    >>> print(ops.sort([[3, 1], [2, 0]], axis=0))
    [[2 0]
     [3 1]]
    """
    return B.sort(B.reshape(x, (-1,)), axis=0) if axis is None else B.sort(x, axis=axis)


def _check_top_k(x: Any, k: int, *_: Any, **__: Any) -> None:
    shape = tuple(x.shape)
    if not shape or (shape[-1] is not None and not 0 <= k <= shape[-1]):
        raise ArgumentError(f"top_k: k should be from 0 to the size of the last axis, got {k} for x of shape {shape}.")


@op(check=_check_top_k)
def top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Array, Array]:
    """The `k` largest values along the last axis, in descending order, and their indices.

    >>> values, indices = ops.top_k([1, 9, 4, 9], 2)
    >>> print(values, indices)
    [9 9] [1 3]
    """
    indices = B.flip(B.argsort(B.flip(x, -1), axis=-1), -1)[..., :k]
    indices = x.shape[-1] - 1 - indices  # sorting the flipped tensor puts the first of equals first
    return B.take_along_axis(x, indices, -1), indices


@op
def in_top_k(targets: Untyped, predictions: Tensor, k: int) -> Array:
    """Whether the prediction of the target class is among the `k` largest: (batch,), (batch, classes) -> (batch,).

    >>> print(ops.in_top_k([1, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2))
    [ True False]
    """
    classes = predictions.shape[-1]
    valid = B.logical_and(targets >= 0, targets < classes)
    index = B.cast(B.where(valid, targets, 0), "int32")
    chosen = B.take_along_axis(predictions, index[..., None], -1)
    larger = B.sum(B.cast(predictions > chosen, "int32"), axis=-1)
    return B.logical_and(B.logical_and(valid, larger < k), B.isfinite(chosen[..., 0]))


@op
def cumsum(x: Tensor, axis: int | None = None, dtype: Any = None) -> Array:
    """The running sum along the axis (of the flattened tensor where None).

    >>> print(ops.cumsum([[1, 2], [3, 4]], axis=1))
    [[1 3]
     [3 7]]
    """
    x = B.cast(x, _summed(x) if dtype is None else standardize_dtype(dtype))
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return B.cumsum(x, axis)


@op
def cumprod(x: Tensor, axis: int | None = None, dtype: Any = None) -> Array:
    """The running product along the axis (of the flattened tensor where None).

    >>> print(ops.cumprod([1, 2, 3, 4]))
    [ 1  2  6 24]
    """
    x = B.cast(x, _summed(x) if dtype is None else standardize_dtype(dtype))
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return B.cumprod(x, axis)


@op(promotion=None)
def count_nonzero(x: Tensor, axis: Any = None) -> Array:
    """How many elements along the axes (all where None) are not zero, int32.

    >>> print(ops.count_nonzero([[0, 3], [5, 7]], axis=0))
    [1 2]
    """
    return B.cast(B.sum(B.cast(B.not_equal(x, 0), "int32"), axis=_axes(axis)), "int32")


@op(promotion="float")
def logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """ln Σ exp(x) along the axes (all where None) without overflow.

    >>> print(ops.logsumexp([1000, 0]))
    1000.0
    """
    axis = _axes(axis)
    top = B.stop_gradient(B.max(x, axis=axis, keepdims=True))
    top = B.where(B.isfinite(top), top, 0)
    total = B.log(B.sum(B.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else B.reshape(total, B.sum(x, axis=axis).shape)
