"""Training goes on across files: what the one has trained, the other continues with the same losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import cornu
from cornu.base.errors import ShapeError
from cornu.core.variable import Variable

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
NAMES = [n for n in cornu.optimizers.__all__ if n[0].isupper() and n not in ("Optimizer", "LossScaleOptimizer")]
SETTINGS = {
    "use_ema": True,
    "ema_momentum": 0.9,
    "ema_overwrite_frequency": 3,
    "weight_decay": 0.1,
    "global_clipnorm": 1.0,
}
ACCUMULATING = {"gradient_accumulation_steps": 2}


def plain(name: str, **settings: Any) -> Callable[[Any], Any]:
    return lambda k: getattr(k.optimizers, name)(learning_rate=0.01, **settings)


def scaled(name: str) -> Callable[[Any], Any]:
    return lambda k: k.optimizers.LossScaleOptimizer(plain(name)(k), initial_scale=8.0, dynamic_growth_steps=2)


def scheduled(name: str, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda k: k.optimizers.Adam(getattr(k.optimizers.schedules, name)(*args, **kwargs))


OPTIMIZERS = {
    **{name: plain(name) for name in NAMES},
    **{f"{name} with settings": plain(name, **SETTINGS) for name in ("SGD", "Adam", "Adafactor", "RMSprop")},
    "SGD, accumulating": plain("SGD", momentum=0.9, **SETTINGS, **ACCUMULATING),
    "Adam, scaled": scaled("Adam"),
    "Adam, fixed scale": plain("Adam", loss_scale_factor=4.0),
    "Adam, amsgrad": plain("Adam", amsgrad=True),
    "SGD, nesterov": plain("SGD", momentum=0.9, nesterov=True),
    "RMSprop, centered": plain("RMSprop", momentum=0.9, centered=True),
    "Adafactor, absolute": plain("Adafactor", relative_step=False),
    "CosineDecay": scheduled("CosineDecay", 0.1, 10, alpha=0.1, warmup_target=0.2, warmup_steps=3),
    "PiecewiseConstantDecay": scheduled("PiecewiseConstantDecay", [1, 3], [0.1, 0.05, 0.01]),
}
STATES = {
    **{f"{name}, accumulating": plain(name, **SETTINGS, **ACCUMULATING) for name in NAMES},
    **{f"{name}, scaled": scaled(name) for name in NAMES},
}
UNSAVED_BY_KERAS = {
    "Nadam, scaled": "under a loss scale Keras does not save its product of momenta",
    "Adafactor, scaled": "under a loss scale Keras does not save the scalars it has for vectors",
}


def compiled(k: Any, make: Callable[[Any], Any], dtype: str = "float32") -> Any:
    layers = [
        k.layers.Dense(3, activation="tanh", dtype=dtype),
        k.layers.BatchNormalization(dtype=dtype),
        k.layers.Dense(1, dtype=dtype),
    ]
    model = k.Sequential([k.Input((4,)), *layers])
    model.set_weights([np.random.default_rng(i).uniform(0.2, 1, w.shape) for i, w in enumerate(model.weights)])
    model.compile(make(k), loss="mean_squared_error", metrics=["mae"])
    return model


def trained(k: Any, make: Callable[[Any], Any], dtype: str = "float32") -> Any:
    model = compiled(k, make, dtype)
    losses(model, 2)
    return model


def losses(model: Any, steps: int, targets: Any = Y) -> list[float]:
    """Of so many steps. Eagerly, so that nothing is compiled."""
    model.run_eagerly = True
    return model.fit(X, targets, epochs=steps, shuffle=False, verbose=0).history["loss"]


def test_every_optimizer_has_a_row() -> None:
    assert [name for name in NAMES if not hasattr(keras.optimizers, name)] == []


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on(name: str, tmp_path: Path) -> None:
    ours, theirs = (trained(k, OPTIMIZERS[name]) for k in (cornu, keras))
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    again = keras.models.load_model(tmp_path / "ours.keras"), cornu.models.load_model(tmp_path / "theirs.keras")
    for model, expected in zip(again, (losses(ours, 3), losses(theirs, 3)), strict=True):
        np.testing.assert_allclose(losses(model, 3), expected, rtol=1e-4)


@pytest.mark.parametrize("name", STATES)
def test_states_go_both_ways(name: str, tmp_path: Path) -> None:
    """As above, of optimizers whose steps take long to compile: their variables, which were given any values."""
    ours, theirs = (compiled(k, STATES[name]) for k in (cornu, keras))
    for model in (ours, theirs):
        model.optimizer.build(model.trainable_variables)
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(np.full(variable.shape, i + 1, variable.dtype))
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    if name in UNSAVED_BY_KERAS:
        with pytest.raises(ShapeError, match="optimizer/inner_optimizer/vars"):
            cornu.models.load_model(tmp_path / "theirs.keras")
        return
    again = cornu.models.load_model(tmp_path / "theirs.keras"), keras.models.load_model(tmp_path / "ours.keras")
    for mine, other in ((again[0], theirs), (ours, again[1])):
        for saved, variable in zip(mine.optimizer._saved(), other.optimizer.variables, strict=True):
            if isinstance(saved, Variable):
                np.testing.assert_array_equal(saved.numpy(), np.asarray(variable))


@pytest.mark.parametrize("name", ["SGD, nesterov", "Adam with settings", "CosineDecay"])
def test_training_goes_on_from_hdf5(name: str, tmp_path: Path) -> None:
    """Keras' or our own; Keras loses the optimizer's state of `.h5` files, its own too."""
    ours, theirs = trained(cornu, OPTIMIZERS[name]), trained(keras, OPTIMIZERS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that `.h5` is old
        for model in (ours, theirs):
            model.save(tmp_path / "model.h5")
            again = cornu.models.load_model(tmp_path / "model.h5")
            np.testing.assert_allclose(losses(again, 3), losses(model, 3), rtol=1e-4)
        ours.save(tmp_path / "model.h5")
        again = keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), ours.evaluate(X, Y, verbose=0), rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_training_goes_on_in_low_precision(policy: str, tmp_path: Path) -> None:
    ours, theirs = (trained(k, plain("Adam"), policy) for k in (cornu, keras))
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    again = keras.models.load_model(tmp_path / "ours.keras"), cornu.models.load_model(tmp_path / "theirs.keras")
    for model, expected in zip(again, (losses(ours, 3), losses(theirs, 3)), strict=True):
        assert type(model.optimizer).__name__ == type(ours.optimizer).__name__
        np.testing.assert_allclose(losses(model, 3), expected, rtol=1e-2)


# compiled losses and metrics


def two_headed(k: Any) -> Any:
    """Outputs "n", a number, and "m", of three classes."""
    x = k.Input((4,))
    n, m = k.layers.Dense(1, name="n")(x), k.layers.Dense(3, activation="softmax", name="m")(x)
    return k.Model(x, {"n": n, "m": m})


def one_headed(k: Any) -> Any:
    return k.Sequential([k.Input((4,)), k.layers.Dense(1, activation="sigmoid", name="n")])


COMPILED: dict[str, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    "names": (one_headed, lambda k: {"loss": "mse", "metrics": ["mae", "accuracy", "cosine_similarity"]}),
    "objects": (
        one_headed,
        lambda k: {
            "loss": k.losses.LogCosh(reduction="sum"),
            "metrics": [k.metrics.MeanSquaredError(name="mine"), k.metrics.RootMeanSquaredError()],
            "weighted_metrics": [k.metrics.AUC(num_thresholds=20, curve="PR")],
        },
    ),
    "a function": (
        one_headed,
        lambda k: {"loss": k.losses.binary_crossentropy, "metrics": [k.metrics.mean_squared_error]},
    ),
    "options": (
        one_headed,
        lambda k: {
            "loss": k.losses.BinaryCrossentropy(from_logits=False, label_smoothing=0.1),
            "metrics": [k.metrics.Precision(thresholds=0.3), k.metrics.Recall(), k.metrics.F1Score(threshold=0.5)],
        },
    ),
    "by output": (
        two_headed,
        lambda k: {
            "loss": {"n": "mse", "m": k.losses.SparseCategoricalCrossentropy()},
            "loss_weights": {"n": 0.3, "m": 2.0},
            "metrics": {"n": ["mae", k.metrics.MeanSquaredLogarithmicError()], "m": ["accuracy"]},
            "weighted_metrics": {"m": [k.metrics.SparseTopKCategoricalAccuracy(k=2)]},
        },
    ),
    "one loss for all": (two_headed, lambda k: {"loss": "mae"}),
}
TARGETS = {"n": (Y > 0).astype("float32"), "m": np.arange(8).reshape(8, 1) % 3}


@pytest.mark.parametrize("name", COMPILED)
def test_losses_and_metrics_go_both_ways(name: str, tmp_path: Path) -> None:
    make, arguments = COMPILED[name]
    ours, theirs = make(cornu), make(keras)
    targets = TARGETS if make is two_headed else TARGETS["n"]
    for k, model in ((cornu, ours), (keras, theirs)):
        model.compile(k.optimizers.SGD(0.1), **arguments(k))
        model.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(ours.weights)])
        losses(model, 1, targets)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    again = keras.models.load_model(tmp_path / "ours.keras"), cornu.models.load_model(tmp_path / "theirs.keras")
    expected = theirs.evaluate(X, targets, verbose=0, return_dict=True)
    for model in (ours, *again):
        model.run_eagerly = True
        found = model.evaluate(X, targets, verbose=0, return_dict=True)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-4, err_msg=key)
