"""Products of vectors, matrices and tensors."""

from __future__ import annotations

import builtins
import math
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ShapeError
from cornu.core.op import Tensor, op
from cornu.ops.elementwise import conj
from cornu.ops.shape import moveaxis, ravel, shape


def _check_matmul(x1: Any, x2: Any) -> None:
    a: Any = getattr(x1, "shape", ())
    b: Any = getattr(x2, "shape", ())
    if not len(a) or not len(b):
        raise ShapeError(f"matmul needs tensors of at least one axis, got shapes {tuple(a)} and {tuple(b)}.")
    inner, outer = a[-1], b[-2] if len(b) > 1 else b[-1]
    if inner is not None and outer is not None and inner != outer:
        hint = ""
        if len(b) > 1 and b[-1] == inner:
            hint = " Did you mean matmul(x1, transpose(x2))?"
        elif len(a) > 1 and a[-2] == outer:
            hint = " Did you mean matmul(transpose(x1), x2)?"
        raise ShapeError(
            f"matmul: the last size of x1 should equal the last but one of x2, got shapes {tuple(a)} and {tuple(b)}: "
            f"{inner} against {outer}.{hint}"
        )


def _wide(*operands: Array) -> Any:
    """The operands, int8 as int32, which a sum of products needs."""
    small = standardize_dtype(operands[0].dtype) == "int8"
    return [B.cast(x, "int32") for x in operands] if small else operands


@op(check=_check_matmul, sparse="sparse_matmul")
def matmul(x1: Tensor, x2: Tensor) -> Array:
    """The matrix product of (…, n, k) and (…, k, m), leading axes broadcast; int8 adds up in int32.

    >>> ops.matmul(ops.ones((5, 1, 2, 3)), ops.ones((4, 3, 6))).shape
    (5, 4, 2, 6)
    """
    return B.matmul(*_wide(x1, x2))


@op
def dense(x: Tensor, kernel: Tensor, bias: Tensor = None) -> Array:
    """x · kernel + bias: (…, n), (n, m), (m,) -> (…, m); a layer's own, no public op."""
    product = matmul(x, kernel)
    return product if bias is None else product + bias


@op
def dot(x1: Tensor, x2: Tensor) -> Array:
    """Σ over the last axis of x1 and the last but one of x2.

    >>> ops.dot(ops.ones((2, 3)), ops.ones((5, 3, 4))).shape
    (2, 5, 4)
    """
    if not x1.ndim or not x2.ndim:
        return x1 * x2
    return B.tensordot(x1, x2, ([x1.ndim - 1], [builtins.max(x2.ndim - 2, 0)]))


@op
def tensordot(x1: Tensor, x2: Tensor, axes: Any = 2) -> Array:
    """Σ over the given axes of both: a count of last and first ones, or a pair of lists.

    >>> ops.tensordot(ops.ones((2, 3, 4)), ops.ones((4, 3, 5)), axes=([1, 2], [1, 0])).shape
    (2, 5)
    """
    return B.tensordot(x1, x2, axes)


@op
def outer(x1: Tensor, x2: Tensor) -> Array:
    """The products of all pairs of elements, (n, m) from n and m elements.

    >>> print(ops.outer([1, 2], [10, 20, 30]))
    [[10 20 30]
     [20 40 60]]
    """
    return B.reshape(x1, (-1, 1)) * B.reshape(x2, (1, -1))


def summed_last(first: str, second: str, result: str) -> int:
    """How many axes an equation sums over, if they are the last of one operand and the first of the other, else 0.

    The others stay in order, so that it is one product of matrices; the first operand may have `...`.
    """
    summed = "".join(letter for letter in second if letter not in result)
    free, made = first.removesuffix(summed), second[len(summed) :]
    letters = (first + made).replace("...", "", 1)
    in_order = (first, second, result) == (free + summed, summed + made, free + made)
    return len(summed) if in_order and letters.isalpha() and len(set(letters)) == len(letters) else 0


@op
def einsum(subscripts: str, *operands: Tensor, **kwargs: Any) -> Array:
    """Einstein's summation: `einsum("bij,bjk->bik", a, b)`; int8 adds up in int32.

    >>> print(ops.einsum("ij,ij->i", [[1, 2], [3, 4]], [[1, 1], [1, 1]]))
    [3 7]
    """
    operands = _wide(*operands)
    terms = subscripts.replace(" ", "").partition("->")
    letters = terms[0].split(",")
    if len(operands) == 2 and [len(each) for each in letters] == [x.ndim for x in operands]:
        (a, b), summed = operands, summed_last(letters[0], letters[1], terms[2])
        if summed and a.shape[-summed:] == b.shape[:summed] and not {0, None} & {*a.shape, *b.shape}:
            rows = B.reshape(a, (-1, math.prod(b.shape[:summed])))
            made = B.matmul(rows, B.reshape(b, (rows.shape[-1], -1)))
            return B.reshape(made, (*a.shape[:-summed], *b.shape[summed:]))
    return B.einsum(subscripts, *operands)


@op
def inner(x1: Tensor, x2: Tensor) -> Array:
    """Σ over the last axes of both: (…, n) and (---, n) give (…, ---); with a scalar the multiple.

    >>> print(ops.inner([1, 2], [[1, 1], [0, 3]]))
    [3 6]
    """
    return x1 * x2 if not (x1.ndim and x2.ndim) else B.tensordot(x1, x2, ([x1.ndim - 1], [x2.ndim - 1]))


@op
def vdot(x1: Tensor, x2: Tensor) -> Array:
    """Σ x1* · x2 over all elements, where x1* is the complex conjugate: a scalar.

    >>> print(ops.vdot(ops.array([1 + 2j]), ops.array([1 + 2j])))
    (5+0j)
    """
    return B.tensordot(conj(ravel(x1)), ravel(x2), 1)


@op
def kron(x1: Tensor, x2: Tensor) -> Array:
    """Kronecker's product: each element of x1 times all of x2, (m, n) and (p, q) giving (m p, n q).

    >>> print(ops.kron([1, 10], [1, 2, 3]))
    [ 1  2  3 10 20 30]
    """
    rank = builtins.max(x1.ndim, x2.ndim)
    a, b = ((1,) * (rank - x.ndim) + tuple(x.shape) for x in (x1, x2))
    pairs = B.reshape(x1, [size for n in a for size in (n, 1)]) * B.reshape(x2, [size for n in b for size in (1, n)])
    return B.reshape(pairs, [m * n for m, n in zip(a, b, strict=True)])


def _check_cross(x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> None:
    for name, x, at in (("x1", x1, axisa), ("x2", x2, axisb)):
        at = at if axis is None else axis
        if not -len(shape(x)) <= at < len(shape(x)) or shape(x)[at] not in (2, 3, None):
            raise ShapeError(f"cross: {name} should have 2 or 3 elements along axis {at}, got shape {shape(x)}.")


@op(check=_check_cross)
def cross(x1: Tensor, x2: Tensor, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Array:
    """The vector product x1 × x2 along the given axes; of vectors in the plane, the one component that is not 0.

    >>> print(ops.cross([1, 0, 0], [0, 1, 0]), ops.cross([1, 0], [0, 1]))
    [0 0 1] 1
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    a, b = ([x[..., i] for i in range(x.shape[-1])] for x in (x1, x2))
    if len(a) == len(b) == 2:
        return a[0] * b[1] - a[1] * b[0]
    nothing = B.zeros((), standardize_dtype(x1.dtype))
    (a0, a1, a2), (b0, b1, b2) = (v if len(v) == 3 else [*v, nothing] for v in (a, b))
    return moveaxis(B.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], -1), -1, axisc)
