"""Modules of PyTorch as layers, and models as modules."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import cornu as keras
from cornu import layers
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, BackendError, BackendMismatchError, DTypeError, StateError

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
    for ours, theirs in zip(module.state_dict().values(), twin.state_dict().values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    twin.eval()
    np.testing.assert_allclose(model.predict(X, verbose=0), twin(torch.from_numpy(X)).detach(), rtol=2e-3, atol=2e-3)


def test_files_name_weights_as_the_module_does(tmp_path):
    model, twin = model_around(layers.TorchModuleWrapper(net())), model_around(layers.TorchModuleWrapper(net()))
    model.fit(X, Y, verbose=0)
    model.save_weights(tmp_path / "of.weights.h5")
    with h5py.File(tmp_path / "of.weights.h5") as file:  # in the place where Keras looks
        assert set(file["layers/torch_module_wrapper/vars"]) == set(net().state_dict())
    twin.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(twin.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_module_in_a_functional_model_infers_its_shape():
    inputs = keras.Input((6,))
    outputs = layers.TorchModuleWrapper(net())(inputs)
    assert outputs.shape == (None, 3)
    assert keras.Model(inputs, outputs)(X[:5]).shape == (5, 3)


def test_a_wrapped_module_and_its_layer_are_one_memory():
    module = net()
    layer = layers.TorchModuleWrapper(module)
    model = model_around(layer)
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(module[0].weight.detach(), layer.trainable_weights[0].numpy())
    before, kept = model.predict(X, verbose=0), copy.deepcopy(module.state_dict())
    twin = copy.deepcopy(model)
    by_hand(module, 1)  # by PyTorch's optimizer, on the module itself
    assert np.abs(model.predict(X, verbose=0) - before).max() > 1e-3
    np.testing.assert_allclose(twin.predict(X, verbose=0), before, atol=1e-6)
    module.load_state_dict(kept)
    np.testing.assert_allclose(model.predict(X, verbose=0), before, atol=1e-6)
    model.to_backend("jax")
    with pytest.raises(BackendError, match="computes by torch, the current backend is 'jax'"):
        model(X)
    model.to_backend("torch")
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(module[0].weight.detach(), layer.trainable_weights[0].numpy())


class Counting(nn.Module):
    """Puts a new tensor in the place of its buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return x


def test_buffers_may_be_replaced_and_the_output_shape_be_given():
    layer = layers.TorchModuleWrapper(Counting(), output_shape=(None, 9))
    layer(X, training=True)
    layer(X, training=True)
    assert float(layer.module.calls) == float(layer.weights[0].numpy()) == 2
    assert layer(keras.Input((6,))).shape == (None, 9)


def test_a_module_computes_in_the_dtype_of_the_policy():
    module = net()
    layer = layers.TorchModuleWrapper(module, dtype="mixed_bfloat16")
    losses = model_around(layer).fit(X, Y, batch_size=64, epochs=5, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, by_hand(net(), 5), rtol=2e-2)
    assert layer(X).dtype is torch.bfloat16
    assert module[1].running_mean.dtype is module[0].weight.dtype is torch.float32


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


def test_a_parameter_that_somebody_holds_is_the_weight():
    model = dense_model()
    parent = nn.Sequential(model.as_torch())
    held, kept, before = list(parent.parameters()), copy.deepcopy(parent.state_dict()), model.get_weights()
    statistics = dict(parent.named_buffers())
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, verbose=0)
    seen = parent.state_dict()
    copies = copy.deepcopy(seen)
    model.fit(X, Y, verbose=0)
    torch.testing.assert_close(seen, copies, rtol=0, atol=0)
    weights = [*model.trainable_weights, *model.non_trainable_weights]
    for value, weight in zip([*held, *statistics.values()], weights, strict=True):
        np.testing.assert_array_equal(value.detach(), weight.numpy())
    for options in ({}, {"assign": True}):
        model.fit(X, Y, verbose=0)
        parent.load_state_dict(copy.deepcopy(kept), **options)
        for a, b in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)
        assert all(a is b for a, b in zip(held, parent.parameters(), strict=True))
    other = torch.zeros_like(held[0])
    model.layers[0].kernel.assign(other)
    with torch.no_grad():
        held[0].add_(1)  # in the weight's own memory
    assert not other.any()
    assert (model.layers[0].kernel.numpy() == 1).all()


def test_copies_are_modules_of_their_own():
    model = dense_model()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, verbose=0)
    module = model.as_torch().eval()
    mean = torch.optim.swa_utils.AveragedModel(module)
    before = module(torch.from_numpy(X)).detach()
    mean.update_parameters(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    torch.testing.assert_close(mean(torch.from_numpy(X)).detach(), before)
    assert mean.module.layer.get_weights()[0].any()
    assert not model.get_weights()[0].any()


def test_functions_of_pytorch_put_other_tensors_in_place():
    x, module = torch.from_numpy(X), dense_model().as_torch()
    doubled = {key: 2 * value.detach() for key, value in module.state_dict().items()}
    expected = dense_model().as_torch().eval()
    expected.load_state_dict(doubled)
    two = {key: torch.stack([value.detach(), doubled[key]]) for key, value in module.state_dict().items()}
    module.eval()
    found = torch.vmap(lambda values: torch.func.functional_call(module, values, (x,)))(two)
    torch.testing.assert_close(found, torch.stack([module(x), expected(x)]), rtol=1e-4, atol=1e-5)
    module.train()
    before = module.layer.get_weights()
    torch.func.functional_call(module, doubled, (x,))
    assert (doubled["batch_normalization_moving_mean"] != 0).any()  # the statistics that were given
    for a, b in zip(module.layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    before = module.eval()(x)
    nn.utils.parametrizations.weight_norm(module, "dense_kernel")
    torch.testing.assert_close(module(x), before)


def test_a_module_is_exported_and_stands_in_what_is_compiled():
    x, module = torch.from_numpy(X), dense_model().as_torch().eval()
    exported = torch.export.export(module, (x,), dynamic_shapes={"args": ({0: torch.export.Dim("batch", min=2)},)})
    torch.testing.assert_close(exported.module()(x[:5]), module(x[:5]))
    torch.testing.assert_close(torch.compile(nn.Sequential(module), backend="eager")(x), module(x))


class Losses(keras.Model):
    """Has a weight with the name of an attribute of modules."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight((6,), "ones", name="losses")

    def call(self, inputs):
        return inputs * self.weight


def test_names_of_weights_hide_nothing_of_the_module():
    model = Losses()
    model(X)
    module = model.as_torch()
    assert module.losses == []
    torch.testing.assert_close(module(torch.from_numpy(X)), torch.from_numpy(X))


def test_losses_are_differentiable_and_dtypes_the_layers():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, kernel_regularizer="l2")])
    module = model.as_torch()
    sum(module.losses).backward()
    kernel = next(module.parameters())
    torch.testing.assert_close(kernel.grad, 0.02 * kernel.detach())
    module.float().to("cpu")
    with pytest.raises(DTypeError, match=r"are torch.float32 by the layer's dtype, they cannot become torch.float64"):
        nn.Sequential(module).double()
    model.to_backend("jax")
    with pytest.raises(BackendMismatchError, match="belongs to the backend 'jax'"):
        module(torch.from_numpy(X))


def test_unbuilt_and_foreign_models_are_no_modules():
    with pytest.raises(StateError, match=r"not built yet: call it on data"):
        keras.Sequential([layers.Dense(3)]).as_torch()
    with backend_scope("jax"):
        model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    with pytest.raises(BackendError, match="belongs to the backend 'jax'"):
        model.as_torch()
