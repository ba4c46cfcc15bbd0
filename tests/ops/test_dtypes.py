"""What dtype comes out: as with Keras, for every case of the conformance suite; and the public signatures."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import keras
import pytest

import cornu.ops as ops
from cornu.base import config
from cornu.base.dtypes import standardize_dtype
from cornu.core.symbolic import KerasTensor
from cornu.testing.conformance.case import Case, numpy_dtype
from cornu.testing.conformance.cases import CASES

DTYPES = ("bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32")
# Ours alone, or what differs on purpose: `mish`, `grad` and `value_and_grad` are no part of Keras' ops.
NOT_PUBLIC = {"grad", "mish", "value_and_grad"}
SHAPED = [c for c in CASES if c.symbolic and c.call is None and c.free() and c.op not in NOT_PUBLIC]
DIFFERENT = {
    "is_tensor": "says so of the symbolic tensor",
    "one_hot": "int32 classes need no float",
}


def dtypes(results: Any) -> list[str]:
    return [standardize_dtype(leaf.dtype) for leaf in jax.tree.leaves(results) if hasattr(leaf, "dtype")]


@pytest.mark.parametrize("case", {(c.op, len(c.kwargs)): c for c in SHAPED}.values(), ids=lambda c: c.id)
def test_result_dtype_is_that_of_keras(case: Case) -> None:
    if case.op in DIFFERENT:
        pytest.xfail(DIFFERENT[case.op])
    for dtype in DTYPES:
        try:
            arrays = [a.astype(numpy_dtype(dtype)) if a.dtype == "float32" else a for a in case.arrays("float32")]
            theirs = dtypes(jax.eval_shape(lambda *given: case.run(keras.ops, *given), *arrays))
        except (TypeError, ValueError, AttributeError):  # Keras does not take this dtype
            continue
        symbols = [KerasTensor(a.shape, standardize_dtype(a.dtype)) for a in arrays]
        assert dtypes(case.run(ops, *symbols)) == theirs, dtype


@pytest.mark.parametrize("name", sorted(set(ops.__all__) - NOT_PUBLIC))
def test_signature_is_that_of_keras(name: str) -> None:
    def shown(fn: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(fn).parameters.values() if p.kind is not p.VAR_KEYWORD]

    ours, theirs = shown(getattr(ops, name)), shown(getattr(keras.ops, name))
    assert ours[: len(theirs)] == theirs or name == "cond"  # Keras' class of `cond` takes what it likes


def test_numpy_gives_the_dtypes_of_jax() -> None:
    found = {}
    for backend in ("jax", "numpy"):
        with config.backend_scope(backend):
            found[backend] = {
                case.id: dtypes(case.run(ops, *(KerasTensor(a.shape, standardize_dtype(a.dtype)) for a in case.arrays(d))))
                for case in SHAPED
                for d in case.dtypes
            }
    assert found["jax"] == found["numpy"]
