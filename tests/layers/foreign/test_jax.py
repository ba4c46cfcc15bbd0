"""Functions of JAX and modules of Flax as layers."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu as keras
from cornu import layers
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, BackendError, StateError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 6)).astype("float32"), RNG.normal(size=(64, 3)).astype("float32")


@keras.saving.register_keras_serializable("foreign")
def make(rng, inputs):
    return {"w": 0.1 * jax.random.normal(rng, (inputs.shape[-1], 3)), "b": [jnp.zeros(3)]}


@keras.saving.register_keras_serializable("foreign")
def affine(params, inputs):
    return inputs @ params["w"] + params["b"][0]


def counting(params, state, rng, inputs, training):
    noise = 0.01 * jax.random.normal(rng, inputs.shape) if training else 0
    return affine(params, inputs + noise), {"calls": state["calls"] + training}


def counted(rng, inputs):
    return make(rng, inputs), {"calls": jnp.zeros((), "int32")}


def trained(layer, epochs=3):
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile("adam", "mse")
    return model, model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0).history["loss"]


def test_a_function_trains():
    layer = layers.JaxLayer(affine, make, seed=1)
    model, losses = trained(layer)
    assert losses[-1] < losses[0]
    assert [w.shape for w in layer.trainable_weights] == [(3,), (6, 3)]  # as Keras has them, by JAX's order of keys
    w, b = layer.params["w"].numpy(), layer.params["b"][0].numpy()
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ w + b, atol=1e-5)


def test_state_and_random_keys_are_carried():
    layer = layers.JaxLayer(counting, counted)
    model, _ = trained(layer)
    assert int(layer.state["calls"]) == 3 * 4
    np.testing.assert_array_equal(model.predict(X, verbose=0), model.predict(X, verbose=0))


def test_given_parameters_are_taken():
    params = {"w": np.eye(6, 3, dtype="float32"), "b": [np.ones(3, "float32")]}
    np.testing.assert_allclose(layers.JaxLayer(affine, params=params)(X), X[:, :3] + 1)


@pytest.mark.parametrize("by", ["file", "clone"])
def test_what_names_its_functions_is_made_again(by, tmp_path):
    model, _ = trained(layers.JaxLayer(affine, make, seed=1))
    if by == "clone":
        twin = keras.models.clone_model(model)
        twin.set_weights(model.get_weights())
    else:
        model.save(tmp_path / "model.keras")
        twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(twin(X), model(X))
    with pytest.raises(StateError, match="no file holds `params` and `state`. Give `init_fn`"):
        layers.JaxLayer(affine, params={"w": np.eye(6, 3), "b": [np.ones(3)]}).get_config()


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Scaling:
    by: jax.Array
    kind: int = 2
    note: None = None


def test_nests_may_be_of_any_kind_that_jax_knows():
    layer = layers.JaxLayer(lambda params, inputs: inputs * params.by, lambda inputs: Scaling(jnp.full(6, 2.0)))
    np.testing.assert_allclose(layer(X), 2 * X)
    assert [w.trainable for w in layer.weights] == [True, False]  # integers do not learn
    np.testing.assert_allclose(layers.JaxLayer(lambda inputs: 3 * inputs)(X), 3 * X)  # without params


@keras.saving.register_keras_serializable("foreign")
class Module:
    """A module as Flax has them, as far as the layer looks: `init`, `apply`, and a method with `training`."""

    def __call__(self, inputs, training=False):
        raise AssertionError("called unbound")

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def init(self, rngs, inputs, training):
        assert set(rngs) == {"params", "dropout"}
        return {"params": make(rngs["params"], inputs), "batch_stats": {"mean": jnp.zeros(inputs.shape[-1])}}

    def apply(self, variables, inputs, rngs, mutable, training):
        assert mutable == ["batch_stats"]
        mean = variables["batch_stats"]["mean"]
        new = 0.9 * mean + 0.1 * inputs.mean(0) if training else mean
        return affine(variables["params"], inputs - mean), {"batch_stats": {"mean": new}}


def test_a_flax_module_trains_and_keeps_its_statistics():
    layer = layers.FlaxLayer(Module())
    _, losses = trained(layer, 6)
    assert losses[-1] < losses[0]
    assert [w.shape for w in layer.non_trainable_weights] == [(6,)]
    assert layer.state["batch_stats"]["mean"].numpy().any()
    twin = layers.FlaxLayer.from_config(layer.get_config())
    twin.build((None, 6))
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(twin(X), layer(X))


def test_what_does_not_fit_is_named():
    with pytest.raises(ArgumentError, match=r"call_fn should take `inputs`.*got the parameters x"):
        layers.JaxLayer(lambda x: x, make)
    with pytest.raises(ArgumentError, match="give `init_fn`, or the `params` and `state`"):
        layers.JaxLayer(affine)
    with pytest.raises(ArgumentError, match=r"init_fn should return \(params, state\)"):
        layers.JaxLayer(counting, make)(X)
    with pytest.raises(ArgumentError, match=r"the form of the old one, .*'calls'.*, got .*'n'"):
        layers.JaxLayer(lambda params, state, inputs: (inputs, {"n": 1}), counted)(X)
    with pytest.raises(ArgumentError, match="module should be a flax.linen.Module, got int"):
        layers.FlaxLayer(3)
    moved = keras.Sequential([keras.Input((6,)), layers.JaxLayer(affine, make)]).to_backend("torch")
    with pytest.raises(BackendError, match="computes by jax, the current backend is 'torch'"):
        moved(X)
    with backend_scope("torch"), pytest.raises(BackendError, match="computes by jax, the current backend is 'torch'"):
        layers.JaxLayer(affine, make)
