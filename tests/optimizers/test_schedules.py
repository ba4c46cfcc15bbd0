"""Learning-rate schedules against Keras'."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from cornu.backend import B
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError
from cornu.optimizers import schedules

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [2, 5], "values": [0.1, 0.05, 0.01]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 6, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 4, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 8, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 6, "warmup_target": 0.1, "warmup_steps": 4}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 3, "m_mul": 0.5, "alpha": 0.1}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 3, "t_mul": 1.0}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_rates_are_those_of_keras(name: str, options: dict[str, Any]) -> None:
    theirs, ours = getattr(keras.optimizers.schedules, name)(**options), getattr(schedules, name)(**options)
    expected = [float(theirs(step)) for step in range(14)]
    compiled = B.compile(ours)
    np.testing.assert_allclose([float(compiled(B.convert(step))) for step in range(14)], expected, rtol=2e-5, atol=1e-8)
    for backend in ("torch", "tensorflow", "numpy"):
        with backend_scope(backend):
            np.testing.assert_allclose([float(ours(step)) for step in range(14)], expected, rtol=2e-5, atol=1e-8)
    data = schedules.serialize(ours)
    assert data == keras.optimizers.schedules.serialize(theirs)
    assert schedules.deserialize(data).get_config() == ours.get_config()


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="decay_steps should be a finite positive number, got 0"):
        schedules.CosineDecay(0.1, 0)
    with pytest.raises(ArgumentError, match="one value more than boundaries, got 1 boundaries and 1 values"):
        schedules.PiecewiseConstantDecay([1], [0.1])
    with pytest.raises(NotImplementedError, match="should define `__call__"):
        schedules.LearningRateSchedule()(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *(
            (lambda s=s, v=v: s(v, 10, 0.5), f"{s.__name__}: initial_learning_rate should be .*, got {v!r}")  # type: ignore[misc]
            for s in (
                schedules.ExponentialDecay,
                schedules.InverseTimeDecay,
                schedules.PolynomialDecay,
                schedules.CosineDecay,
                schedules.CosineDecayRestarts,
            )
            for v in (-0.1, "a", None, True)
        ),
        (lambda: schedules.ExponentialDecay(0.1, 10, "a"), "decay_rate should be a finite number of at least 0"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), r"boundaries should be .* \(2, inf\), got 1"),
        (lambda: schedules.PiecewiseConstantDecay(["a"], [1, 2]), "boundaries should be a finite number, got 'a'"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1, -2]), r"values\[1\] should be .* of at least 0, got -2"),
        (lambda: schedules.CosineDecay(0.1, 10, warmup_target=1, warmup_steps=-3), "warmup_steps should be"),
        (lambda: schedules.CosineDecay(0.1, 10, alpha="a"), "alpha should be"),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0), "t_mul should be a finite positive number"),
        (lambda: schedules.PolynomialDecay(0.1, 10, -1), "end_learning_rate should be"),
    ],
)
def test_arguments_out_of_bounds(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_warmup_to_nowhere_is_told() -> None:
    with pytest.warns(UserWarning, match="warmup_steps=3 do nothing without a warmup_target"):
        schedules.CosineDecay(0.1, 10, warmup_steps=3)
