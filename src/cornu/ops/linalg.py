"""Linear algebra on matrices (…, rows, columns), batched over leading axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError, bad_choice
from cornu.core.op import Tensor, op
from cornu.ops.creation import eye
from cornu.ops.reduction import in_float32
from cornu.ops.reduction import max as largest
from cornu.ops.shape import moveaxis, shape, swapaxes
from cornu.ops.transforms import jvp as jvp

_MATRIX_NORMS = (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def _matrices(name: str, square: bool = True) -> Callable[..., None]:
    """The check of an op on matrices."""

    def check(x: Any, *_: Any, **__: Any) -> None:
        sizes = shape(x)
        if len(sizes) < 2 or (square and None not in sizes[-2:] and sizes[-2] != sizes[-1]):
            wanted = "a square matrix (…, n, n)" if square else "a matrix (…, rows, columns)"
            raise ShapeError(f"{name}: the argument should be {wanted}, leading axes being a batch, got shape {sizes}.")

    return check


def _systems(name: str, square: bool = True) -> Callable[..., None]:
    """The check of an op that solves a · x = b."""
    check_matrices = _matrices(name, square)

    def check(a: Any, b: Any, *_: Any, **__: Any) -> None:
        check_matrices(a)
        left, right = shape(a), shape(b)
        if not right:
            raise ShapeError(f"{name}: b should be a vector (n,) or a matrix (…, n, k), got a scalar.")
        vectors = len(right) == 1 or (name == "solve_triangular" and right == left[:-1])
        rows = right[-1] if vectors else right[-2]
        if None not in (rows, left[-2]) and rows != left[-2]:
            hint = " For one vector for each matrix, give b[..., None]." if right == left[:-1] else ""
            raise ShapeError(f"{name}: b should have as many rows as a, got shapes {left} of a and {right} of b.{hint}")

    return check


def _adjoint(x: Array) -> Array:
    return B.conj(swapaxes(x, -2, -1))


def _epsilon(x: Array) -> float:
    """The relative error of one number, times the larger size: what rounding may make of a singular value of 0."""
    limits: Any = ml_dtypes.finfo(standardize_dtype(x.dtype))  # type: ignore[no-untyped-call]
    return float(max(x.shape[-2:]) * limits.eps)


@op(promotion="float", check=_matrices("cholesky"), fuse=False)
@in_float32
def cholesky(x: Tensor, upper: bool = False) -> Array:
    """The lower triangular L with L · Lᴴ = x, or `upper` Lᴴ, of a symmetric (the symmetric part is taken) matrix.

    Raises ArgumentError if the matrix is not positive definite; under a compiler the factor is NaN then.

    >>> print(ops.cholesky([[4, 2], [2, 5]]))
    [[2. 0.]
     [1. 2.]]
    """
    factor = B.cholesky((x + _adjoint(x)) / 2)
    if not B.is_tracing(factor) and not B.to_numpy(B.all(B.isfinite(factor))):
        raise ArgumentError(
            f"cholesky: a matrix is not positive definite, so it has no factor (x has shape {tuple(x.shape)}). If "
            "rounding is the cause, add a small multiple of the identity."
        )
    return _adjoint(factor) if upper else factor


@op(promotion="float", check=_matrices("cholesky_inverse"))
@in_float32
def cholesky_inverse(x: Tensor, upper: bool = False) -> Array:
    """The inverse of A, given its Cholesky factor: A = x · xᴴ, or xᴴ · x if `upper`.

    >>> print(ops.cholesky_inverse([[2, 0], [0, 4]]))
    [[0.25   0.    ]
     [0.     0.0625]]
    """
    identity = eye(x.shape[-1], dtype=x.dtype)
    root = B.solve_triangular(x, B.broadcast_to(identity, x.shape), not upper)
    return B.matmul(root, _adjoint(root)) if upper else B.matmul(_adjoint(root), root)


@op(promotion="float", check=_matrices("det"))
@in_float32
def det(x: Tensor) -> Array:
    """The determinant, (…) from (…, n, n).

    >>> print(ops.det([[1, 2], [3, 4]]).round(3))
    -2.0
    """
    return B.det(x)


@op(promotion="float", check=_matrices("slogdet"))
@in_float32
def slogdet(x: Tensor) -> tuple[Array, Array]:
    """The sign of the determinant and the logarithm of its absolute value, which neither over- nor underflow.

    >>> print(*ops.slogdet([[0, 1], [1, 0]]))
    -1.0 0.0
    """
    sign, logarithm = B.slogdet(x)
    return sign, logarithm


@op(promotion="float", check=_matrices("logdet"))
@in_float32
def logdet(x: Tensor) -> Array:
    """ln |det x|, (…) from (…, n, n).

    >>> print(ops.det(1e-30 * ops.eye(3)), ops.logdet(1e-30 * ops.eye(3)).round(1))
    0.0 -207.2
    """
    return B.slogdet(x)[1]


@op(promotion="float", check=_matrices("eig"))
@in_float32
def eig(x: Tensor) -> tuple[Array, Array]:
    """The eigenvalues (…, n) in no order and, as columns, the eigenvectors (…, n, n), both complex.

    >>> print(ops.eig([[0, 1], [-1, 0]])[0])
    [0.+1.j 0.-1.j]
    """
    values, vectors = B.eig(x)
    return values, vectors


@op(promotion="float", check=_matrices("eigh"))
@in_float32
def eigh(x: Tensor) -> tuple[Array, Array]:
    """The eigenvalues in ascending order and, as columns, the eigenvectors of a symmetric matrix's symmetric part.

    >>> print(ops.eigh([[2, 0], [0, 1]])[0])
    [1. 2.]
    """
    values, vectors = B.eigh((x + _adjoint(x)) / 2)
    return values, vectors


@op(promotion="float", check=_matrices("inv"))
@in_float32
def inv(x: Tensor) -> Array:
    """The inverse; not finite where there is none.

    >>> print(ops.inv([[2, 0], [0, 4]]))
    [[0.5  0.  ]
     [0.   0.25]]
    """
    return B.solve(x, B.broadcast_to(eye(x.shape[-1], dtype=x.dtype), x.shape))


@op(promotion="float", check=_matrices("lu_factor", square=False))
@in_float32
def lu_factor(x: Tensor) -> tuple[Array, Array]:
    """P · L · U = x in one matrix, U on and above the diagonal and L, whose diagonal is 1, below it; and the pivots.

    Row i was exchanged with row pivots[i], for i = 0, 1, … in turn.

    >>> factors, pivots = ops.lu_factor([[0, 2], [1, 3]])
    >>> print(factors)
    [[1. 3.]
     [0. 2.]]
    >>> print(pivots)
    [1 1]
    """
    factors, pivots = B.lu_factor(x)
    return factors, pivots


@op(promotion="float", check=_matrices("matrix_rank", square=False))
@in_float32
def matrix_rank(x: Tensor, tol: Any = None) -> Array:
    """How many singular values exceed `tol` (where None, what rounding may make of 0), int32.

    >>> print(ops.matrix_rank([[1, 2], [2, 4]]))
    1
    """
    values = B.svd(x, False, False)
    if tol is None:
        limit = largest(values, -1, True, initial=0) * _epsilon(x)
    else:
        limit = B.convert(tol, standardize_dtype(values.dtype))[..., None]
    return B.cast(B.sum(B.cast(values > limit, "int32"), axis=-1), "int32")


@op(promotion="float", check=_matrices("pinv", square=False))
@in_float32
def pinv(x: Tensor, rcond: Any = None) -> Array:
    """The Moore-Penrose inverse; singular values up to `rcond` times the largest count as 0.

    >>> print(ops.pinv([[2], [0]]).round(2))
    [[0.5 0. ]]
    """
    return B.pinv(x, 10 * _epsilon(x) if rcond is None else rcond)


@op(promotion="float", check=_systems("lstsq", square=False))
@in_float32
def lstsq(a: Tensor, b: Tensor, rcond: Any = None) -> Array:
    """The shortest x that minimises ‖a · x - b‖, for b (rows,) or (…, rows, k); `rcond` as in `pinv`.

    >>> print(ops.lstsq([[1], [1], [1]], [1, 2, 6]).round(2))
    [3.]
    """
    inverse = B.pinv(a, _epsilon(a) if rcond is None else rcond)
    return B.matmul(inverse, b[..., None])[..., 0] if b.ndim == 1 else B.matmul(inverse, b)


def _check_qr(x: Any, mode: str = "reduced") -> None:
    _matrices("qr", square=False)(x)
    if mode not in ("reduced", "complete"):
        raise bad_choice("qr: mode", mode, ("reduced", "complete"))


@op(promotion="float", check=_check_qr)
@in_float32
def qr(x: Tensor, mode: str = "reduced") -> tuple[Array, Array]:
    """Q with orthonormal columns and the upper triangular R, Q · R = x; `"complete"` for a square Q.

    >>> q, r = ops.qr(ops.ones((5, 3)))
    >>> q.shape, r.shape
    ((5, 3), (3, 3))
    """
    q, r = B.qr(x, mode)
    return q, r


@op(promotion="float", check=_systems("solve"))
@in_float32
def solve(a: Tensor, b: Tensor) -> Array:
    """The x with a · x = b, for b (n,) or (…, n, k), leading axes broadcast; not finite where a is singular.

    >>> print(ops.solve([[2, 0], [0, 4]], [2, 2]))
    [1.  0.5]
    """
    return B.solve(a, b[..., None])[..., 0] if b.ndim == 1 else B.solve(a, b)


@op(promotion="float", check=_systems("solve_triangular"))
@in_float32
def solve_triangular(a: Tensor, b: Tensor, lower: bool = False) -> Array:
    """The x with a · x = b, of whose a only the upper (`lower`: lower) triangle is read.

    b is (n,), one vector for each matrix (…, n), or (…, n, k); leading axes are broadcast.

    >>> print(ops.solve_triangular([[2, 9], [1, 4]], [2, 5], lower=True))
    [1. 1.]
    """
    if b.ndim == 1 or tuple(b.shape) == tuple(a.shape[:-1]):
        return B.solve_triangular(a, b[..., None], lower)[..., 0]
    return B.solve_triangular(a, b, lower)


@op(promotion="float", check=_matrices("svd", square=False))
@in_float32
def svd(x: Tensor, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """U, the singular values s in descending order, and Vᴴ, with U · diag(s) · Vᴴ = x; without `compute_uv` s alone.

    U and Vᴴ are square, or without `full_matrices` as small as min(rows, columns) allows.

    >>> print(ops.svd([[0, 2], [3, 0]], compute_uv=False).round(2))
    [3. 2.]
    """
    found = B.svd(x, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def _check_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> None:
    count = len(shape(x)) if axis is None else 1 if isinstance(axis, int) else len(axis)
    if count == 2 and ord not in _MATRIX_NORMS:
        raise ArgumentError(
            f"norm: ord of a matrix norm must be one of {', '.join(map(repr, _MATRIX_NORMS))}, got {ord!r}."
        )
    if count == 1 and isinstance(ord, str):
        raise ArgumentError(f"norm: ord of a vector norm must be None, a number, inf or -inf, got {ord!r}.")
    if ord is not None and count not in (1, 2):
        raise ShapeError(
            f"norm: ord={ord!r} is a norm along one axis or two, got {count} axes of shape {shape(x)}; give `axis`."
        )


@op(promotion="float", check=_check_norm)
@in_float32
def norm(x: Tensor, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors along one axis, of matrices along two; with `ord=None` the Euclidean one along any or all.

    Of vectors: (Σ |x|ᵖ)^(1/p) for `ord=p`, max for inf, min for -inf, the count of nonzeros for 0. Of matrices:
    `"fro"`, the sum (`"nuc"`), maximum (2) or minimum (-2) of the singular values, of the columns' (1, -1) or the rows'
    (inf, -inf) sums. Neither squares nor powers overflow; the gradient at 0 is 0.

    >>> print(ops.norm([[3, 4], [0, 2]], axis=1), ops.norm([3, 4], ord=1))
    [5. 2.] 7.0
    """
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    size = B.abs(x)
    if len(axes) == 2 and ord in ("nuc", 2, -2):
        values = B.svd(moveaxis(x, axes, (-2, -1)), False, False)
        found = (B.sum if ord == "nuc" else B.max if ord == 2 else B.min)(values, axis=-1)
        return B.expand_dims(found, tuple(sorted(a % x.ndim for a in axes))) if keepdims else found
    if ord in (None, "fro"):
        # With |x| for x the second derivative at 0 would be lost.
        found = _power_norm(x if is_float(standardize_dtype(x.dtype)) else size, 2, axes)
    elif len(axes) == 2:
        along, other = axes if abs(ord) == 1 else axes[::-1]
        found = (B.max if ord > 0 else B.min)(B.sum(size, axis=along, keepdims=True), axis=other, keepdims=True)
    elif abs(ord) == math.inf:
        found = (B.max if ord > 0 else B.min)(size, axis=axes, keepdims=True)
    elif ord == 0:
        found = B.sum(B.cast(size != 0, standardize_dtype(size.dtype)), axis=axes, keepdims=True)
    else:
        found = B.sum(size, axis=axes, keepdims=True) if ord == 1 else _power_norm(size, ord, axes)
    return found if keepdims else B.squeeze(found, axes)


def _power_norm(size: Array, p: float, axes: tuple[int, ...]) -> Array:
    """(Σ sizeᵖ)^(1/p), the axes kept; scaled so that no power overflows. For p = 2 they may have signs."""
    scale = largest(B.abs(size), axes, True, initial=0) if p > 0 else B.min(size, axis=axes, keepdims=True)
    scale = B.stop_gradient(B.where(B.logical_and(scale > 0, B.isfinite(scale)), scale, 1))
    total = B.sum((size / scale) ** p, axis=axes, keepdims=True)
    nothing = total == 0
    some = B.where(nothing, 1, total)  # a root has no slope at 0
    return B.where(nothing, total, B.sqrt(some) if p == 2 else some ** (1 / p)) * scale
