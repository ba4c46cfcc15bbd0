"""Recurrent layers: values, states and gradients against Keras; NumPy against JAX; what they keep and refuse."""

from __future__ import annotations

import copy

import jax
import keras
import numpy as np
import pytest

import cornu
import cornu.layers as L
from cornu.backend import B
from cornu.base.errors import ArgumentError, ShapeError, StateError
from cornu.core.state import functional
from cornu.core.variable import Variable
from cornu.layers.rnn.rnn import RNN
from tests.layers.oracle import agree_on_config, close, rows

X = rows((2, 5, 4))
MASK = np.array([[0, 1, 1, 0, 1], [1, 1, 1, 0, 0]], bool)


def draw(shapes, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.5, shape).astype("float32") for shape in shapes]


def flat(outputs):
    return jax.tree.leaves(outputs)


def ours_with_gradients(layer, x, **call):
    """Outputs, and gradients of a weighted sum of them by inputs and weights, from one program."""
    variable = Variable(x)
    learnt = [variable, *layer.trainable_variables]

    def loss():
        outputs = flat(layer(variable.value, **call))
        return sum((o * w).sum() for o, w in zip(outputs, draw([o.shape for o in outputs], 7))), outputs

    state = list(dict.fromkeys([*learnt, *layer.variables]))
    step = B.compile(functional(lambda: cornu.ops.value_and_grad(loss, learnt, has_aux=True)(), state))
    _, ((_, outputs), gradients) = step([v._read() for v in state])
    return outputs, gradients


def theirs_with_gradients(layer, x, **call):
    fixed = [v.value for v in layer.non_trainable_variables]

    def loss(values):
        outputs = flat(layer.stateless_call(values[1:], fixed, values[0], **call)[0])
        return sum((o * w).sum() for o, w in zip(outputs, draw([o.shape for o in outputs], 7))), outputs

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, outputs), gradients = step([x, *[v.value for v in layer.trainable_variables]])
    return outputs, gradients


def compare(make, x=X, **call):
    """`make(module)` builds the layer from `cornu.layers` or `keras.layers`."""
    ours, theirs = make(L), make(keras.layers)
    ours.build(x.shape)
    theirs.build(x.shape)
    names = [[(w.path.split("/", 1)[1], tuple(w.shape)) for w in layer.weights] for layer in (ours, theirs)]
    assert names[0] == names[1]
    weights = draw([w.shape for w in theirs.weights])
    ours.set_weights(weights)
    theirs.set_weights(weights)
    for mine, other in zip(ours_with_gradients(ours, x, **call), theirs_with_gradients(theirs, x, **call), strict=True):
        for a, b in zip(mine, other, strict=True):
            close(a, b)
    with cornu.config.backend_scope("numpy"):
        again = make(L)
        again.build(x.shape)
        again.set_weights(weights)
        for a, b in zip(flat(again(x, **call)), flat(B_jax(ours, x, **call)), strict=True):
            close(a, b)
    symbolic = flat(ours(cornu.Input((None, *x.shape[2:])), **{k: v for k, v in call.items() if k == "training"}))
    for a, b in zip(symbolic, flat(again_shapes(ours, x, call)), strict=True):
        assert a.shape[-1] == b[-1] and len(a.shape) == len(b) and a.shape[0] is None
    return ours, theirs
