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
    with pytest.raises(ArgumentError, match="decay_steps should be positive, got 0"):
        schedules.CosineDecay(0.1, 0)
    with pytest.raises(ArgumentError, match="one value more than boundaries, got 1 boundaries and 1 values"):
        schedules.PiecewiseConstantDecay([1], [0.1])
    with pytest.raises(NotImplementedError, match="should define `__call__"):
        schedules.LearningRateSchedule()(1)
