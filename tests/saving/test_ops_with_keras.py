"""Graphs of ops go both ways: for every op that can stand in one, Keras loads what we save, and we what it saves."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

import cornu
from cornu.base import tree
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError
from cornu.saving import register_serializable
from cornu.testing.conformance.case import Case, v, x
from cornu.testing.conformance.cases import CASES

# Which case of an op, if not the first: Keras does not compute that one, from whatever it was made.
CHOSEN: dict[str, int | tuple[Any, ...]] = {
    "average_pool": (x(2, 4, 4, 3), 2, 1),
    "heaviside": 1,
    "hstack": 1,
    "logdet": 1,
    "image.affine_transform": (x(1, 5, 5, 3), v([1.0, 0.1, 0.3, 0.1, 0.9, 0.2, 0.0, 0.0])),
    "max_pool": (x(2, 4, 4, 3), 2, 1),
    "multiply": 2,
    "norm": 5,
    "view_as_complex": 1,
}
# What is not saved, and what the error says instead.
UNSAVED = {
    **dict.fromkeys(
        ("while_loop", "fori_loop", "scan", "switch", "associative_scan", "hessian_vector_product"),
        "A lambda cannot be saved",
    ),
    **dict.fromkeys(("vectorize", "checkpoint", "grad"), "is no public op"),
}
# What Keras does not load of ours, and why.
LIST = "its own call refuses the list that stands in JSON for a tuple"
NOT_IN_KERAS = {
    "mish": "Keras has no such op",
    "cond": "Keras' takes no operands",
    "histogram": "Keras has none on JAX",
    "cholesky_inverse": "Keras has none of batches",
    "conv_transpose": "Keras' object passes its arguments in another order than it takes them",
    "sparsemax": "Keras computes something else",
    "argpartition": "the order within the parts is free",
    "adaptive_average_pool": LIST,
    "adaptive_max_pool": LIST,
    "rot90": LIST,
    "dtype": "no tensor comes out",
}
GRADIENTS = ("jvp", "grad", "hessian_vector_product")  # not on NumPy, which is the fastest here


def table() -> dict[str, Case]:
    found: dict[str, list[Case]] = {}
    for case in CASES:
        if case.symbolic and case.arrays(case.dtypes[0]):
            found.setdefault(case.op, []).append(case)
    chosen = {op: CHOSEN.get(op, 0) for op in found}
    return {op: found[op][i] if isinstance(i, int) else Case(op, i, lambda: None) for op, i in chosen.items()}


OPS = table()


def graph(k: Any, op: str) -> Any:
    """The model of one call."""
    case = OPS[op]
    inputs = [k.Input(batch_shape=a.shape, dtype=str(a.dtype)) for a in case.arrays(case.dtypes[0])]
    outputs = tree.flatten(case.run(k.ops, *inputs))
    return k.Model(inputs, [one for one in outputs if type(one).__name__ == "KerasTensor"])


def told(model: Any) -> Any:
    return json.loads(json.dumps(model.get_config()))


def computed(model: Any, arrays: Any) -> list[np.ndarray]:
    return [np.asarray(one) for one in tree.flatten(model(arrays))]


def agree(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", OPS)
def test_op(op: str) -> None:
    arrays = OPS[op].arrays(OPS[op].dtypes[0])
    with backend_scope("jax" if op in GRADIENTS else "numpy"):
        ours = graph(cornu, op)
        if op in UNSAVED:
            with pytest.raises(ArgumentError, match=UNSAVED[op]):
                told(ours)
            return
        described, expected = told(ours), computed(ours, arrays)
        agree(computed(cornu.Model.from_config(described), arrays), expected)
    try:
        agree(computed(keras.Model.from_config(described), [keras.ops.convert_to_tensor(a) for a in arrays]), expected)
    except Exception:
        if op in NOT_IN_KERAS:
            return
        raise
    assert op not in NOT_IN_KERAS, "it works now: take it off the list"
    if op in ("jit", "custom_gradient"):
        return  # Keras has them, if at all, outside of graphs
    theirs = told(graph(keras, op))
    with backend_scope("jax" if op in GRADIENTS else "numpy"):
        agree(computed(cornu.Model.from_config(theirs), arrays), expected)


def added(a: Any, b: Any) -> Any:
    return a + b


def stepped(carry: Any, row: Any) -> Any:
    return carry + row, carry * row


for function in (added, stepped):
    register_serializable("tests")(function)
    keras.saving.register_keras_serializable("tests")(function)

EXPRESSIONS = {
    "arithmetic": lambda k, x: (1 - x * 2 + x / 3) ** 2 - abs(-x),
    "floor": lambda k, x: x // 0.5 + x % 0.3 + 2**x + round(x),
    "comparisons": lambda k, x: k.ops.where(((x > 0) & (x <= 1)) | ~(x >= -1) ^ (x == 0), x, x != 0.5),
    "matmul": lambda k, x: x @ k.ops.transpose(x) @ np.ones((2, 4), "float32"),
    "a row": lambda k, x: x[1],
    "a number": lambda k, x: x[1, 2],
    "slices": lambda k, x: x[..., None, ::-1][:, 0, 1:],
    "flat": lambda k, x: k.ops.reshape(x, -1),
    "cast": lambda k, x: k.ops.cast(x, np.int32),
    "named": lambda k, x: k.ops.mean(k.ops.concatenate([x, x], axis=-1), axis=1, keepdims=True),
    "several": lambda k, x: k.ops.add(*k.ops.split(x, 2, axis=1)),
    "top": lambda k, x: k.ops.top_k(x, 2)[1],
    "scan": lambda k, x: k.ops.scan(stepped, x[0], x)[1],
    "associative scan": lambda k, x: k.ops.associative_scan(added, x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression(name: str) -> None:
    """Both ways, and back to each house."""
    rows = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    expected = None
    for first in (cornu, keras):
        symbol = first.Input(batch_shape=(2, 4))
        model = first.Model(symbol, EXPRESSIONS[name](first, symbol))
        expected = computed(model, rows) if expected is None else expected
        for second in (cornu, keras):
            agree(computed(second.Model.from_config(told(model)), rows), expected)


@pytest.mark.parametrize("backend", ["jax", "numpy", "tensorflow", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_arrays_of_any_backend_in_a_graph_are_saved(backend: str, dtype: str) -> None:
    with backend_scope(backend):
        symbol = cornu.Input(batch_shape=(2, 4))
        numbers = cornu.ops.convert_to_tensor([1, 2, 3, 4], dtype)
        described = told(cornu.Model(symbol, symbol * numbers + cornu.ops.cast(cornu.ops.max(numbers), "float32")))
    rows = np.ones((2, 4), "float32")
    for made in (cornu.Model.from_config(described), keras.Model.from_config(described)):
        agree(computed(made, rows), [np.array([[5, 6, 7, 8]] * 2, "float32")])


def test_lists_as_indices_are_ours_alone() -> None:
    symbol = cornu.Input(batch_shape=(2, 4))
    rows = np.arange(8, dtype="float32").reshape(2, 4)
    for key in (([1, 0],), (slice(None), [0, 3])):
        again = cornu.Model.from_config(told(cornu.Model(symbol, symbol[key])))
        np.testing.assert_array_equal(computed(again, rows)[0], rows[key])


def test_unknown_ops_are_named() -> None:
    symbol = cornu.Input((4,))
    described = told(cornu.Model(symbol, cornu.ops.relu(symbol)))
    described["layers"][1]["class_name"] = "Relux"
    with pytest.raises(ArgumentError, match=r"'Relux', which does not exist. Did you mean 'relu'"):
        cornu.Model.from_config(described)
