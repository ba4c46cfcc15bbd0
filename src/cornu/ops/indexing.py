"""Ops that look elements up, select, place or search them."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import is_integer, result_type, standardize_dtype
from cornu.base.errors import ArgumentError, BackendError, DTypeError, ShapeError, bad_choice
from cornu.core.op import Tensor, Untyped, op
from cornu.core.symbolic import KerasTensor
from cornu.ops import reduction
from cornu.ops.shape import moveaxis, ravel, shape


@op(promotion=None)
def get_item(x: Tensor, key: Any) -> Array:
    """x[key], by NumPy's rules of indexing.

    >>> print(ops.get_item([[1, 2], [3, 4]], (slice(None), 1)))
    [2 4]
    """
    return B.get_item(x, key)


@op(promotion=None)
def take(x: Tensor, indices: Untyped, axis: int | None = None) -> Array:
    """The slices at `indices` along the axis (of the flattened tensor where None); negative ones count from the end.

    >>> print(ops.take([10, 20, 30], [0, -1]))
    [10 30]
    """
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return B.take(x, B.where(indices < 0, indices + x.shape[axis], indices), axis)


@op(promotion=None)
def take_along_axis(x: Tensor, indices: Untyped, axis: int | None = None) -> Array:
    """Elements picked along the axis (of the flattened tensor where None), one index for each.

    >>> print(ops.take_along_axis([[10, 20], [30, 40]], [[1], [0]], axis=1))
    [[20]
     [30]]
    """
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return B.take_along_axis(x, B.where(indices < 0, indices + x.shape[axis], indices), axis)


@op(promotion=None)
def slice_update(inputs: Tensor, start_indices: Any, updates: Tensor) -> Array:
    """`inputs` with the block that begins at `start_indices` replaced by `updates`.

    >>> print(ops.slice_update([0, 0, 0, 0], [1], [7, 8]))
    [0 7 8 0]
    """
    return B.dynamic_update(inputs, list(start_indices), B.cast(updates, standardize_dtype(inputs.dtype)))


@op(promotion=None)
def scatter_update(inputs: Tensor, indices: Untyped, updates: Tensor, reduction: str | None = None) -> Array:
    """`inputs` with the elements at `indices` (count, axes) set to `updates`, or added to (`"add"`), or `"max"`.

    >>> print(ops.scatter_update([1, 1, 1], [[0], [2]], [5, 6]))
    [5 1 6]
    >>> print(ops.scatter_update([1, 1, 1], [[0], [2]], [5, 6], reduction="add"))
    [6 1 7]
    """
    return B.scatter(inputs, indices, B.cast(updates, standardize_dtype(inputs.dtype)), reduction or "set")


@op(promotion=None)
def scatter(indices: Untyped, values: Tensor, shape: Sequence[int]) -> Array:
    """Zeros of `shape` to which `values` are added at `indices` (…, axes); those that meet are summed.

    >>> print(ops.scatter([[0], [2], [2]], [1, 2, 3], (4,)))
    [1 0 5 0]
    """
    return B.scatter(B.zeros(tuple(shape), standardize_dtype(values.dtype)), indices, values, "add")


def _check_slice(inputs: Any, start_indices: Any, shape: Sequence[int]) -> None:
    whole = tuple(getattr(inputs, "shape", shape))
    if len(whole) != len(shape) or any(n is not None and part > n for n, part in zip(whole, shape, strict=True)):
        raise ShapeError(f"slice: shape {tuple(shape)} should be of the rank of inputs and not larger, got {whole}.")


@op(promotion=None, check=_check_slice)
def slice(inputs: Tensor, start_indices: Any, shape: Sequence[int]) -> Array:
    """The block of `shape` that begins at `start_indices`; a size of -1 reaches to the end.

    A block that would overhang is moved back inside.

    >>> print(ops.slice([[1, 2, 3], [4, 5, 6]], [0, 1], [2, -1]))
    [[2 3]
     [5 6]]
    >>> print(ops.slice([1, 2, 3], [2], [2]))
    [2 3]
    """
    block = [n - i if size == -1 else size for n, i, size in zip(inputs.shape, start_indices, shape, strict=True)]
    return B.dynamic_slice(inputs, list(start_indices), block)


@op(promotion=None)
def diagonal(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements of x[i, i + offset] in two of the axes, along a new last axis.

    >>> print(ops.diagonal([[1, 2, 3], [4, 5, 6]], offset=1))
    [2 6]
    """
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    *rest, rows, columns = x.shape
    count = builtins.max(
        builtins.min(rows, columns - offset) if offset >= 0 else builtins.min(rows + offset, columns), 0
    )
    first = offset if offset >= 0 else -offset * columns
    places = B.arange(0, count, 1, "int32") * (columns + 1) + first
    return B.take(B.reshape(x, (*rest, rows * columns)), places, -1)


@op
def trace(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The sum of a diagonal; see `diagonal` and `sum`.

    >>> print(ops.trace([[1, 2], [3, 4]]))
    5
    """
    return reduction.sum(diagonal(x, offset, axis1, axis2), -1)


def _check_diff(a: Any, n: int = 1, axis: int = -1) -> None:
    if n < 0:
        raise ArgumentError(f"diff: n, how often to take differences, should not be negative, got {n}.")


@op(check=_check_diff)
def diff(a: Tensor, n: int = 1, axis: int = -1) -> Array:
    """The differences of neighbours along the axis, n times over; of truth values whether they differ.

    >>> print(ops.diff([1, 4, 9, 16]), ops.diff([1, 4, 9, 16], n=2))
    [3 5 7] [2 2]
    """
    before = (builtins.slice(None),) * (axis % a.ndim)
    for _ in range(n):
        low, high = a[(*before, builtins.slice(0, -1))], a[(*before, builtins.slice(1, None))]
        a = high != low if standardize_dtype(a.dtype) == "bool" else high - low
    return a


def _check_select(condlist: Any, choicelist: Any, default: Any = 0) -> None:
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            f"select: there should be as many conditions as choices, got {len(condlist)} and {len(choicelist)}."
        )


@op(check=_check_select)
def select(condlist: Sequence[Untyped], choicelist: Sequence[Tensor], default: Tensor = 0) -> Array:
    """From the first choice whose condition is true, else the default, element-wise; all are broadcast together.

    >>> print(ops.select([[True, False, False], [True, True, False]], [[1, 1, 1], [2, 2, 2]]))
    [1 2 0]
    """
    dtype = result_type(choicelist[0].dtype, getattr(default, "dtype", int))
    result = B.convert(default, dtype)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = B.where(B.cast(condition, "bool"), B.cast(choice, dtype), result)
    return result


# searching


def _check_searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> None:
    if side not in ("left", "right"):
        raise bad_choice("searchsorted: side", side, ("left", "right"))
    if len(shape(sorted_sequence)) != 1:
        raise ShapeError(
            f"searchsorted: sorted_sequence should have one axis, got shape {shape(sorted_sequence)}; "
            "for several rows use `ops.vectorized_map`."
        )


@op(check=_check_searchsorted)
def searchsorted(sorted_sequence: Tensor, values: Tensor, side: str = "left") -> Array:
    """Where in an ascending sequence each value belongs: before its equals, or after with side "right"; int32.

    >>> print(ops.searchsorted([1, 2, 2, 3], [2, 9]), ops.searchsorted([1, 2, 2, 3], [2, 9], side="right"))
    [1 4] [3 4]
    """
    return B.cast(B.searchsorted(sorted_sequence, values, side=side), "int32")


@op
def isin(x1: Tensor, x2: Tensor, assume_unique: bool = False, invert: bool = False) -> Array:
    """Whether each element of x1 is among those of x2, or with `invert` is not; the shape of `x1`.

    >>> print(ops.isin([1, 5, 2], [2, 1]))
    [ True False  True]
    """
    known = B.sort(ravel(x2))
    if not known.shape[0]:
        return B.full(x1.shape, invert, "bool")
    found = B.take(known, B.searchsorted(known, x1, side="left"), 0) == x1
    return B.logical_not(found) if invert else found


def _check_argpartition(x: Any, kth: int, axis: int = -1) -> None:
    size = shape(x)[axis] if len(shape(x)) else 1
    if size is not None and not -size <= kth < size:
        raise ArgumentError(f"argpartition: kth should be below {size}, the size of axis {axis}, got {kth}.")


@op(check=_check_argpartition)
def argpartition(x: Tensor, kth: int, axis: int = -1) -> Array:
    """Indices that put the k-th smallest at its place along the axis, smaller ones before and larger ones after it.

    >>> print(ops.take([30, 10, 20], ops.argpartition([30, 10, 20], 1))[1])
    20
    """
    return B.argsort(x, axis)  # which puts all at theirs


def _check_unravel_index(indices: Any, shape: Sequence[int]) -> None:
    if hasattr(indices, "dtype") and not is_integer(standardize_dtype(indices.dtype)):
        raise DTypeError(f"unravel_index: indices should be integers, got {standardize_dtype(indices.dtype)}.")


@op(promotion=None, check=_check_unravel_index)
def unravel_index(indices: Tensor, shape: Sequence[int]) -> tuple[Array, ...]:
    """The index along each axis of `shape` of elements counted in its flattened form; those outside are clipped.

    >>> print(*ops.unravel_index([5, 7], (2, 4)))
    [1 1] [1 3]
    """
    total = math.prod(shape)
    indices = B.minimum(B.maximum(indices, -total), total - 1)
    return tuple(indices // math.prod(shape[i + 1 :]) % size for i, size in enumerate(shape))


def _needs_values(x: Any, op_name: str, repair: str) -> None:
    """Raises where the values of `x` do not exist yet, the shape of the result depending on them."""
    if isinstance(x, KerasTensor) or B.is_tracing(x):
        raise BackendError(
            f"{op_name}: how many results there are depends on the values of x, which a symbolic tensor or compiled "
            f"function does not have yet. {repair}"
        )


@op(
    promotion=None,
    check=lambda x: _needs_values(x, "nonzero", "Call it eagerly, or use `ops.where` with a mask."),
    fuse=False,
)
def nonzero(x: Tensor) -> tuple[Array, ...]:
    """The indices of the elements that are not 0, for each axis an int32 tensor; on values only, not compiled.

    >>> print(*ops.nonzero([[0, 7], [8, 0]]))
    [0 1] [1 0]
    """
    flat = B.not_equal(ravel(x), 0)
    count = int(B.to_numpy(reduction.sum(flat)))
    return unravel_index(B.argsort(B.logical_not(flat))[:count], x.shape)


@op
def _runs(x: Tensor, axis: int | None) -> tuple[Array, Array, Array]:
    """The ascending order of the elements, where a run of equals starts in it, and the number of runs."""
    rows = ravel(x)[None] if axis is None else B.reshape(moveaxis(x, axis, -1), (-1, x.shape[axis]))
    features, count = rows.shape

    def sort_by(i: Any, order: Array) -> Array:  # by the last feature first
        key = B.take(B.take(rows, features - 1 - i, 0), order, 0)
        return B.take(order, B.argsort(key), 0)

    order = B.arange(0, count, 1, "int32")
    if features > 16:
        order = B.loop(features, sort_by, order)
    else:  # compiled sooner
        for i in range(features):
            order = sort_by(i, order)
    rows = B.take(rows, order, 1)
    low, high = rows[:, :-1], rows[:, 1:]
    differ = B.logical_and(high != low, B.logical_not(B.logical_and(B.isnan(high), B.isnan(low))))
    starts = B.pad(B.any(differ, axis=0), [(1, 0)], constant_values=True)[:count]
    return order, starts, reduction.sum(starts)


@op(promotion=None)
def _firsts(
    x: Tensor, order: Tensor, starts: Tensor, found: Tensor, fill_value: Tensor, size: int, axis: int | None
) -> tuple[Array, Array, Array, Array]:
    """The first of each run, where it stands, the run of each element, and the length of each run."""
    count = order.shape[0]
    # Of each run of equals the first and, for the count, the first of the next.
    ends = B.pad(B.argsort(B.logical_not(starts)), [(0, size + 1)], constant_values=count)
    ends = B.where(B.arange(0, count + size + 1, 1, "int32") < found, ends, count)
    firsts, nexts = ends[:size], ends[1 : size + 1]
    exists = firsts < count
    at = B.take(order, B.where(exists, firsts, 0), 0)
    values = B.take(ravel(x) if axis is None else x, at, axis or 0)
    if fill_value is not None:
        mask = exists if axis is None else B.reshape(exists, [size if i == axis % x.ndim else 1 for i in range(x.ndim)])
        values = B.where(mask, values, B.convert(fill_value, standardize_dtype(x.dtype)))
    inverse = B.take(B.cast(B.cumsum(B.cast(starts, "int32"), 0), "int32") - 1, B.argsort(order), 0)
    return values, at, B.reshape(inverse, x.shape) if axis is None else inverse, nexts - firsts


def _check_unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> None:
    if size is None:
        _needs_values(x, "unique", "Pass `size`, the number of results to return.")


@op(check=_check_unique, fuse=False)
def unique(
    x: Tensor,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements (slices along `axis` where given) in ascending order; NaNs count as equal.

    With `size` just so many: the first ones, or more, filled up with `fill_value` (the first of them where None). On
    request followed by where each first occurs, by which of them each element is, and by how often each occurs: int32.

    >>> print(*ops.unique([3, 1, 3], return_counts=True))
    [1 3] [1 2]
    >>> print(ops.unique([3, 1, 3], size=3, fill_value=0))
    [1 3 0]
    """
    order, starts, found = _runs(x, axis)
    size = int(B.to_numpy(found)) if size is None else size
    values, *extras = _firsts(x, order, starts, found, fill_value, size, axis)
    wanted = [
        extra for asked, extra in zip((return_index, return_inverse, return_counts), extras, strict=True) if asked
    ]
    return (values, *wanted) if wanted else values
