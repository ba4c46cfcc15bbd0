"""What training costs besides computing, in counts and not in seconds: they may fall, and must not grow.

Python calls within Cornu (an overestimate of 20 % over what was counted), dispatches, compilations, and transfers
between host and device, for each step of an epoch after the first ones.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.backend.jax import JaxBackend
from cornu.core import tracking
from cornu.layers import layer
from cornu.training.engine import Engine, Forward

STEPS, BATCH = 200, 32
X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 16)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("int32")
SOURCE = str(Path(cornu.__file__).parent)
compiled = Counter[str]()
jax.monitoring.register_event_duration_secs_listener(lambda name, seconds, **kwargs: compiled.update([name]))


def batches():
    for i in range(STEPS):
        yield X[i * BATCH : (i + 1) * BATCH], Y[i * BATCH : (i + 1) * BATCH]


# what is done, its steps (or epochs); for each at most so many calls; in all at most so many dispatches and transfers
CASES: dict[str, tuple[Callable[[cornu.Model], object], int, float, int, int]] = {
    "fit on arrays": (lambda m: m.fit(X, Y, batch_size=BATCH, verbose=0), STEPS, 4.5, 8, 4),
    "fit ten epochs": (lambda m: m.fit(X[:-3], Y[:-3], batch_size=BATCH, epochs=10, verbose=0), 10, 185, 10, 21),
    "fit 200 short epochs": (lambda m: m.fit(X[:70], Y[:70], batch_size=BATCH, epochs=200, verbose=0), 200, 45, 6, 10),
    "fit on a generator": (lambda m: m.fit(batches(), verbose=0), STEPS, 48, 20, 26),
    "evaluate": (lambda m: m.evaluate(X, Y, batch_size=BATCH, verbose=0), STEPS, 1, 4, 4),
    "predict": (lambda m: m.predict(X, batch_size=BATCH, verbose=0), STEPS, 21, STEPS, 2 * STEPS + 6),
    "predict one row": (lambda m: m.predict(X[:1], verbose=0), 1, 55, 1, 1),
    "call": (lambda m: m(X[:1]), 1, 180, 0, 1),
}


@pytest.fixture(scope="module")
def model():
    made = cornu.Sequential([cornu.Input((16,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    made.compile("adam", cornu.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return made


@pytest.mark.parametrize("name", CASES)
def test_nothing_grows(model, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, steps, calls, dispatches, transfers = CASES[name]
    for _ in range(3):
        run(model)
    counts = Counter[str]()

    def counting(owner: type, method: str, what: str) -> None:
        original = getattr(owner, method)

        def counted(*args, **kwargs):
            counts[what] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, method, counted)

    counting(Engine, "_store", "dispatches")
    counting(Forward, "__call__", "dispatches")
    for method in ("transfer", "to_numpy", "to_numpy_tree"):
        counting(JaxBackend, method, "transfers")

    def profile(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(SOURCE):
            counts["calls"] += 1

    compiled.clear()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        run(model)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert not [event for event in compiled if "compile" in event]
    assert counts["calls"] / steps <= calls
    assert counts["dispatches"] <= dispatches
    assert counts["transfers"] <= transfers


def test_a_fit_does_not_look_for_the_variables_again(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took half the time of short runs of a model with 1,000 variables."""
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    looked_through = []
    monkeypatch.setattr(layer, "find", lambda *args: looked_through.append(args) or tracking.find(*args))
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    assert looked_through == []
    model.layers[0].trainable = True  # now it has to
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    assert looked_through != []


def test_values_are_given_to_the_step_that_replaces_them(model) -> None:
    """So that a step needs no room for both; what somebody holds is copied first."""
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    before = [variable._value for variable in model._engine("train").variables]
    held = model.trainable_variables[0].value
    kept = np.array(held)
    model.fit(X, Y, batch_size=BATCH, verbose=0)
    assert all(value.is_deleted() for value in before if value is not held)
    np.testing.assert_array_equal(held, kept)
