"""SavedModels of TensorFlow as layers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import cornu as keras
from cornu import layers
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, BackendError, StateError

X = np.arange(12, dtype="float32").reshape(4, 3)


class Doubling(tf.Module):
    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def serve(self, x):
        return self.factor * x

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def train(self, x):
        return -x


@pytest.fixture
def folder(tmp_path):
    module = Doubling()
    tf.saved_model.save(
        module,
        str(tmp_path),
        signatures={
            "tripled": tf.function(lambda x: {"y": 3 * x}).get_concrete_function(tf.TensorSpec((None, 3), name="x"))
        },
    )
    with backend_scope("tensorflow"):
        yield str(tmp_path)


def test_endpoints_by_name(folder):
    layer = layers.TFSMLayer(folder, call_training_endpoint="train")
    np.testing.assert_allclose(layer(X), 2 * X)
    np.testing.assert_allclose(layer(X, training=True), -X)
    np.testing.assert_allclose(layers.TFSMLayer(folder, call_endpoint="tripled")(X)["y"], 3 * X)


def test_in_a_model_around_it_the_weights_learn(folder):
    inputs = keras.Input((3,))
    outputs = layers.Dense(1)(layers.TFSMLayer(folder)(inputs))
    assert outputs.shape == (None, 1)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    losses = model.fit(X, X[:, :1], epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_what_does_not_fit_is_named(folder, tmp_path):
    with pytest.raises(ArgumentError, match=r"has no endpoint 'sever'; its signatures are tripled"):
        layers.TFSMLayer(folder, call_endpoint="sever")
    with pytest.raises(ArgumentError, match="holds no SavedModel"):
        layers.TFSMLayer(tmp_path / "nothing")
    with pytest.raises(StateError, match="a file may not name other files"):
        layers.TFSMLayer(folder).get_config()
    with (
        backend_scope("jax"),
        pytest.raises(BackendError, match="computes by tensorflow, the current backend is 'jax'"),
    ):
        layers.TFSMLayer(folder)
