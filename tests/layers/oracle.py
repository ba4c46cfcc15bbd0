"""Keras itself as the oracle of a layer: values, gradients, state, shapes, configuration."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import inspect

import jax
import keras
import numpy as np

import cornu.layers
from cornu import ops
from cornu.backend import B
from cornu.base.config import backend_scope
from cornu.core.state import functional, value_and_grad
from cornu.core.symbolic import KerasTensor
from cornu.core.variable import Variable
from tests.backends import BACKENDS, TRAINING

_NOT_OURS = {"activity_regularizer", "quantization_config"}  # in Keras' configurations even where they are None


def rows(*shapes, seed=0):
    """Normally distributed arrays, one for each shape; alone where there is one."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    return arrays[0] if len(arrays) == 1 else arrays


def plain(config):
    """A configuration with tuples as lists, as JSON has it."""
    if isinstance(config, dict):
        if config.get("class_name") == "__tuple__":
            return [plain(item) for item in config["items"]]
        return {key: plain(value) for key, value in config.items()}
    return [plain(item) for item in config] if isinstance(config, list | tuple) else config


def close(ours, theirs, tolerance=1e-5):
    ours, theirs = ours if isinstance(ours, np.ndarray) else B.to_numpy(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    scale = max(1.0, float(np.abs(np.asarray(theirs, "float64")).max(initial=0)))
    np.testing.assert_allclose(ours.astype("float64"), theirs.astype("float64"), atol=tolerance * scale, rtol=0)


def random_weights(layer, seed=1):
    """Values for all weights; positive, so that variances are possible ones."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.5, 1.5, np.shape(w)).astype("float32") for w in layer.get_weights()]


def pair(name, **kwargs):
    """Our layer and Keras' one; the latter without random weights, whose kernels take long to compile."""
    cls = getattr(keras.layers, name)
    ours = getattr(cornu.layers, name)(**kwargs)
    names = inspect.signature(cls.__init__).parameters
    quick = {
        key: "zeros" for key in names if key in ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")
    }
    return ours, cls(**(quick | kwargs))


def agree(name, kwargs, inputs, tolerance=1e-5, gradients=True, shapes=(), **call):
    """Assert that our layer is Keras' one: same weights, outputs, updates, gradients, shapes, configuration.

    The same numbers are asked of the other backends, which compute eagerly.
    """
    ours, theirs = pair(name, **kwargs)
    ours(inputs), theirs(inputs)
    assert [(w.name, tuple(w.shape)) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    assert [w.name for w in ours.trainable_weights] == [w.name for w in theirs.trainable_weights]
    weights = random_weights(theirs)
    ours.set_weights(weights), theirs.set_weights(weights)
    expected = np.asarray(theirs(inputs, **call))
    close(ours(inputs, **call), expected, tolerance)
    after = theirs.get_weights()
    for mine, other in zip(ours.get_weights(), after, strict=True):
        close(mine, other, tolerance)
    slopes = _agree_on_gradients(ours, theirs, inputs, expected, call, 10 * tolerance) if gradients else None
    for backend in BACKENDS[1:]:
        try:
            with backend_scope(backend):
                _agree_elsewhere(type(ours)(**kwargs), inputs, weights, expected, after, slopes, tolerance, call)
        except Exception as error:
            error.add_note(f"on {backend}")
            raise
    many = isinstance(inputs, list)
    for unknown in [[(None, *x.shape[1:]) for x in (inputs if many else [inputs])], *([shape] for shape in shapes)]:
        kind = str((inputs[0] if many else inputs).dtype)
        mine, other = ([tensor(shape, kind) for shape in unknown] for tensor in (KerasTensor, keras.KerasTensor))
        symbolic = (ours(mine), theirs(other)) if many else (ours(mine[0]), theirs(other[0]))
        assert len(symbolic[0].shape) == len(symbolic[1].shape)  # we may know a size that Keras does not
        assert all(a == b or b is None for a, b in zip(symbolic[0].shape, symbolic[1].shape, strict=True))
        assert symbolic[0].dtype == symbolic[1].dtype
    agree_on_config(ours, type(theirs)(**kwargs), inputs)


def _agree_elsewhere(ours, inputs, weights, expected, after, slopes, tolerance, call):
    """The layer on the current backend computes Keras' numbers; `slopes` are the leaves of its gradients."""
    ours(inputs)
    ours.set_weights(weights)
    close(ours(inputs, **call), expected, tolerance)
    for mine, other in zip(ours.get_weights(), after, strict=True):
        close(mine, other, tolerance)
    if slopes is not None and B.name in TRAINING:
        for mine, other in zip(_gradients(ours, inputs, expected, call)[0](), slopes, strict=True):
            close(mine, other, 10 * tolerance)


def agree_on_config(ours, theirs, inputs):
    """Each library reads the other's configuration of an equal layer."""
    mine, other = plain(ours.get_config()), plain(theirs.get_config())
    if isinstance(other["dtype"], str):  # Keras writes the policy of some layers by its name
        mine["dtype"] = mine["dtype"]["config"]["name"]
    missing = {key for key in other if key not in mine and not (key in _NOT_OURS and other[key] is None)}
    assert not missing
    different = {
        key: (mine[key], other[key]) for key in mine.keys() & other.keys() - {"name"} if mine[key] != other[key]
    }
    assert not different
    again = type(ours).from_config(theirs.get_config())
    again(inputs)
    again.set_weights(ours.get_weights())
    close(again(inputs), ours(inputs))
    again = plain(type(theirs).from_config(mine).get_config())
    assert {key: again[key] for key in other if key != "name"} == {key: other[key] for key in other if key != "name"}


def _draw(expected):
    """What the outputs are weighed with in the loss."""
    return np.random.default_rng(3).normal(size=expected.shape).astype("float32")


def _gradients(ours, inputs, expected, call):
    """A function that gives our gradients by inputs and weights, and the variables it reads."""
    many = isinstance(inputs, list)
    leaves = [Variable(x) for x in inputs] if many else [Variable(inputs)]

    def loss():
        values = [leaf.value for leaf in leaves]
        return ops.sum(ours(values if many else values[0], **call) * B.convert(_draw(expected)))

    return lambda: value_and_grad(loss, [*leaves, *ours.trainable_variables])()[1], [*leaves, *ours.variables]


def _agree_on_gradients(ours, theirs, inputs, expected, call, tolerance):
    many = isinstance(inputs, list)
    gradients, state = _gradients(ours, inputs, expected, call)
    _, mine = B.compile(functional(gradients, state))([v.value for v in state])

    def loss(values, trainable):
        fixed = [v.value for v in theirs.non_trainable_variables]
        out, _ = theirs.stateless_call(trainable, fixed, values if many else values[0], **call)
        return (out * _draw(expected)).sum()

    values = list(inputs) if many else [inputs]
    found = jax.jit(jax.grad(loss, argnums=(0, 1)))(values, [v.value for v in theirs.trainable_variables])
    slopes = jax.tree.leaves(found)
    for a, b in zip(mine, slopes, strict=True):
        close(a, b, tolerance)
    return slopes
