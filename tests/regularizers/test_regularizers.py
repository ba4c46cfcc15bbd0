"""Regularizers against their definitions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from cornu import regularizers
from cornu.base.errors import ArgumentError, ShapeError, UnknownNameError

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
CASES: list[tuple[str, dict[str, Any]]] = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {"l2": 0.2}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}),
    ("L1L2", {}),
    ("OrthogonalRegularizer", {"factor": 0.5}),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("name", "options"), CASES)
def test_penalties_are_those_of_keras(name: str, options: dict[str, Any]) -> None:
    expected = getattr(keras.regularizers, name)(**options)(X)
    found = getattr(regularizers, name)(**options)(X)
    assert found.shape == ()
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)


@pytest.mark.usefixtures("backend")
def test_orthogonal_columns() -> None:
    unit = X / np.linalg.norm(X, axis=0)
    cosines = np.abs(unit.T @ unit)[np.triu_indices(4, 1)]
    found = regularizers.OrthogonalRegularizer(0.5, "columns")(X)
    np.testing.assert_allclose(np.asarray(found), 0.5 * cosines.mean(), rtol=1e-5)
    assert np.asarray(regularizers.OrthogonalRegularizer()(np.eye(3, 5, dtype="float32"))) < 1e-7
    with pytest.raises(ShapeError, match=r"two axes; got shape \(3,\)"):
        regularizers.OrthogonalRegularizer()(X[:, 0])
    with pytest.raises(ArgumentError, match=r"mode must be one of .* Did you mean 'rows'"):
        regularizers.OrthogonalRegularizer(mode="row")


@pytest.mark.parametrize(("name", "options"), CASES)
def test_configurations_go_round(name: str, options: dict[str, Any]) -> None:
    original = getattr(regularizers, name)(**options)
    data = regularizers.serialize(original)
    assert (data["module"], data["class_name"]) == ("keras.regularizers", name)
    again = regularizers.deserialize(data)
    assert type(again) is type(original)
    assert again.get_config() == original.get_config()
    theirs = keras.regularizers.deserialize(data).get_config()
    assert {key: pytest.approx(value) for key, value in theirs.items()} == original.get_config()


def test_get() -> None:
    for name, cls in (("l1", "L1"), ("l2", "L2"), ("l1_l2", "L1L2"), ("L1L2", "L1L2")):
        assert type(regularizers.get(name)).__name__ == cls
    assert regularizers.get("l1_l2").get_config() == {"l1": 0.01, "l2": 0.01}
    assert regularizers.get(None) is None
    assert regularizers.l1(0.1).l1 == 0.1
    assert regularizers.l1_l2(l1=0.1, l2=0.2).get_config() == {"l1": 0.1, "l2": 0.2}
    assert regularizers.get({"class_name": "L2", "config": {"l2": 0.3}}).l2 == 0.3
    with pytest.raises(UnknownNameError, match="Unknown regularizer"):
        regularizers.get("l3x")
    with pytest.raises(ArgumentError, match="L2 has no argument 'l1'"):
        regularizers.L2(l1=0.1)


@pytest.mark.parametrize("value", [-1.0, "a", float("nan"), True])
def test_bad_factors(value: Any) -> None:
    with pytest.raises(ArgumentError, match="l2 should be a finite number of at least 0"):
        regularizers.L2(value)


def test_own_regularizer() -> None:
    class Own(regularizers.Regularizer):
        def __init__(self, strength: float) -> None:
            self.strength = strength

        def __call__(self, x: Any) -> Any:
            return self.strength * x.sum()

    assert Own(2.0).get_config() == {"strength": 2.0}
    assert Own.from_config({"strength": 3.0})(np.ones(2)) == 6.0
    with pytest.raises(NotImplementedError, match="should define `__call__"):
        regularizers.Regularizer()(X)
