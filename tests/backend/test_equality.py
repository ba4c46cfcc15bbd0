"""One model on all backends: the same weights, the same order of the data, the same losses; and moved between them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import cornu as keras
from cornu import layers
from cornu.base.config import backend_scope
from cornu.base.errors import BackendError

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES, LABELS = (IMAGES[:640] / 16).astype("float32").reshape(-1, 8, 8, 1), LABELS[:640]
OTHERS = ("torch", "tensorflow")
EPOCHS = 10
TOLERANCE = {"cnn": 2e-3, "lstm": 2e-3, "transformer": 1e-2}  # relative: rounding grows with the steps


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def lstm():
    return keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Reshape((8, 8)), layers.LSTM(16), layers.Dense(10, activation="softmax")]
    )


def transformer():
    inputs = keras.Input((8, 8, 1))
    h = layers.Dense(16)(layers.Reshape((8, 8))(inputs))
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 8)(h, h))
    h = layers.LayerNormalization()(h + layers.Dense(16)(layers.Dense(32, activation="gelu")(h)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling1D()(h)))


MODELS = {"cnn": cnn, "lstm": lstm, "transformer": transformer}


def made(name):
    keras.utils.set_random_seed(7)
    model = MODELS[name]()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fitted(model, epochs=EPOCHS):
    return np.array(model.fit(IMAGES, LABELS, epochs=epochs, batch_size=64, verbose=0).history["loss"])


@pytest.fixture(scope="module")
def on_jax():
    """The first weights, the first outputs and the losses of each model on JAX."""
    found = {}
    for name in MODELS:
        with backend_scope("jax"):
            model = made(name)
            first = model.get_weights()
            found[name] = first, model.predict(IMAGES[:50], verbose=0), fitted(model)
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", OTHERS)
def test_same_weights_outputs_and_losses(backend, name, on_jax):
    weights, outputs, losses = on_jax[name]
    with backend_scope(backend):
        model = made(name)
        for ours, theirs in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(model.predict(IMAGES[:50], verbose=0), outputs, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fitted(model), losses, rtol=TOLERANCE[name])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", OTHERS)
def test_a_model_moves_and_goes_on(backend, name, on_jax):
    """Five epochs here and five there are ten: slots, counters and the order of the data go along."""
    with backend_scope("jax"):
        model = made(name)
        first = fitted(model, 5)
    outputs = model.predict(IMAGES[:50], verbose=0)
    assert model.to_backend(backend) is model
    assert {v.backend for v in (*model.variables, *model.optimizer.variables)} == {backend}
    np.testing.assert_allclose(model.predict(IMAGES[:50], verbose=0), outputs, rtol=1e-4, atol=1e-6)
    keep_on = np.array(model.fit(IMAGES, LABELS, epochs=10, initial_epoch=5, batch_size=64, verbose=0).history["loss"])
    np.testing.assert_allclose([*first, *keep_on], on_jax[name][2], rtol=TOLERANCE[name])
    model.to_backend("jax")
    with backend_scope(backend):  # what draws for the run there stays there
        assert keras.random.normal((2,)).shape == (2,)
    again = fitted(model, 1)
    assert again[-1] < keep_on[0]
    assert int(model.optimizer.iterations) == 11 * 10


def test_a_model_does_not_move_to_what_is_not_there():
    with backend_scope("jax"):
        model = made("cnn")
    with pytest.raises(ValueError, match="Did you mean 'torch'"):
        model.to_backend("torhc")
    assert {v.backend for v in model.variables} == {"jax"}
    with pytest.raises(BackendError, match="computes no gradients"):
        model.to_backend("numpy").fit(IMAGES, LABELS, verbose=0)


def small():
    return keras.Sequential([keras.Input((8,)), layers.Dense(10, activation="softmax")])


def test_methods_of_a_model_that_moved_enter_its_backend():
    with backend_scope("jax"):
        model = small().to_backend("torch")
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(IMAGES[:64, 0, :, 0], LABELS[:64], verbose=0)
        assert set(model.get_metrics_result()) == {"loss", "accuracy"}
        model.reset_metrics()
        assert {type(a).__module__ for a in model.get_state_tree()["trainable_variables"].values()} == {"torch"}
        assert len(list(model.as_torch().parameters())) == 2
