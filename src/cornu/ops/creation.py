"""Ops that make tensors, of values or of nothing."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import is_integer, standardize_dtype
from cornu.base.errors import ShapeError, bad_choice
from cornu.core.op import Tensor, op
from cornu.ops.indexing import diagonal
from cornu.ops.shape import moveaxis, ravel, shape, sizes


def zeros(shape: Sequence[int], dtype: Any = None) -> Array:
    """A tensor of zeros; `dtype` defaults to `floatx`.

    >>> print(ops.zeros(2), ops.zeros(2, dtype="int32"))
    [0. 0.] [0 0]
    """
    return B.zeros(sizes(shape), standardize_dtype(dtype))


def ones(shape: Sequence[int], dtype: Any = None) -> Array:
    """A tensor of ones; `dtype` defaults to `floatx`.

    >>> ops.ones((2, 3)).shape, ops.dtype(ops.ones((2, 3), dtype="int8"))
    ((2, 3), 'int8')
    """
    return B.full(sizes(shape), 1, standardize_dtype(dtype))


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None) -> Array:
    """A tensor of one value; `dtype` defaults to `floatx`.

    >>> print(ops.full((2, 3), 7))
    [[7. 7. 7.]
     [7. 7. 7.]]
    """
    return B.full(sizes(shape), fill_value, standardize_dtype(dtype))


@op
def zeros_like(x: Tensor, dtype: Any = None) -> Array:
    """Zeros in the shape of `x`.

    >>> print(ops.zeros_like([[1, 2], [3, 4]]))
    [[0 0]
     [0 0]]
    """
    return B.zeros(x.shape, standardize_dtype(dtype or x.dtype))


@op
def ones_like(x: Tensor, dtype: Any = None) -> Array:
    """Ones in the shape of `x`.

    >>> print(ops.ones_like([1, 2]), ops.ones_like([1.0, 2.0]))
    [1 1] [1. 1.]
    """
    return B.full(x.shape, 1, standardize_dtype(dtype or x.dtype))


@op
def full_like(x: Tensor, fill_value: Any, dtype: Any = None) -> Array:
    """One value in the shape of `x`.

    >>> print(ops.full_like([1, 2], 9))
    [9 9]
    """
    return B.full(x.shape, fill_value, standardize_dtype(dtype or x.dtype))


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Array:
    """`start`, `start + step`, … below `stop`; with one argument from 0. int32 unless a bound is a float.

    >>> print(ops.arange(3), ops.arange(1, 2, 0.25))
    [0 1 2] [1.   1.25 1.5  1.75]
    """
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    if dtype is None:
        dtype = standardize_dtype(float if builtins.any(isinstance(v, float) for v in (start, stop, step)) else "int32")
    return B.arange(start, stop, step, standardize_dtype(dtype))


def _spaced(start: Array, stop: Array, num: int, endpoint: bool) -> tuple[Array, Array, Array]:
    """Both ends, in float32 at least, and the fractions of the way between them along a new first axis."""
    dtype = standardize_dtype(start.dtype)
    dtype = "float32" if dtype in ("float16", "bfloat16") else dtype
    rank = builtins.max(start.ndim, stop.ndim)
    fractions = B.arange(0, num, 1, dtype) / builtins.max(num - 1 if endpoint else num, 1)
    return B.cast(start, dtype), B.cast(stop, dtype), B.reshape(fractions, (num,) + (1,) * rank)


def _placed(values: Array, dtype: str, axis: int) -> Array:
    values = B.floor(values) if is_integer(dtype) else values
    return B.cast(moveaxis(values, 0, axis), dtype)


@op(promotion="float")
def linspace(
    start: Tensor,
    stop: Tensor,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced values from `start` to `stop`, along a new `axis`; with `retstep` also the distance.

    >>> print(ops.linspace(0, 1, 5), ops.linspace(0, 1, 4, endpoint=False))
    [0.   0.25 0.5  0.75 1.  ] [0.   0.25 0.5  0.75]
    """
    wanted = standardize_dtype(dtype or start.dtype)
    low, high, at = _spaced(start, stop, num, endpoint)
    values = _placed(low * (1 - at) + high * at, wanted, axis)
    gaps = builtins.max(num - 1 if endpoint else num, 1)
    return (values, B.cast((high - low) / gaps, standardize_dtype(start.dtype))) if retstep else values


@op(promotion="float")
def logspace(
    start: Tensor,
    stop: Tensor,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """`base` to the power of `num` evenly spaced values from `start` to `stop`, along a new `axis`.

    >>> print(ops.logspace(0, 3, 4, base=2).round(2))
    [1. 2. 4. 8.]
    """
    low, high, at = _spaced(start, stop, num, endpoint)
    exponents = low * (1 - at) + high * at
    values = B.power(B.full((), base, standardize_dtype(low.dtype)), exponents)
    return _placed(values, standardize_dtype(dtype or start.dtype), axis)


@op(promotion="float")
def geomspace(
    start: Tensor, stop: Tensor, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """`num` values from `start` to `stop`, each the same multiple of the one before, along a new `axis`.

    Both ends have the same sign, and neither is 0.

    >>> print(ops.geomspace(1, 8, 4).round(2))
    [1. 2. 4. 8.]
    """
    low, high, at = _spaced(start, stop, num, endpoint)
    values = B.sign(low) * B.power(B.abs(low), 1 - at) * B.power(B.abs(high), at)
    return _placed(values, standardize_dtype(dtype or start.dtype), axis)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """An (N, M) matrix with ones on the k-th diagonal.

    >>> print(ops.eye(2, 3, k=1))
    [[0. 1. 0.]
     [0. 0. 1.]]
    """
    rows, columns = B.arange(0, N, 1, "int32"), B.arange(0, N if M is None else M, 1, "int32")
    return B.cast(rows[:, None] + k == columns[None, :], standardize_dtype(dtype))


def identity(n: int, dtype: Any = None) -> Array:
    """An (n, n) matrix with ones on the diagonal.

    >>> print(ops.identity(2))
    [[1. 0.]
     [0. 1.]]
    """
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """An (N, M) matrix with ones on the k-th diagonal and below.

    >>> print(ops.tri(3))
    [[1. 0. 0.]
     [1. 1. 0.]
     [1. 1. 1.]]
    """
    return tril(ones((N, N if M is None else M), dtype), k)


@op
def tril(x: Tensor, k: int = 0) -> Array:
    """The lower triangle up to the k-th diagonal of (…, rows, columns), zeros above.

    >>> print(ops.tril([[1, 2], [3, 4]]))
    [[1 0]
     [3 4]]
    """
    rows, columns = B.arange(0, x.shape[-2], 1, "int32"), B.arange(0, x.shape[-1], 1, "int32")
    return B.where(rows[:, None] + k >= columns[None, :], x, B.zeros((), standardize_dtype(x.dtype)))


@op
def triu(x: Tensor, k: int = 0) -> Array:
    """The upper triangle from the k-th diagonal of (…, rows, columns), zeros below.

    >>> print(ops.triu([[1, 2], [3, 4]], k=1))
    [[0 2]
     [0 0]]
    """
    rows, columns = B.arange(0, x.shape[-2], 1, "int32"), B.arange(0, x.shape[-1], 1, "int32")
    return B.where(rows[:, None] + k <= columns[None, :], x, B.zeros((), standardize_dtype(x.dtype)))


def _check_vector_or_matrix(x: Any, k: int = 0) -> None:
    if len(shape(x)) not in (1, 2):
        raise ShapeError(f"diag: x should have one axis or two, got shape {shape(x)}. Of more, take `ops.diagonal`.")


@op(promotion=None, check=_check_vector_or_matrix)
def diag(x: Tensor, k: int = 0) -> Array:
    """A matrix with a vector on its k-th diagonal, or the k-th diagonal of a matrix.

    >>> print(ops.diag([1, 2]))
    [[1 0]
     [0 2]]
    >>> print(ops.diag([[1, 2], [3, 4]]))
    [1 4]
    """
    if x.ndim == 2:
        return diagonal(x, k)
    matrix = B.pad(x, [(0, k)])[:, None] if k > 0 else B.pad(x, [(0, -k)])[None, :]
    on_diagonal = eye(x.shape[0] + builtins.abs(k), k=k, dtype="bool")
    return B.where(on_diagonal, matrix, B.zeros((), standardize_dtype(x.dtype)))


@op(promotion=None)
def diagflat(x: Tensor, k: int = 0) -> Array:
    """A matrix with the flattened tensor on its k-th diagonal.

    >>> print(ops.diagflat([[1], [2]]))
    [[1 0]
     [0 2]]
    """
    return diag(ravel(x), k)


def _check_vander(x: Any, N: int | None = None, increasing: bool = False) -> None:
    if len(shape(x)) != 1:
        raise ShapeError(f"vander: x should have one axis, got shape {shape(x)}.")


@op(check=_check_vander)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Array:
    """The matrix (n, N) of the powers of each element, from the highest to the 0th unless `increasing`.

    >>> print(ops.vander([1, 2, 3]))
    [[1 1 1]
     [4 2 1]
     [9 3 1]]
    """
    count = x.shape[0] if N is None else N
    dtype, rows = standardize_dtype(x.dtype), x.shape[0]
    # Not by `power`, which has no gradient at 0⁰.
    factors = [B.full((rows, 1), 1, dtype), B.broadcast_to(x[:, None], (rows, builtins.max(count - 1, 0)))]
    powers = B.cast(B.cumprod(B.concatenate(factors, 1)[:, :count], 1), dtype)
    return powers if increasing else B.flip(powers, 1)


@op(promotion=None)
def meshgrid(*x: Tensor, indexing: str = "xy") -> list[Array]:
    """The coordinates of a grid, one tensor for each vector given; with "xy" the first two axes change places.

    >>> x, y = ops.meshgrid([1, 2, 3], [10, 20])
    >>> print(x)
    [[1 2 3]
     [1 2 3]]
    >>> print(y)
    [[10 10 10]
     [20 20 20]]
    """
    if indexing not in ("xy", "ij"):
        raise bad_choice("meshgrid: indexing", indexing, ("xy", "ij"))
    order = list(range(len(x)))
    if indexing == "xy" and len(x) > 1:
        order[:2] = 1, 0
    counts = tuple(math.prod(x[i].shape) for i in order)
    along = [tuple(-1 if j == i else 1 for j in order) for i in range(len(x))]
    return [B.broadcast_to(B.reshape(v, places), counts) for v, places in zip(x, along, strict=True)]


empty, empty_like = zeros, zeros_like
