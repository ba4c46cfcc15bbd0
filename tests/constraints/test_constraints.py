"""Constraints against Keras' and their definitions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from cornu import constraints, ops
from cornu.base.errors import ArgumentError, UnknownNameError
from tests.backends import LOW_PRECISION

X = 3 * np.random.default_rng(0).normal(size=(3, 3, 4)).astype("float32")
CASES: list[tuple[str, dict[str, Any]]] = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": -1}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.8, "rate": 0.4, "axis": 1}),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("name", "options"), CASES)
def test_projections_are_those_of_keras(name: str, options: dict[str, Any]) -> None:
    expected = np.asarray(getattr(keras.constraints, name)(**options)(X))
    found = getattr(constraints, name)(**options)(ops.convert_to_tensor(X))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_configurations_go_round(name: str, options: dict[str, Any]) -> None:
    original = getattr(constraints, name)(**options)
    data = constraints.serialize(original)
    assert (data["module"], data["class_name"]) == ("keras.constraints", name)
    assert constraints.deserialize(data).get_config() == original.get_config()
    assert keras.constraints.deserialize(data).get_config() == original.get_config()


@pytest.mark.parametrize(("dtype", "backend"), LOW_PRECISION, indirect=["backend"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_dtypes_stay(name: str, options: dict[str, Any], dtype: str, backend: str) -> None:
    assert ops.dtype(getattr(constraints, name)(**options)(ops.cast(X, dtype))) == dtype


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("MaxNorm", {"max_value": -1}, "max_value should be"),
        ("MaxNorm", {"max_value": "a"}, "max_value should be"),
        ("MinMaxNorm", {"min_value": -1}, "min_value should be"),
        ("MinMaxNorm", {"min_value": 1, "max_value": 0.5}, r"max_value should be .* \[1.0, inf\], got 0.5"),
        ("MinMaxNorm", {"rate": 1.5}, r"rate should be a number within \[0, 1\], got 1.5"),
        ("MaxNorm", {"max": 1}, "has no argument 'max'"),
    ],
)
def test_arguments_out_of_bounds(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}.*{message}"):
        getattr(constraints, name)(**options)


def test_get() -> None:
    for name in ("max_norm", "MaxNorm", "maxnorm"):
        assert isinstance(constraints.get(name), constraints.MaxNorm)
    assert isinstance(constraints.get("nonneg"), constraints.NonNeg)
    assert constraints.get(None) is None
    assert constraints.max_norm(3).max_value == 3
    with pytest.raises(UnknownNameError, match=r"Did you mean 'unit_norm'\?"):
        constraints.get("unit_norms")
    with pytest.raises(NotImplementedError, match="should define `__call__"):
        constraints.Constraint()(X)
