"""Modules of PyTorch as layers, and models as modules."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import cornu as keras
from cornu import layers
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, BackendError, StateError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 6)).astype("float32"), RNG.integers(0, 3, 64)


@pytest.fixture(autouse=True)
def _torch():
    with backend_scope("torch"):
        yield


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def by_hand(module: nn.Module, epochs: int, loss=nn.functional.cross_entropy) -> list[float]:
    """Full batches, plain descent."""
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        value = loss(module(torch.from_numpy(X)), torch.from_numpy(Y))
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


def model_around(layer: layers.Layer) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layer])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def test_a_module_trains_in_a_model_as_by_hand():
    module, twin = net(), net()
    model = model_around(layers.TorchModuleWrapper(module))
    found = model.fit(X, Y, batch_size=64, epochs=5, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(found, by_hand(twin, 5), rtol=1e-4)
    layer = model.layers[-1]
    assert len(layer.trainable_weights) == 6
    assert len(layer.non_trainable_weights) == 3
    list(layer.parameters())
    for ours, theirs in zip(module.state_dict().values(), twin.state_dict().values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    twin.eval()
    np.testing.assert_allclose(model.predict(X, verbose=0), twin(torch.from_numpy(X)).detach(), rtol=2e-3, atol=2e-3)


def test_a_module_in_a_functional_model_infers_its_shape():
    inputs = keras.Input((6,))
    outputs = layers.TorchModuleWrapper(net())(inputs)
    assert outputs.shape == (None, 3)
    assert keras.Model(inputs, outputs)(X[:5]).shape == (5, 3)


def test_what_cannot_be_wrapped_is_named():
    with pytest.raises(ArgumentError, match=r"should be a torch.nn.Module, got int"):
        layers.TorchModuleWrapper(3)
    with pytest.raises(StateError, match="are lazy. Call the module once on data"):
        layers.TorchModuleWrapper(nn.LazyLinear(3))
    with pytest.raises(StateError, match="a torch module is code"):
        layers.TorchModuleWrapper(net()).get_config()
    with backend_scope("jax"), pytest.raises(BackendError, match="computes by torch, the current backend is 'jax'"):
        layers.TorchModuleWrapper(net())


def dense_model() -> keras.Model:
    keras.utils.clear_session()  # equal names
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dense(3)])


def test_a_model_is_a_module_with_the_same_memory():
    model = dense_model()
    module = nn.Sequential(model.as_torch(), nn.Identity())
    assert [tuple(p.shape) for p in module.parameters()] == [w.shape for w in model.trainable_weights]
    before = model.get_weights()
    losses = by_hand(module, 5)
    assert losses[-1] < losses[0]
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))  # statistics too
    module.eval()
    np.testing.assert_allclose(module(torch.from_numpy(X)).detach(), model.predict(X, verbose=0), atol=1e-6)


def test_what_fit_learns_the_module_knows():
    model = dense_model()
    module = model.as_torch()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, epochs=2, verbose=0)
    for value, weight in zip(module.parameters(), model.trainable_weights, strict=True):
        np.testing.assert_array_equal(value.detach(), weight.numpy())
    module(torch.from_numpy(X)).sum().backward()
    optimizer.step()  # the optimizer holds the same parameters
    np.testing.assert_array_equal(next(module.parameters()).detach(), model.trainable_weights[0].numpy())


def test_state_dicts_go_both_ways():
    module, other = dense_model().as_torch(), dense_model().as_torch()
    by_hand(module, 2)
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    for a, b in zip(module.layer.get_weights(), other.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_unbuilt_and_foreign_models_are_no_modules():
    with pytest.raises(StateError, match=r"not built yet: call it on data"):
        keras.Sequential([layers.Dense(3)]).as_torch()
    with backend_scope("jax"):
        model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    with pytest.raises(BackendError, match="belongs to the backend 'jax'"):
        model.as_torch()
