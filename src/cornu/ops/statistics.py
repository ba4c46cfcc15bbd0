"""Quantiles, moments that skip NaN, histograms, sums by segment, distances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import whole
from cornu.base.dtypes import is_float, is_integer, standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, ShapeError, bad_choice
from cornu.core.op import Tensor, Untyped, op
from cornu.ops.linalg import norm
from cornu.ops.reduction import all as all_true
from cornu.ops.reduction import argmax, count, cumprod, cumsum, in_float32, mean, prod
from cornu.ops.reduction import max as largest
from cornu.ops.reduction import min as smallest
from cornu.ops.reduction import sum as total
from cornu.ops.shape import moveaxis, shape

# quantiles

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def _levels(name: str, top: int) -> Callable[..., None]:
    """The check of an op whose `q` lies in [0, top]."""

    def check(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> None:
        if method not in _METHODS:
            raise bad_choice(f"{name}: method", method, _METHODS)
        if type(q) in (int, float) and 0 <= q <= top:
            return
        if not B.is_tracing(q) and not ((np.asarray(q) >= 0) & (np.asarray(q) <= top)).all():
            raise ArgumentError(f"{name}: q should lie in [0, {top}], got {np.asarray(q).tolist()}.")

    return check


def _quantile(x: Array, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool) -> Array:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    size = count(x, tuple(axes))
    kept = total(x, tuple(axes), True).shape if keepdims else total(x, tuple(axes)).shape
    # A known q is kept in double precision, in which no rank is off by one.
    q = q if B.is_tracing(q) else np.asarray(q, "float64")
    if size == 0:
        return B.full((*q.shape, *kept), math.nan, standardize_dtype(x.dtype))
    ordered = moveaxis(x, tuple(axes), tuple(range(len(axes))))
    ordered = B.sort(B.reshape(ordered, (size, -1)), axis=0)  # NaN comes last
    valid = B.sum(B.cast(B.logical_not(B.isnan(ordered)), standardize_dtype(x.dtype)), axis=0) if skip_nan else size
    levels = q.reshape(-1, 1)
    if skip_nan:  # the ranks are counts of what is valid, on the device
        levels = B.convert(levels, standardize_dtype(x.dtype))
    place = levels * valid if method == "inverted_cdf" else levels * (valid - 1)
    low, high = place // 1, -(-place // 1)
    if method == "inverted_cdf":
        low = high = high - 1
    elif method == "nearest":
        low = high = (np.rint if isinstance(place, np.ndarray) else B.rint)(place)  # halves to even
    low, high = {"lower": (low, low), "higher": (high, high)}.get(method, (low, high))

    def at(rank: Any) -> Array:
        index = B.maximum(B.minimum(B.cast(B.convert(rank), "int32"), size - 1), 0)
        return B.take_along_axis(ordered, B.broadcast_to(index, (levels.shape[0], ordered.shape[1])), 0)

    found = at(low)
    if method in ("linear", "midpoint"):
        share = B.convert(place - low if method == "linear" else (high - low) / 2, standardize_dtype(x.dtype))
        above = at(high)  # the same where the share is 0, so that no infinity meets a 0
        found = B.where(found == above, found, found * (1 - share) + above * share)
    if not skip_nan:
        found = B.where(B.isnan(ordered[-1]), ordered[-1], found)
    return B.reshape(found, (*q.shape, *kept))


@op(promotion="float", check=_levels("quantile", 1))
@in_float32
def quantile(x: Tensor, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Array:
    """The values below which the shares `q` lie, along the axes (all where None); axes of `q` come first.

    `method` is NumPy's: "linear" (between neighbours), "lower", "higher", "midpoint", "nearest" or "inverted_cdf". NaN
    where there is a NaN, or nothing at all.

    >>> print(ops.quantile([0, 10, 20], [0.5, 0.75]), ops.quantile([0, 10, 20], 0.75, method="lower"))
    [10. 15.] 10.0
    """
    return _quantile(x, q, axis, method, keepdims, skip_nan=False)


@op(promotion="float", check=_levels("nanquantile", 1))
@in_float32
def nanquantile(x: Tensor, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Array:
    """As `quantile`, of what is not NaN.

    >>> print(ops.nanquantile([0, np.nan, 20], 0.75))
    15.0
    """
    return _quantile(x, q, axis, method, keepdims, skip_nan=True)


def _hundredth(q: Any) -> Any:
    return (q if B.is_tracing(q) else np.asarray(q, "float64")) / 100


@op(promotion="float", check=_levels("percentile", 100))
def percentile(x: Tensor, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Array:
    """As `quantile`, `q` in percent.

    >>> print(ops.percentile([0, 10, 20], 75))
    15.0
    """
    return quantile(x, _hundredth(q), axis, method, keepdims)


@op(promotion="float", check=_levels("nanpercentile", 100))
def nanpercentile(x: Tensor, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Array:
    """As `quantile`, `q` in percent, of what is not NaN.

    >>> print(ops.nanpercentile([0, np.nan, 20], 75))
    15.0
    """
    return nanquantile(x, _hundredth(q), axis, method, keepdims)


@op(promotion="float")
def median(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The middle element along the axes (all where None), or the mean of the middle two.

    >>> print(ops.median([1, 2, 9, 4]))
    3.0
    """
    return quantile(x, 0.5, axis, keepdims=keepdims)


@op(promotion="float")
def nanmedian(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """As `median`, of what is not NaN.

    >>> print(ops.nanmedian([1, np.nan, 3]))
    2.0
    """
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


# without NaN


def _filled(x: Array, value: float) -> Array:
    """x with `value` in place of NaN."""
    dtype = standardize_dtype(x.dtype)
    return B.where(B.isnan(x), B.convert(value, dtype), x) if is_float(dtype) else x


def _unless_all_nan(x: Array, found: Array, other: float, axis: Any, keepdims: bool) -> Array:
    """What was found along the axes, or `other` where there was nothing but NaN."""
    if not is_float(standardize_dtype(x.dtype)):
        return found
    empty = all_true(B.isnan(x), axis, keepdims)
    return B.where(empty, B.convert(other, standardize_dtype(found.dtype)), found)


@op
def nanmax(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The largest element along the axes (all where None) that is not NaN; NaN where there is none.

    >>> print(ops.nanmax([[1, np.nan], [np.nan, np.nan]], axis=1))
    [ 1. nan]
    """
    return _unless_all_nan(x, largest(_filled(x, -math.inf), axis, keepdims), math.nan, axis, keepdims)


@op
def nanmin(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The smallest element along the axes (all where None) that is not NaN; NaN where there is none.

    >>> print(ops.nanmin([[1, np.nan], [np.nan, np.nan]], axis=1))
    [ 1. nan]
    """
    return _unless_all_nan(x, smallest(_filled(x, math.inf), axis, keepdims), math.nan, axis, keepdims)


@op
def nanargmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest element that is not NaN along the axis (all where None); -1 where none is.

    >>> print(ops.nanargmax([[np.nan, -np.inf], [np.nan, np.nan]], axis=1))
    [ 1 -1]
    """
    return _unless_all_nan(x, argmax(B.equal(x, nanmax(x, axis, True)), axis, keepdims), -1, axis, keepdims)


@op
def nanargmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest element that is not NaN along the axis (all where None); -1 where none is.

    >>> print(ops.nanargmin([[np.nan, np.inf], [np.nan, np.nan]], axis=1))
    [ 1 -1]
    """
    return _unless_all_nan(x, argmax(B.equal(x, nanmin(x, axis, True)), axis, keepdims), -1, axis, keepdims)


@op
def nansum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum along the axes (all where None), NaN counting as 0.

    >>> print(ops.nansum([1, np.nan, 2]))
    3.0
    """
    return total(_filled(x, 0), axis, keepdims)


@op
def nanprod(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The product along the axes (all where None), NaN counting as 1.

    >>> print(ops.nanprod([2, np.nan, 3]))
    6.0
    """
    return prod(_filled(x, 1), axis, keepdims)


@op
def nancumsum(x: Tensor, axis: int | None = None, dtype: Any = None) -> Array:
    """The running sum along the axis (of the flattened tensor where None), NaN counting as 0.

    >>> print(ops.nancumsum([1, np.nan, 2]))
    [1. 1. 3.]
    """
    return cumsum(_filled(x, 0), axis, dtype)


@op
def nancumprod(x: Tensor, axis: int | None = None, dtype: Any = None) -> Array:
    """The running product along the axis (of the flattened tensor where None), NaN counting as 1.

    >>> print(ops.nancumprod([2, np.nan, 3]))
    [2. 2. 6.]
    """
    return cumprod(_filled(x, 1), axis, dtype)


@op(promotion="float")
@in_float32
def nanmean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The mean along the axes (all where None) of what is not NaN; NaN where there is nothing else.

    >>> print(ops.nanmean([[1, np.nan, 3], [np.nan] * 3], axis=1))
    [ 2. nan]
    """
    present = B.cast(B.logical_not(B.isnan(x)), standardize_dtype(x.dtype))
    return total(_filled(x, 0), axis, keepdims) / total(present, axis, keepdims)


@op(promotion="float")
@in_float32
def nanvar(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The mean squared distance from the mean along the axes (all where None) of what is not NaN.

    >>> print(ops.nanvar([1, np.nan, 5]))
    4.0
    """
    present = B.logical_not(B.isnan(x))
    centred = B.where(present, x - nanmean(x, axis, keepdims=True), 0)
    return total(centred * centred, axis, keepdims) / total(B.cast(present, standardize_dtype(x.dtype)), axis, keepdims)


@op(promotion="float")
def nanstd(x: Tensor, axis: Any = None, keepdims: bool = False) -> Array:
    """The standard deviation along the axes (all where None) of what is not NaN.

    >>> print(ops.nanstd([1, np.nan, 5]))
    2.0
    """
    return B.sqrt(nanvar(x, axis, keepdims))


# means, areas, distances


def _check_average(x: Any, axis: Any = None, weights: Any = None) -> None:
    if weights is None:
        return
    sizes, given = shape(x), shape(weights)
    axes = range(len(sizes)) if axis is None else (axis,) if isinstance(axis, int) else axis
    if given not in (sizes, tuple(sizes[a] for a in axes)) and None not in (*sizes, *given):
        raise ShapeError(
            f"average: weights should have the shape of x or the sizes of x along `axis`, got shapes {sizes} of x and "
            f"{given} of weights, axis={axis!r}."
        )


@op(promotion="float", check=_check_average)
@in_float32
def average(x: Tensor, axis: Any = None, weights: Tensor = None) -> Array:
    """Σ weights · x / Σ weights along the axes (all where None); weights for each element or along the axes.

    >>> print(ops.average([1, 5], weights=[3, 1]))
    2.0
    """
    if weights is None:
        return mean(x, axis)
    if weights.ndim != x.ndim:
        axes = [a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis)]
        weights = B.transpose(weights, tuple(int(i) for i in np.argsort(axes)))
        weights = B.reshape(weights, [size if a in axes else 1 for a, size in enumerate(x.shape)])
    weights = B.broadcast_to(weights, x.shape)
    return total(x * weights, axis) / total(weights, axis)


@op(promotion="float")
@in_float32
def corrcoef(x: Tensor) -> Array:
    """Pearson's correlation of the rows of (variables, samples) with one another; NaN for a constant row.

    >>> print(ops.corrcoef([[1, 2, 3], [6, 4, 2]]).round(3))
    [[ 1. -1.]
     [-1.  1.]]
    """
    if x.ndim not in (1, 2):
        raise ShapeError(f"corrcoef: x should be (variables, samples) or (samples,), got shape {tuple(x.shape)}.")
    centred = x - mean(x, -1, keepdims=True)
    centred = centred / norm(centred, axis=-1, keepdims=True)
    rows = B.reshape(centred, (-1, x.shape[-1]))
    found = B.maximum(B.minimum(B.matmul(rows, B.transpose(rows, (1, 0))), 1), -1)
    return found if x.ndim == 2 else found[0, 0]


@op(promotion="float")
@in_float32
def trapezoid(y: Tensor, x: Tensor = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The area under `y` along the axis by the trapezoidal rule, at the points `x` or at distances `dx`.

    >>> print(ops.trapezoid([0, 1, 1], x=[0, 2, 3]))
    2.0
    """
    y = moveaxis(y, axis, -1)
    if x is None:
        gaps = dx
    else:
        x = x if x.ndim == 1 else moveaxis(x, axis, -1)
        gaps = x[..., 1:] - x[..., :-1]
    return B.sum(gaps * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


def _check_cdist(x: Any, y: Any) -> None:
    a, b = shape(x), shape(y)
    if len(a) < 2 or len(b) < 2 or (a[-1] != b[-1] and None not in (a[-1], b[-1])):
        raise ShapeError(f"cdist: x and y should be (…, n, size) and (…, m, size), got shapes {a} and {b}.")


@op(promotion="float", check=_check_cdist)
@in_float32
def cdist(x: Tensor, y: Tensor) -> Array:
    """The Euclidean distances of each row of x from each of y, (…, n, size) and (…, m, size) -> (…, n, m).

    By differences, so that close points far from 0 keep their distance; the gradient at distance 0 is 0.

    >>> print(ops.cdist([[0, 0], [3, 0]], [[3, 4], [0, 0]]))
    [[5. 0.]
     [4. 3.]]
    """
    return norm(x[..., :, None, :] - y[..., None, :, :], axis=-1)


# counts


def _check_bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> None:
    kind = standardize_dtype(x.dtype) if hasattr(x, "dtype") else "int32"
    if not is_integer(kind) and kind != "bool":
        raise DTypeError(f"bincount: x should be integers, got {kind}; cast it first.")
    if len(shape(x)) not in (1, 2) or (weights is not None and shape(weights) != shape(x)):
        given = "None" if weights is None else str(shape(weights))
        raise ShapeError(
            f"bincount: x should be (n,) or (batch, n) and weights of the same shape, got shapes {shape(x)} of x and "
            f"{given} of weights."
        )


@op(promotion=None, check=_check_bincount, fuse=False)
def bincount(x: Untyped, weights: Tensor = None, minlength: int = 0, sparse: bool = False) -> Array:
    """How often each of 0, 1, …, max(x) occurs along the last axis, or the sums of the weights of its occurrences.

    At least `minlength` long; a sparse tensor if `sparse`. The size depends on the values, so x has to be known: eager
    only.

    >>> print(ops.bincount([0, 2, 2]), ops.bincount([0, 2, 2], weights=[1, 5, 6], minlength=4))
    [1 0 2] [ 1  0 11  0]
    """
    if B.is_tracing(x):
        raise ArgumentError(
            "bincount: the size of the result depends on the values of x, which are not known under a compiler or "
            "symbolically. Use segment_sum(ones_like(x), x, num_segments=...) instead."
        )
    values = B.to_numpy(x).astype("int64")
    if values.size and values.min() < 0:
        raise ArgumentError(f"bincount: x should not be negative, got {values.min()}.")
    size = max(minlength, int(values.max(initial=-1)) + 1)
    weights = B.full(x.shape, 1, "int32") if weights is None else weights
    rows = x.shape[0] if x.ndim == 2 else 1
    ids = (values.reshape(rows, x.shape[-1]) + size * np.arange(rows)[:, None]).reshape(-1)
    found = segment_sum(B.reshape(weights, (-1,)), B.convert(ids, "int32"), rows * size)
    found = B.reshape(found, (*x.shape[:-1], size))
    if not sparse:
        return found
    places = np.argwhere(B.to_numpy(found)).astype("int32")
    return B.sparse(B.convert(places), B.convert(B.to_numpy(found)[tuple(places.T)]), found.shape)


def _check_digitize(x: Any, bins: Any) -> None:
    if len(shape(bins)) != 1:
        raise ShapeError(f"digitize: bins should have one axis, got shape {shape(bins)}.")


@op(check=_check_digitize)
@in_float32
def digitize(x: Tensor, bins: Tensor) -> Array:
    """The number i of the bin with bins[i - 1] ≤ x < bins[i], element-wise, int32; or > and ≥ for descending bins.

    >>> print(ops.digitize([0, 1, 2, 3], [1, 3]))
    [0 1 1 2]
    """
    if not bins.shape[0]:
        return B.zeros(x.shape, "int32")
    descending = bins[0] > bins[-1]
    places = B.searchsorted(B.where(descending, B.flip(bins, 0), bins), x, "right")
    return B.cast(B.where(descending, bins.shape[0] - places, places), "int32")


def _check_histogram(x: Any, bins: int = 10, range: Any = None) -> None:
    whole("histogram", 1, bins=bins)
    if range is not None and (len(range) != 2 or not range[0] <= range[1]):
        raise ArgumentError(f"histogram: range should be a pair (low, high) with low ≤ high, got {range!r}.")


@op(promotion="float", check=_check_histogram)
@in_float32
def histogram(x: Tensor, bins: int = 10, range: Any = None) -> tuple[Array, Array]:
    """How many elements lie in each of `bins` equal parts of the range (where None, from the smallest to the largest).

    Counts, in the dtype of the edges, and the bins + 1 edges. The upper edge of a bin belongs to the next, the last to
    its bin; what lies outside does not count.

    >>> print(*ops.histogram([1, 2, 2, 4], bins=3))
    [1. 2. 1.] [1. 2. 3. 4.]
    """
    x, dtype = B.reshape(x, (-1,)), standardize_dtype(x.dtype)
    if range is None:
        low, high = (B.min(x), B.max(x)) if x.shape[0] else (B.zeros((), dtype), B.full((), 1, dtype))
    else:
        low, high = (B.convert(end, dtype) for end in range)
    margin = B.where(low == high, B.full((), 0.5, dtype), B.zeros((), dtype))
    low, high = low - margin, high + margin
    share = B.arange(0, bins + 1, 1, dtype) / bins
    edges = low * (1 - share) + high * share
    bin_ = B.where(x == high, bins - 1, B.searchsorted(edges, x, "right") - 1)
    return segment_sum(B.full(x.shape, 1, dtype), bin_, bins), edges


# segments


def _segments(name: str) -> Callable[..., None]:
    """The check of an op that reduces by segment."""

    def check(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> None:
        rows, ids = shape(data), shape(segment_ids)
        if len(ids) != 1 or not rows or (rows[0] != ids[0] and None not in (rows[0], ids[0])):
            raise ShapeError(
                f"{name}: segment_ids should have one axis, with an id for each row of data, got shapes {rows} of data "
                f"and {ids} of segment_ids."
            )
        dtype = standardize_dtype(segment_ids.dtype) if hasattr(segment_ids, "dtype") else "int32"
        if not is_integer(dtype):
            raise DTypeError(f"{name}: segment_ids should be integers, got {dtype}; cast them first.")
        if num_segments is not None and num_segments < 0:
            raise ArgumentError(f"{name}: num_segments should be 0 or more, got {num_segments}.")

    return check


def _located(name: str, ids: Array, num_segments: int | None) -> tuple[Array, int]:
    """The ids, those out of range in a segment of their own at the end, and the number of the others."""
    if num_segments is None:
        if B.is_tracing(ids):
            raise ArgumentError(
                f"{name}: the size of the result depends on the values of segment_ids, which are not known under a "
                "compiler or symbolically. Give num_segments."
            )
        num_segments = int(B.to_numpy(ids).max(initial=-1)) + 1
    ids = B.cast(ids, "int32")
    return B.where(B.logical_and(ids >= 0, ids < num_segments), ids, num_segments), num_segments


def _reduced(name: str, data: Array, ids: Array, num_segments: int | None, mode: str, initial: Any) -> Array:
    ids, size = _located(name, ids, num_segments)
    start = B.full((size + 1, *data.shape[1:]), initial, standardize_dtype(data.dtype))
    return B.scatter(start, ids[:, None], data, mode)[:size]


def _extreme(dtype: str, sign: int) -> Any:
    """The largest value of a dtype, or with a negative sign the least."""
    if is_float(dtype):
        return sign * math.inf
    if dtype == "bool":
        return sign > 0
    return int(np.iinfo(dtype).max if sign > 0 else np.iinfo(dtype).min)


@op(promotion=None, check=_segments("segment_sum"), fuse=False)
def segment_sum(data: Tensor, segment_ids: Untyped, num_segments: int | None = None, sorted: bool = False) -> Array:
    """The sums of the rows of `data` with the same id: (n, …), (n,) -> (num_segments, …); no rows add up to 0.

    Rows with a negative id or one past the end are left out. Where `num_segments` is None it is the largest id + 1,
    which has to be known (eager only). `sorted`, that the ids ascend, need not be told here.

    >>> print(ops.segment_sum([1, 2, 3, 4], [0, 2, 0, -1]))
    [4 0 2]
    """
    return _reduced("segment_sum", data, segment_ids, num_segments, "add", 0)


@op(promotion=None, check=_segments("segment_max"), fuse=False)
def segment_max(data: Tensor, segment_ids: Untyped, num_segments: int | None = None, sorted: bool = False) -> Array:
    """As `segment_sum`, the largest; of no rows -inf, or the dtype's least value.

    >>> print(ops.segment_max([1.0, 2.0, 3.0], [0, 2, 0]))
    [  3. -inf   2.]
    """
    return _reduced("segment_max", data, segment_ids, num_segments, "max", _extreme(standardize_dtype(data.dtype), -1))


@op(promotion=None, check=_segments("segment_min"), fuse=False)
def segment_min(data: Tensor, segment_ids: Untyped, num_segments: int | None = None, sorted: bool = False) -> Array:
    """As `segment_sum`, the smallest; of no rows inf, or the dtype's largest value.

    >>> print(ops.segment_min([1.0, 2.0, 3.0], [0, 2, 0]))
    [ 1. inf  2.]
    """
    return _reduced("segment_min", data, segment_ids, num_segments, "min", _extreme(standardize_dtype(data.dtype), 1))


@op(promotion=None, check=_segments("segment_prod"), fuse=False)
def segment_prod(data: Tensor, segment_ids: Untyped, num_segments: int | None = None, sorted: bool = False) -> Array:
    """As `segment_sum`, the product; of no rows 1.

    >>> print(ops.segment_prod([4, 2, 3], [0, 2, 0]))
    [12  1  2]
    """
    # By doubling spans within the sorted segments: frameworks scatter products without a gradient.
    ids, size = _located("segment_prod", segment_ids, num_segments)
    order = B.argsort(ids, axis=0)
    ids, rows = B.take(ids, order, 0), B.take(data, order, 0)
    span = 1
    while span < ids.shape[0]:
        same = B.reshape(ids[span:] == ids[:-span], (-1,) + (1,) * (data.ndim - 1))
        rows = B.concatenate([rows[:span], B.where(same, rows[span:] * rows[:-span], rows[span:])], 0)
        span *= 2
    dtype = standardize_dtype(data.dtype)
    last = B.concatenate([ids[1:] != ids[:-1], B.full((1,), True, "bool")], 0) if ids.shape[0] else ids == size
    start = B.full((size + 1, *data.shape[1:]), 1, dtype)
    return B.scatter(start, B.where(last, ids, size)[:, None], rows, "set")[:size]
