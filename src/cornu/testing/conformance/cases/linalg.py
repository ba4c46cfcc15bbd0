"""Matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from cornu.backend import B
from cornu.testing.conformance.case import ALL, FLOATS, NUMBERS, Case, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan

GENERAL = np.array([[[2.0, 1, 0], [-1, 3, 0.5], [0.25, 1, -2]], [[0.5, 2, 1], [3, -1, 0.25], [1, 0, 4]]])
DEFINITE = np.array([[[4.0, 1, 0.5], [1, 3, -1], [0.5, -1, 2]], [[2, -0.5, 0], [-0.5, 1, 0.25], [0, 0.25, 3]]])
TALL = np.array([[2.0, 1], [-1, 3], [0.25, 1], [1, -2]])
SMALL = np.array([[[1.0, 0], [0, 1]], [[2, 1], [3, -1]], [[1, 2], [2, 4]]])
SINGULAR = np.array([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])


def _symmetric(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, **kwargs: fn((x + np.swapaxes(x, -1, -2)) / 2, **kwargs)


def _upper(x: Any, upper: bool) -> Any:
    return np.swapaxes(np.linalg.cholesky((x + np.swapaxes(x, -1, -2)) / 2), -1, -2)


def _inverse_of_factor(x: Any, upper: bool = False) -> Any:
    root = np.triu(x) if upper else np.tril(x)
    other = np.swapaxes(root, -1, -2)
    return np.linalg.inv(other @ root if upper else root @ other)


def _rebuilt_svd(ops: Any, x: Any, **kwargs: Any) -> Any:
    u, s, vh = ops.svd(x, **kwargs)
    k = s.shape[-1]
    return ops.matmul(u[..., :k] * s[..., None, :], vh[..., :k, :]), s


def _orthogonality(ops: Any, x: Any) -> Any:
    u, _, vh = ops.svd(x)
    return [ops.matmul(q, ops.swapaxes(q, -1, -2)) for q in (u, vh)]


def _rebuilt_eigh(ops: Any, x: Any) -> Any:
    w, q = ops.eigh(x)
    return ops.matmul(q * w[..., None, :], ops.swapaxes(q, -1, -2)), w


def _residual(ops: Any, x: Any) -> Any:
    """x · v - v · λ, which is 0, and the sum of the eigenvalues."""
    w, q = ops.eig(x)
    x, right = ops.cast(x, "float32"), q * w[..., None, :]
    return x @ B.real(q) - B.real(right), x @ B.imag(q) - B.imag(right), ops.sum(B.real(w), -1)


def _rebuilt_qr(ops: Any, x: Any, **kwargs: Any) -> Any:
    q, r = ops.qr(x, **kwargs)
    return ops.matmul(q, r), ops.absolute(r)


def _lu(x: Any) -> Any:
    return np.vectorize(linalg.lu_factor, signature="(m,n)->(m,n),(k)")(x)


def _triangular(a: Any, b: Any, lower: bool = False) -> Any:
    a = np.tril(a) if lower else np.triu(a)
    vectors = b.ndim == a.ndim - 1
    return np.linalg.solve(a, b[..., None])[..., 0] if vectors else np.linalg.solve(a, b)


def _lstsq(a: Any, b: Any) -> Any:
    return np.linalg.lstsq(a, b)[0]


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return np.linalg.norm(x, ord, axis, keepdims)


CASES = [
    C("cholesky", (DEFINITE,), _symmetric(np.linalg.cholesky), dtypes=FLOATS),
    C("cholesky", (DEFINITE[0],), _upper, {"upper": True}, dtypes=ONE, batch=False),
    C("cholesky_inverse", (np.linalg.cholesky(DEFINITE),), _inverse_of_factor),
    C("cholesky_inverse", (_upper(DEFINITE, True),), _inverse_of_factor, {"upper": True}, dtypes=ONE),
    C("det", (GENERAL,), np.linalg.det, dtypes=NUMBERS),
    C("det", (SINGULAR,), np.linalg.det, dtypes=ONE, batch=False),
    C("det", (x(0, 0),), np.linalg.det, dtypes=ONE, batch=False),
    C("slogdet", (GENERAL,), lambda x: tuple(np.linalg.slogdet(x))),
    C("slogdet", (1e-30 * GENERAL,), lambda x: tuple(np.linalg.slogdet(x)), dtypes=ONE, gradient=False, label="tiny"),
    C("slogdet", (GENERAL[:, 1:, 1:],), lambda x: tuple(np.linalg.slogdet(x))),
    *(
        C("slogdet", (scale * SMALL,), lambda x: tuple(np.linalg.slogdet(x)), dtypes=ONE, gradient=False, label=label)
        for scale, label in ((1e-30, "tiny, 2x2"), (1e30, "huge, 2x2"))
    ),
    C("slogdet", (x(2, 0, 0),), lambda x: (np.ones(2), np.zeros(2)), dtypes=ONE),
    C("logdet", (1e30 * SMALL,), lambda x: np.linalg.slogdet(x)[1], dtypes=ONE, gradient=False, label="huge"),
    C("logdet", (DEFINITE,), lambda x: np.linalg.slogdet(x)[1]),
    C(
        "eig",
        (GENERAL,),
        lambda x: (0 * x, 0 * x, np.trace(x, 0, -2, -1)),
        call=_residual,
        symbolic=False,
        gradient=False,
    ),
    C("eigh", (DEFINITE,), _symmetric(lambda x: (x, np.linalg.eigvalsh(x))), call=_rebuilt_eigh),
    C("inv", (GENERAL,), np.linalg.inv),
    C("inv", (x(2, 0, 0),), np.linalg.inv, dtypes=ONE),
    C("lu_factor", (GENERAL,), _lu, dtypes=ONE),
    C("lu_factor", (TALL,), _lu, dtypes=ONE, batch=False),
    C("matrix_rank", (np.stack([SINGULAR, np.eye(3), np.zeros((3, 3))]),), np.linalg.matrix_rank, dtypes=NUMBERS),
    C("matrix_rank", (TALL,), lambda x, tol: np.array(1), {"tol": 3.0}, dtypes=ONE, batch=False),
    C("pinv", (GENERAL,), np.linalg.pinv),
    C("pinv", (TALL,), np.linalg.pinv, dtypes=ONE, batch=False),
    C("pinv", (SINGULAR,), np.linalg.pinv, dtypes=ONE, batch=False, gradient=False),
    C("lstsq", (TALL, v(1, 2, 3, 4)), _lstsq, batch=False),
    C("lstsq", (TALL, x(4, 2)), _lstsq, dtypes=ONE, batch=False),
    C("lstsq", (TALL.T, x(2, 3)), _lstsq, dtypes=ONE, batch=False),
    C("lstsq", (SINGULAR, x(3, 2)), _lstsq, dtypes=ONE, batch=False, gradient=False, label="singular"),
    C("qr", (GENERAL,), lambda x: (x, np.abs(np.linalg.qr(x)[1])), call=_rebuilt_qr),
    C("qr", (TALL,), lambda x: (x, np.abs(np.linalg.qr(x)[1])), call=_rebuilt_qr, dtypes=ONE, batch=False),
    C(
        "qr",
        (TALL,),
        lambda x, mode: (x, np.abs(np.linalg.qr(x, mode)[1])),
        {"mode": "complete"},
        call=_rebuilt_qr,
        dtypes=ONE,
        batch=False,
        gradient=False,
    ),
    C("solve", (GENERAL, x(2, 3, 2)), np.linalg.solve),
    C("solve", (GENERAL[0], x(3)), np.linalg.solve, dtypes=NUMBERS, batch=False),
    C("solve", (GENERAL, x(3, 4)), np.linalg.solve, dtypes=ONE, label="b broadcast"),
    C("solve", (GENERAL, x(3)), np.linalg.solve, dtypes=ONE, label="b a vector"),
    C("solve_triangular", (GENERAL, x(2, 3, 2)), _triangular),
    C("solve_triangular", (GENERAL[0], x(3)), _triangular, {"lower": True}, dtypes=ONE, batch=False),
    C("solve_triangular", (GENERAL, x(2, 3)), _triangular, dtypes=ONE, label="a vector for each matrix"),
    C("svd", (GENERAL,), lambda x, **_: (x, np.linalg.svd(x)[1]), {"full_matrices": True}, call=_rebuilt_svd),
    C(
        "svd",
        (TALL,),
        lambda x, **_: (x, np.linalg.svd(x)[1]),
        {"full_matrices": False},
        call=_rebuilt_svd,
        dtypes=ONE,
        batch=False,
    ),
    C("svd", (TALL,), lambda x: [np.eye(4), np.eye(2)], call=_orthogonality, dtypes=ONE, batch=False, gradient=False),
    C("svd", (GENERAL,), lambda x, **_: np.linalg.svd(x)[1], {"compute_uv": False}, dtypes=NUMBERS),
    C("norm", (x(2, 3, 4),), _norm, {"axis": -1}, dtypes=ALL),
    C("norm", (x(2, 3),), _norm),
    C("norm", (x(2, 3, 4),), lambda x, **_: np.sqrt((x**2).sum()).reshape(1, 1, 1), {"keepdims": True}, dtypes=ONE),
    *(
        C("norm", (x(2, 3),), _norm, {"ord": o, "axis": 1, "keepdims": True}, label=f"{o}", dtypes=d)
        for o, d in (
            (1, FLOATS),
            (2, FLOATS),
            (3, FLOATS),
            (0.5, ONE),
            (-1, ONE),
            (-2, ONE),
            (inf, NUMBERS),
            (-inf, ONE),
        )
    ),
    C("norm", (v(1, 0, 2, 0),), _norm, {"ord": 0}, gradient=False),
    *(
        C("norm", (x(3, 4),), _norm, {"ord": o, "axis": (0, 1)}, batch=False, dtypes=ONE, label=f"matrix {o}")
        for o in ("fro", "nuc", 1, -1, 2, -2, inf, -inf)
    ),
    *(
        C("norm", (x(2, 3, 4),), _norm, {"ord": o, "axis": (-1, 0), "keepdims": k}, label=f"matrices {o}, {k}")
        for o, k in (("nuc", True), ("nuc", False), (1, True), (-inf, False), (None, False))
    ),
    *(
        C("norm", (v(3 * s, 4 * s),), _norm, {"ord": o}, dtypes=ONE, gradient=False)
        for s in (1e-30, 1e30)
        for o in (None, 2, 3)
    ),
    C("norm", (v(1, inf, 2),), _norm, dtypes=ONE, gradient=False),
    C("norm", (v(1, nan, 2),), _norm, dtypes=ONE, gradient=False),
    C("norm", (x(2, 0),), _norm, {"axis": 1}, dtypes=ONE),
]
