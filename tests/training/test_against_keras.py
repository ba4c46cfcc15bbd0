"""The same model, weights and data order in Keras and here: the same losses and metrics, epoch by epoch."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import cornu
from tests.backends import BACKENDS, TRAINING

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("float32")
LABELS = RNG.integers(0, 3, 50)
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
BINARY = (LABELS > 0).astype("float32")
REAL = RNG.normal(size=(50, 2)).astype("float32")
IMAGES = RNG.normal(size=(20, 8, 8, 2)).astype("float32")
WORDS = RNG.integers(0, 9, (24, 5))
WEIGHTS = RNG.uniform(0.1, 2, 50).astype("float32")


def mlp(k, units=3, activation="softmax", **options):
    layers = k.layers
    return k.Sequential(
        [k.Input((6,)), layers.Dense(8, activation="tanh", **options), layers.Dense(units, activation=activation)]
    )


def convnet(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def text(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.LSTM(4),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def two_outputs(k):
    layers = k.layers
    inputs = k.Input((6,), name="x")
    hidden = layers.Dense(5, activation="tanh")(inputs)
    return k.Model(
        inputs, [layers.Dense(3, activation="softmax", name="kind")(hidden), layers.Dense(2, name="place")(hidden)]
    )


def dict_outputs(k):
    layers = k.layers
    inputs = {"a": k.Input((6,), name="a"), "b": k.Input((6,), name="b")}
    joined = layers.Concatenate()([inputs["a"], layers.Dense(2)(inputs["b"])])
    return k.Model(inputs, {"kind": layers.Dense(3, activation="softmax")(joined), "place": layers.Dense(2)(joined)})


SPARSE = "sparse_categorical_crossentropy"
CASES = {
    "sparse": (mlp, {}, {"loss": SPARSE, "metrics": ["accuracy"]}, X, LABELS, {}),
    "one-hot": (mlp, {}, {"loss": "categorical_crossentropy", "metrics": ["acc", "mse"]}, X, ONE_HOT, {}),
    "binary": (
        mlp,
        {"units": 1, "activation": "sigmoid"},
        {"loss": "binary_crossentropy", "metrics": ["accuracy", "Precision", "Recall", "AUC"]},
        X,
        BINARY,
        {},
    ),
    "regression": (
        mlp,
        {"units": 2, "activation": None},
        {"loss": "mse", "metrics": ["mae"], "optimizer": "rmsprop"},
        X,
        REAL,
        {"batch_size": 50},
    ),
    "regularized": (mlp, {"kernel_regularizer": "l2"}, {"loss": SPARSE}, X, LABELS, {}),
    "constrained": (mlp, {"kernel_constraint": "non_neg"}, {"loss": SPARSE}, X, LABELS, {}),
    "activity": (mlp, {"activity_regularizer": "l2"}, {"loss": SPARSE}, X, LABELS, {}),
    "weights": (
        mlp,
        {},
        {"loss": SPARSE, "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
        X,
        LABELS,
        {"sample_weight": WEIGHTS},
    ),
    "class weights": (mlp, {}, {"loss": SPARSE}, X, LABELS, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}),
    "split": (mlp, {}, {"loss": SPARSE, "metrics": ["accuracy"]}, X, LABELS, {"validation_split": 0.3}),
    "validation": (
        mlp,
        {},
        {"loss": SPARSE, "metrics": ["accuracy"]},
        X,
        LABELS,
        {"validation_data": (X[:7], LABELS[:7], WEIGHTS[:7]), "validation_freq": 2},
    ),
    "convolution": (
        convnet,
        {},
        {"loss": ("SparseCategoricalCrossentropy", {"from_logits": True}), "metrics": ["accuracy"]},
        IMAGES,
        LABELS[:20],
        {},
    ),
    "masked text": (text, {}, {"loss": "binary_crossentropy", "metrics": ["accuracy"]}, WORDS, BINARY[:24], {}),
    "two outputs": (
        two_outputs,
        {},
        {
            "loss": [SPARSE, "mse"],
            "loss_weights": [1.0, 0.3],
            "metrics": {"kind": "accuracy", "place": ["mae"]},
        },
        X,
        [LABELS, REAL],
        {},
    ),
    "dicts": (
        dict_outputs,
        {},
        {"loss": {"kind": SPARSE, "place": "mae"}, "loss_weights": {"kind": 2.0, "place": 1.0}},
        {"a": X, "b": X[::-1].copy()},
        {"kind": LABELS, "place": REAL},
        {},
    ),
    "steps": (mlp, {}, {"loss": SPARSE, "optimizer": "adam"}, X, LABELS, {"steps_per_epoch": 3}),
}


def built(k, make, options, compiled):
    keras.utils.set_random_seed(1)
    model = make(k, **options)
    compiled = {"optimizer": "sgd", **compiled}
    if isinstance(compiled["loss"], tuple):
        name, arguments = compiled["loss"]
        compiled["loss"] = getattr(k.losses, name)(**arguments)
    model.compile(**compiled)
    return model


def fitting(case):
    """How the case is fitted."""
    return {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0, **CASES[case][-1]}


@functools.cache
def of_keras(case):
    """Keras' weights before and after the fit, its history, predictions and evaluation."""
    make, options, compiled, x, y, _ = CASES[case]
    model = built(keras, make, options, compiled)
    before = model.get_weights()
    history = model.fit(x, y, **fitting(case)).history
    evaluation = model.evaluate(x, y, verbose=0, return_dict=True, batch_size=8)
    return before, history, model.get_weights(), flat(model.predict(x, verbose=0)), evaluation


ELSEWHERE = ("binary", "constrained", "weights", "validation", "convolution", "masked text", "dicts")


@pytest.mark.parametrize(
    ("case", "backend"),
    [(case, backend) for case in CASES for backend in BACKENDS if backend in ("jax", "numpy") or case in ELSEWHERE],
    indirect=["backend"],
)
def test_fit_gives_the_same_numbers(case, backend):
    make, options, compiled, x, y, _ = CASES[case]
    before, expected, after, predictions, evaluation = of_keras(case)
    ours = built(cornu, make, options, compiled)
    ours.set_weights(after if backend == "numpy" else before)  # NumPy does not train
    if backend != "numpy":
        found = ours.fit(x, y, **fitting(case)).history
        assert set(found) == set(expected)
        if case == "steps":  # Keras gives up when the arrays end, here the next pass begins
            expected, found = ({name: values[:2] for name, values in h.items()} for h in (expected, found))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-4, err_msg=name)
        if case == "steps":
            return
        for a, b in zip(ours.get_weights(), after, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    for a, b in zip(flat(ours.predict(x, verbose=0)), predictions, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    found = ours.evaluate(x, y, verbose=0, return_dict=True, batch_size=8)
    assert found == pytest.approx(evaluation, rel=2e-3, abs=2e-4)


def flat(outputs):
    if isinstance(outputs, dict):
        return [outputs[key] for key in sorted(outputs)]
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.parametrize("backend", TRAINING, indirect=True)
def test_batches_on_their_own(backend):
    compiled = {"loss": SPARSE, "metrics": ["accuracy"]}
    theirs, ours = built(keras, mlp, {}, compiled), built(cornu, mlp, {}, compiled)
    ours.set_weights(theirs.get_weights())
    for _ in range(2):
        expected = theirs.train_on_batch(X[:8], LABELS[:8], return_dict=True)
        found = ours.train_on_batch(X[:8], LABELS[:8], return_dict=True)
        assert found == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-3)
    expected = theirs.test_on_batch(X[:8], LABELS[:8])
    np.testing.assert_allclose(ours.test_on_batch(X[:8], LABELS[:8]), expected, rtol=1e-3)
    np.testing.assert_allclose(ours.predict_on_batch(X[:8]), theirs.predict_on_batch(X[:8]), rtol=1e-4, atol=1e-5)
