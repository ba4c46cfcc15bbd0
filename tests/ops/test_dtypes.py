"""What dtype comes out: as with Keras, for every case of the conformance suite; and the public signatures."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import jax
import keras
import numpy as np
import pytest

import cornu.ops as ops
from cornu.base import config
from cornu.base.dtypes import standardize_dtype
from cornu.core.symbolic import KerasTensor
from cornu.testing.conformance.case import Case, numpy_dtype
from cornu.testing.conformance.cases import CASES

DTYPES = ("bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32")
# Ours alone, or what differs on purpose: `mish`, `grad` and `value_and_grad` are no part of Keras' ops.
NOT_PUBLIC = {"checkpoint", "grad", "hessian_vector_product", "jit", "mish", "value_and_grad", "vjp"}
SHAPED = [
    c
    for c in CASES
    if c.symbolic and c.call is None and c.free() and c.op not in NOT_PUBLIC and "initial" not in c.kwargs
]
DIFFERENT = {
    "image.sobel_edges(2x4x5x3)": "Keras takes truth values, whose differences have no sign",
    "image.ssim": "Keras rounds the likeness to the images' integers",
    "layer_normalization": "Keras leaves integers unscaled where there is no gamma to promote them",
    "rms_normalization": "Keras gives integers back",
    "sparse_categorical_crossentropy": "Keras computes in 32 bits what we leave in 16",
}


def dtypes(results: Any) -> list[str]:
    return [standardize_dtype(leaf.dtype) for leaf in jax.tree.leaves(results) if hasattr(leaf, "dtype")]


def compared() -> list[Any]:
    """One case for each op and number of keywords; of an op that differs on purpose, one that does."""
    found = {(c.op, len(c.kwargs), c.id in DIFFERENT): c for c in SHAPED if c.op not in DIFFERENT} | {
        c.op: c for c in SHAPED if c.op in DIFFERENT
    }

    def marks(case: Case) -> Any:
        reason = DIFFERENT.get(case.id) or DIFFERENT.get(case.op)
        return pytest.mark.xfail(reason=reason, strict=True) if reason else ()

    return [pytest.param(c, id=c.id, marks=marks(c)) for c in found.values()]


@pytest.mark.parametrize("case", compared())
def test_result_dtype_is_that_of_keras(case: Case) -> None:
    for dtype in DTYPES:
        try:
            arrays = [a.astype(numpy_dtype(dtype)) if a.dtype == "float32" else a for a in case.arrays("float32")]
            theirs = dtypes(jax.eval_shape(lambda *given: case.run(keras.ops, *given), *arrays))
        except (TypeError, ValueError, AttributeError, OverflowError):  # Keras does not take this dtype
            continue
        symbols = [KerasTensor(a.shape, standardize_dtype(a.dtype)) for a in arrays]
        assert dtypes(case.run(ops, *symbols)) == theirs, dtype


@pytest.mark.parametrize("name", sorted(set(ops.__all__) - NOT_PUBLIC))
def test_signature_is_that_of_keras(name: str) -> None:
    def shown(fn: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(fn).parameters.values() if p.kind is not p.VAR_KEYWORD]

    ours, theirs = shown(getattr(ops, name)), shown(getattr(keras.ops, name))
    assert ours[: len(theirs)] == theirs or name == "cond"  # Keras' class of `cond` takes what it likes


@pytest.mark.parametrize(
    "dtypes_under_test",
    [
        ("float32", "float16", "int32", "bool"),
        pytest.param(
            ("bfloat16",),
            marks=pytest.mark.xfail(reason="NumPy makes float32 of bfloat16 and a Python float", strict=True),
        ),
    ],
    ids=["own", "bfloat16"],
)
def test_numpy_gives_the_dtypes_of_jax(dtypes_under_test: tuple[str, ...]) -> None:
    found = {}
    for backend in ("jax", "numpy"):
        with config.backend_scope(backend):
            found[backend] = {
                (case.id, d): dtypes(
                    case.run(ops, *(KerasTensor(a.shape, standardize_dtype(a.dtype)) for a in case.arrays(d)))
                )
                for case in SHAPED
                for d in case.dtypes
                if d in dtypes_under_test
            }
    assert found["jax"] == found["numpy"]


@pytest.mark.usefixtures("backend")
def test_products_of_int8_add_up_in_int32() -> None:
    x = ops.full((2, 40), 100, "int8")
    for found in (ops.matmul(x, ops.transpose(x)), ops.einsum("ik,jk->ij", x, x)):
        assert ops.dtype(found) == "int32"
        assert np.asarray(found).tolist() == [[400000, 400000]] * 2
    assert ops.dtype(ops.matmul(ops.cast(x, "uint8"), ops.cast(x, "uint8")[0])) == "uint8"


SCALAR_OPS = ("add", "multiply", "true_divide", "floor_divide", "power", "maximum", "less", "logical_and")
OPERATORS = {"add": operator.add, "multiply": operator.mul, "true_divide": operator.truediv, "less": operator.lt}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", SCALAR_OPS)
def test_python_scalars_promote_as_in_keras(name: str) -> None:
    for dtype in ("bool", "uint8", "int16", "int32", "float16", "bfloat16", "float32"):
        theirs, ours = keras.ops.ones((2,), dtype), ops.ones((2,), dtype)
        for scalar in (True, 2, 2.5):
            if (
                dtype == "bool" and scalar is True and name in ("power", "floor_divide")
            ):  # each backend has its own idea
                continue
            for order in (slice(None), slice(None, None, -1)):
                expected = standardize_dtype(getattr(keras.ops, name)(*(theirs, scalar)[order]).dtype)
                assert ops.dtype(getattr(ops, name)(*(ours, scalar)[order])) == expected, (dtype, scalar)
                symbols = (KerasTensor((None,), dtype), scalar)[order]
                assert getattr(ops, name)(*symbols).dtype == expected, (dtype, scalar)
                if name in OPERATORS:
                    assert OPERATORS[name](*symbols).dtype == expected, (dtype, scalar)
