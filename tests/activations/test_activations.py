"""Activations against Keras' and their definitions, on every backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from cornu import activations, ops
from cornu.base.errors import ArgumentError, UnknownNameError
from cornu.core.symbolic import KerasTensor
from tests.backends import LOW_PRECISION

X = np.array([[-30.0, -2.5, -1.0, -0.4], [0.0, 0.3, 1.0, 7.5], [0.2, -0.6, 2.0, 31.0]], "float32")
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in activations.__all__ if name not in ("get", "serialize", "deserialize", "threshold")),
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"negative_slope": 0.1, "max_value": 1.0, "threshold": 0.3}),
    ("gelu", {"approximate": True}),
    ("elu", {"alpha": 0.7}),
    ("celu", {"alpha": 0.7}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": 0}),
    ("glu", {"axis": 1}),
    ("hard_shrink", {"threshold": 0.35}),
    ("soft_shrink", {"threshold": 0.35}),
    ("squareplus", {"b": 1.0}),
    ("threshold", {"threshold": 0.1, "default_value": -1.0}),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("name", "options"), [case for case in CASES if case[0] != "sparsemax"])
def test_values_are_those_of_keras(name: str, options: dict[str, Any]) -> None:
    x = np.minimum(X, 20) if name == "exponential" else X
    expected = np.asarray(getattr(keras.activations, name)(x, **options))
    found = getattr(activations, name)(x, **options)
    assert ops.dtype(found) == "float32"
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.usefixtures("backend")
def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    found = np.asarray(activations.sparsemax(np.array([[0.1, 0.2, 1.5], [0.5, 0.4, -3.0], [0.0, 0.0, 0.0]], "float32")))
    np.testing.assert_allclose(found, [[0, 0, 1], [0.55, 0.45, 0], [1 / 3] * 3], atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "exponential", "linear", "silu", "glu"])
@pytest.mark.parametrize(("dtype", "backend"), LOW_PRECISION, indirect=["backend"])
def test_low_precision_stays(name: str, dtype: str, backend: str) -> None:
    x = ops.cast(np.clip(X, -5, 5), dtype)
    assert ops.dtype(activations.get(name)(x)) == dtype


@pytest.mark.parametrize("options", [{}, {"negative_slope": 0.1, "max_value": 6.0, "threshold": 0.5}])
def test_symbolic(options: dict[str, Any]) -> None:
    found = activations.relu(KerasTensor((None, 4)), **options)
    assert (found.shape, found.dtype) == ((None, 4), "float32")


def test_get() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get("ReLU") is activations.relu
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.hard_silu
    assert activations.get(np.tanh) is np.tanh
    with pytest.raises(UnknownNameError, match=r"Unknown activation 'rellu'\. Did you mean 'relu'\?"):
        activations.get("rellu")
    with pytest.raises(ArgumentError, match="activation should be a name"):
        activations.get(3)


@pytest.mark.parametrize("name", [n for n in activations.__all__ if n not in ("get", "serialize", "deserialize")])
def test_names_survive_saving(name: str) -> None:
    fn = getattr(activations, name)
    data = activations.serialize(fn)
    assert isinstance(data, str)
    assert activations.deserialize(data) is fn
