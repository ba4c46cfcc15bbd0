"""Linear algebra: errors, dtypes and singular matrices; values and gradients are the conformance suite's."""

from __future__ import annotations

import math
from typing import Any

import jax
import keras
import numpy as np
import pytest

import cornu.ops as ops
from cornu.backend import B
from cornu.base import config
from cornu.base.errors import ArgumentError, ShapeError
from cornu.core.symbolic import KerasTensor

BACKENDS = pytest.mark.parametrize("backend", ["jax", "numpy"])
SQUARE = "cholesky cholesky_inverse det eig eigh inv logdet slogdet".split()
ANY = "lu_factor matrix_rank pinv qr svd".split()
F = np.float32
RNG = np.random.default_rng(0)
A, B_ = RNG.normal(size=(3, 3)).astype(F), RNG.normal(size=(3, 2)).astype(F)
DEFINITE = A @ A.T + np.eye(3, dtype=F)


def symbolic(value: Any) -> Any:
    return KerasTensor(value.shape, "float32") if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        *((name, (np.ones((2, 3), F),), f"{name}: .*square matrix.*got shape \\(2, 3\\)") for name in SQUARE),
        *((name, (np.ones(3, F),), f"{name}: .*matrix.*got shape \\(3,\\)") for name in SQUARE + ANY),
        ("solve", (np.ones((2, 3), F), np.ones(2, F)), "solve: .*square matrix.*got shape \\(2, 3\\)"),
        ("solve", (np.ones((3, 3), F), np.ones(2, F)), "solve: b .*rows.*\\(3, 3\\) of a and \\(2,\\) of b"),
        ("solve", (np.ones((2, 3, 3), F), np.ones((2, 3), F)), "solve: b .*give b\\[..., None\\]"),
        ("solve", (np.ones((3, 3), F), np.ones((), F)), "solve: b should be a vector"),
        ("solve_triangular", (np.ones((3, 3), F), np.ones((4, 1), F)), "solve_triangular: b .*rows"),
        ("lstsq", (np.ones((4, 3), F), np.ones(3, F)), "lstsq: b .*\\(4, 3\\) of a and \\(3,\\) of b"),
        ("norm", (np.ones((2, 2, 2), F), 1), "norm: ord=1.*3 axes.*give `axis`"),
    ],
)
def test_shapes_that_do_not_fit(name: str, args: tuple[Any, ...], message: str) -> None:
    for given in (args, tuple(map(symbolic, args))):
        with pytest.raises(ShapeError, match=message):
            getattr(ops, name)(*given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.qr(A, mode="completed"), "qr: mode must be one of 'reduced', 'complete'.*Did you mean 'complete'"),
        (lambda: ops.norm(A, "frob"), "norm: ord of a matrix norm must be one of None, 'fro'.*got 'frob'"),
        (lambda: ops.norm(A, 3), "norm: ord of a matrix norm.*got 3"),
        (lambda: ops.norm(A, "fro", axis=1), "norm: ord of a vector norm.*got 'fro'"),
        (lambda: ops.cholesky(-DEFINITE), "cholesky: a matrix is not positive definite"),
        (lambda: ops.cholesky(DEFINITE * np.nan), "cholesky: a matrix is not positive definite"),
    ],
)
@BACKENDS
def test_arguments_that_make_no_sense(backend: str, call: Any, message: str) -> None:
    with config.backend_scope(backend), pytest.raises(ArgumentError, match=message):
        call()


def test_compiled_cholesky_of_an_indefinite_matrix_is_nan() -> None:
    assert np.isnan(B.to_numpy(ops.jit(ops.cholesky)(-DEFINITE))).any()


@pytest.mark.parametrize("op", ["cholesky", "eig", "eigh", "svd", "pinv", "inv", "lu_factor", "qr", "det"])
@BACKENDS
def test_inference_knows_the_shapes(backend: str, op: str) -> None:
    """Also on NumPy, where it computes with matrices that have no inverse, no factor."""
    with config.backend_scope(backend):
        found = jax.tree.leaves(getattr(ops, op)(KerasTensor((None, 3, 3))), is_leaf=lambda x: hasattr(x, "shape"))
        expected = jax.tree.leaves(getattr(ops, op)(np.stack([DEFINITE] * 4)))
    assert [(s.shape, s.dtype) for s in found] == [((None, *a.shape[1:]), str(a.dtype)) for a in expected]


@pytest.mark.parametrize("op", ["inv", "solve"])
@BACKENDS
def test_a_singular_matrix_spoils_its_own_result_alone(backend: str, op: str) -> None:
    with config.backend_scope(backend):
        batch = np.stack([np.ones((3, 3), F), A])
        args = (batch,) if op == "inv" else (batch, np.stack([np.eye(3, dtype=F)] * 2))
        found = B.to_numpy(getattr(ops, op)(*args))
    assert not np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[1] @ A, np.eye(3), atol=1e-4)


@pytest.mark.parametrize("op", ["cholesky", "eigh", "svd", "pinv"])
def test_numpy_gives_nan_where_lapack_gives_up(op: str) -> None:
    with config.backend_scope("numpy"):
        batch = np.stack([np.full((3, 3), np.nan, F), DEFINITE])
        if op == "cholesky":  # the op says so itself
            found = B.cholesky(batch)
        else:
            found = getattr(ops, op)(batch)
    for part in jax.tree.leaves(found):
        assert np.isnan(part[0]).any()
        assert np.isfinite(part[1]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", ["cholesky", "det", "eigh", "inv", "pinv", "qr", "slogdet", "svd", "norm"])
def test_half_precision_is_computed_in_single(op: str, dtype: str) -> None:
    found = getattr(ops, op)(ops.cast(DEFINITE, dtype))
    exact = getattr(ops, op)(ops.cast(ops.cast(DEFINITE, dtype), "float32"))
    for half, single in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        assert str(half.dtype) == dtype
        assert np.array_equal(half, single.astype(dtype))


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("solve", (np.stack([A] * 3), np.stack([A[0]] * 3))),  # (3, 3, 3) and (3, 3): b is a matrix
        ("solve_triangular", (np.stack([A] * 3), np.stack([A[0]] * 3))),  # here it holds a vector for each matrix
        ("solve_triangular", (np.stack([A] * 2), np.ones((3, 4), F))),
        ("solve_triangular", (np.stack([A] * 2), A[0])),
        ("lstsq", (np.array([[1, 0], [0, 3e-7]], F), np.ones(2, F))),
        ("lstsq", (np.array([[1, 0], [0, 1e-7]], F), np.ones(2, F))),
        ("pinv", (np.array([[1, 0], [0, 3e-6]], F),)),
        ("pinv", (np.array([[1, 0], [0, 1e-6]], F),)),
        ("pinv", (A, 0.5)),
        ("matrix_rank", (np.array([[1, 0], [0, 3e-7]], F),)),
        ("matrix_rank", (np.array([[1, 0], [0, 2e-7]], F),)),
        ("matrix_rank", (np.stack([A, 2 * A]), np.array([1.0, 2.0], F))),
        ("logdet", (-DEFINITE,)),
        ("cholesky_inverse", (np.linalg.cholesky(DEFINITE),)),
        ("cholesky_inverse", (np.linalg.cholesky(DEFINITE).T, True)),
        ("eigh", (A,)),
        ("norm", (np.ones((2, 3), F), math.inf)),
        ("norm", (A[:, 0], 0)),
    ],
)
def test_conventions_are_those_of_keras(op: str, args: tuple[Any, ...]) -> None:
    ours, theirs = jax.tree.leaves(getattr(ops, op)(*args)), jax.tree.leaves(tuple_of(getattr(keras.ops, op)(*args)))
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def tuple_of(results: Any) -> Any:
    return tuple(results) if isinstance(results, tuple) else results


@pytest.mark.parametrize("ord", [None, 2, 3, "fro"])
def test_the_norm_of_zeros_has_gradient_zero(ord: Any) -> None:
    axis = (0, 1) if ord == "fro" else 1
    gradient = ops.grad(lambda x: ops.sum(ops.norm(x, ord, axis)))(np.zeros((2, 3), F))
    assert np.array_equal(gradient, np.zeros((2, 3)))


def test_pinv_of_a_deficient_matrix_has_a_finite_gradient() -> None:
    deficient = np.array([[1, 2], [2, 4], [0, 0]], F)
    assert np.isfinite(ops.grad(lambda x: ops.sum(ops.pinv(x)))(deficient)).all()


def test_the_module_has_the_names_of_keras() -> None:
    from cornu.ops import linalg

    assert {name for name in dir(keras.ops.linalg) if not name.startswith("_")} <= {*dir(linalg)}
