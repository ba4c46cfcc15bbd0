"""Recurrent layers: values, states and gradients against Keras; NumPy against JAX; what they keep and refuse."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest

import cornu
import cornu.layers as L
from cornu.backend import B
from cornu.base import tree
from cornu.base.errors import ArgumentError, ShapeError, StateError
from cornu.core import masks
from cornu.core.state import functional, value_and_grad
from cornu.core.variable import Variable
from tests.layers.oracle import agree_on_config, close, rows

X = rows((2, 5, 4))
MASK = np.array([[0, 1, 1, 0, 1], [1, 1, 1, 0, 0]], bool)
STATE = rows((2, 3), seed=5)


def draw(shapes, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.5, shape).astype("float32") for shape in shapes]


def weighted(outputs):
    return sum((o * w).sum() for o, w in zip(outputs, draw([o.shape for o in outputs], 7), strict=True))


def our_values(layer, x, **call):
    """Outputs, and the gradients of a weighted sum of them by inputs and weights: one program."""
    variable = Variable(x)
    learnt = [variable, *layer.trainable_variables]

    def loss():
        outputs = tree.flatten(layer(variable.value, **call))
        return weighted(outputs), outputs

    state = list(dict.fromkeys([*learnt, *layer.variables]))
    step = B.compile(functional(lambda: value_and_grad(loss, learnt, has_aux=True)(), state))
    _, ((_, outputs), gradients) = step([v._read() for v in state])
    return [*outputs, *gradients]


def their_values(layer, x, **call):
    fixed = [v.value for v in layer.non_trainable_variables]

    def loss(values):
        outputs = jax.tree.leaves(layer.stateless_call(values[1:], fixed, values[0], **call)[0])
        return weighted(outputs), outputs

    values = [x, *[v.value for v in layer.trainable_variables]]
    (_, outputs), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(values)
    return [*outputs, *gradients]


def compare(make, x=X, **call):
    """`make(layers)` builds the layer from either library; both must agree, and NumPy with them."""
    ours, theirs = make(L), make(keras.layers)
    ours.build(x.shape)
    theirs.build(x.shape)
    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    weights = draw([w.shape for w in theirs.weights])
    ours.set_weights(weights)
    theirs.set_weights(weights)
    mine, other = our_values(ours, x, **call), their_values(theirs, x, **call)
    for a, b in zip(mine, other, strict=True):
        close(a, b)
    with cornu.config.backend_scope("numpy"):
        again = make(L)
        again.build(x.shape)
        again.set_weights(weights)
        outputs = tree.flatten(again(x, **call))
    for a, b in zip(outputs, mine, strict=False):
        close(a, b)
    symbolic = tree.flatten(ours(cornu.Input((None, *x.shape[2:]))))
    for a, b in zip(symbolic, outputs, strict=True):
        steps = (None,) if a.ndim == 3 else ()
        assert a.shape == (None, *steps, *b.shape[1 + len(steps) :])
    return ours, theirs


def state_of(name):
    return [STATE, 0.5 * STATE] if name == "LSTM" else [STATE]


NAMES = ("SimpleRNN", "LSTM", "GRU")
OPTIONS = {
    "plain": ({}, {}),
    "sequences": ({"return_sequences": True, "return_state": True, "use_bias": False}, {}),
    "mask": ({"return_sequences": True, "return_state": True}, {"mask": MASK}),
    "mask, zero, backwards": (
        {"return_sequences": True, "zero_output_for_mask": True, "go_backwards": True},
        {"mask": MASK},
    ),
    "mask, zero, last": ({"zero_output_for_mask": True, "return_state": True}, {"mask": MASK}),
    "backwards, unrolled": ({"return_sequences": True, "go_backwards": True, "unroll": True}, {}),
    "other functions": ({"activation": "relu", "return_state": True}, {}),
}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in NAMES for option in OPTIONS])
def test_layers_agree_with_keras(name, option):
    kwargs, call = OPTIONS[option]
    call = call | ({"initial_state": state_of(name)} if kwargs.get("return_state") else {})
    compare(lambda layers: getattr(layers, name)(3, **kwargs), **call)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers_are_read_as_floats(name):
    layer = getattr(L, name)(3)
    np.testing.assert_allclose(layer(np.ones((2, 5, 4), "int32")), layer(np.ones((2, 5, 4), "float32")), rtol=1e-6)


def test_gru_resets_before_the_product():
    compare(lambda layers: layers.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid"))
    compare(lambda layers: layers.GRU(3, reset_after=True, use_bias=True))


@pytest.mark.parametrize("name", NAMES)
def test_configurations_are_keras_ones(name):
    kwargs = {"kernel_regularizer": "l2", "recurrent_constraint": "unit_norm", "dropout": 0.1, "return_sequences": True}
    ours, theirs = getattr(L, name)(3, **kwargs), getattr(keras.layers, name)(3, **kwargs)
    ours(X)
    agree_on_config(ours, theirs, X)
    cell, other = (getattr(layers, f"{name}Cell")(3, recurrent_dropout=0.2) for layers in (L, keras.layers))
    assert set(other.get_config()) <= set(cell.get_config())
    again = type(cell).from_config(other.get_config())
    assert (again.units, again.recurrent_dropout) == (3, 0.2)


def test_layers_speak_for_their_cell():
    layer = L.LSTM(3, dropout=0.25, implementation=2, input_shape=(5, 4), dtype="mixed_bfloat16", trainable=False)
    assert (layer.units, layer.dropout, layer.cell.dropout) == (3, 0.25, 0.25)
    layer.dropout = 0.5
    assert layer.cell.dropout == 0.5
    assert layer(X).dtype == "bfloat16"
    assert layer.cell.kernel.dtype == "float32"
    assert layer.trainable_weights == []
    assert layer.cell.kernel.path == f"{layer.name}/lstm_cell/kernel"


def test_forget_bias_begins_at_one():
    for unit, expected in ((True, [2, 2, 1, 1, 2, 2, 2, 2]), (False, [2] * 8)):
        layer = L.LSTM(2, bias_initializer=cornu.initializers.Constant(2.0), unit_forget_bias=unit)
        layer.build((None, None, 3))
        np.testing.assert_array_equal(layer.cell.bias.numpy(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_cells_step_by_step_are_the_layer(name):
    layer = getattr(L, name)(3, return_state=True)
    last, *states = layer(X)
    cell, now = layer.cell, layer.get_initial_state(2)
    for t in range(X.shape[1]):
        output, now = cell(X[:, t], now)
    for a, b in zip([last, *states], [output, *now], strict=True):
        close(a, b)
    if name != "LSTM":  # a bare state comes back bare
        output, bare = cell(X[:, 0], np.zeros((2, 3), "float32"))
        assert bare.shape == (2, 3)
        assert cell.state_size == 3
    else:
        assert cell.state_size == [3, 3]


# cells of one's own


def recall(base):
    class Recall(base.layers.Layer):
        """Remembers a sum of what it saw, and how often."""

        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = [units, 1]

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")

        def call(self, inputs, states):
            total, count = states
            total = base.ops.tanh(total + base.ops.matmul(inputs, self.kernel))
            return 2 * total, [total, count + 1]

    return Recall


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("mask", [None, MASK])
def test_own_cells_agree_with_keras(sequences, mask):
    cells = {L: recall(cornu), keras.layers: recall(keras)}

    def make(layers):
        return layers.RNN(cells[layers](3), return_sequences=sequences, return_state=True, zero_output_for_mask=True)

    compare(make, mask=mask)


def test_own_cells_repeat_the_previous_output():
    layer = L.RNN(recall(cornu)(3), return_sequences=True)
    outputs = np.asarray(layer(X, mask=MASK))
    np.testing.assert_array_equal(outputs[0, 0], 0)
    np.testing.assert_array_equal(outputs[0, 3], outputs[0, 2])
    np.testing.assert_array_equal(outputs[1, 4], outputs[1, 2])


def test_stacked_cells_agree_with_keras():
    def make(layers):
        return layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True, return_state=True)

    ours, theirs = compare(make)
    assert ours.state_size == theirs.state_size == [[3, 3], 2]
    assert type(ours.cell).__name__ == "StackedRNNCells"
    again = L.RNN.from_config(ours.get_config())
    again.build(X.shape)
    again.set_weights(ours.get_weights())
    for a, b in zip(tree.flatten(again(X, mask=MASK)), tree.flatten(ours(X, mask=MASK)), strict=True):
        close(a, b)


def test_a_stack_may_hold_own_cells():
    mixed = L.RNN([recall(cornu)(3), L.LSTMCell(2)], return_state=True)
    mixed.build((None, None, 4))
    assert [w.name for w in mixed.weights] == ["kernel", "kernel", "recurrent_kernel", "bias"]
    single = L.RNN(mixed.cell.cells[0], return_sequences=True)
    second = L.RNN(mixed.cell.cells[1])
    last, (_, count), _ = mixed(X)
    close(last, second(single(X)))
    np.testing.assert_array_equal(count, np.full((2, 1), 5))


def test_own_cells_may_draw_and_hold_layers():
    class Noisy(cornu.layers.Layer):
        state_size = 3

        def __init__(self):
            super().__init__()
            self.dense, self.drop = L.Dense(3), L.Dropout(0.5, seed=1)

        def call(self, inputs, states):
            kept = self.drop(cornu.ops.ones_like(states[0]))
            return kept, [self.dense(inputs)]

    layer = L.RNN(Noisy(), return_sequences=True)
    layer.build((None, None, 4))
    assert len(layer.weights) == 2
    outputs = np.asarray(layer(X, training=True))
    assert set(np.unique(outputs)) == {0.0, 2.0}
    assert any((outputs[:, t] != outputs[:, 0]).any() for t in range(1, 5))  # each step draws anew
    assert layer.cell.drop.seed_generator.state.numpy()[1] == 5
    np.testing.assert_array_equal(layer(X), 1)


# dropout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stack", [False, True])
def test_all_steps_share_a_dropout_mask(name, stack):
    cell = getattr(L, f"{name}Cell")(3, dropout=0.5, recurrent_dropout=0.5, seed=2)
    layer = L.RNN([cell] if stack else cell, return_sequences=True)
    twin = getattr(L, f"{name}Cell")(3)
    twin.build((2, 4))
    layer.build(X.shape)
    twin.set_weights(cell.get_weights())
    outputs = np.asarray(layer(X, training=True))
    assert not np.allclose(outputs, layer(X, training=True))  # another sequence, another mask
    again = getattr(L, f"{name}Cell")(3, dropout=0.5, recurrent_dropout=0.5, seed=2)
    again.build((2, 4))
    ones = np.ones((2, 4), "float32"), np.ones((2, 3), "float32")
    inputs, state = np.asarray(again.get_dropout_mask(ones[0])), np.asarray(again.get_recurrent_dropout_mask(ones[1]))
    assert set(np.unique([*inputs.ravel(), *state.ravel()])) == {0.0, 2.0}
    assert again.get_dropout_mask(ones[0]) is again.get_dropout_mask(ones[0])
    now = twin.get_initial_state(2)
    for t in range(X.shape[1]):
        h, *rest = now
        if name == "LSTM":
            output, now = twin(X[:, t] * inputs, [h * state, *rest])
        else:  # the old state also passes by the mask
            output, now = _masked_step(twin, X[:, t] * inputs, h, state)
        close(output, outputs[:, t])
    close(layer(X), L.RNN(twin, return_sequences=True)(X))


def _masked_step(cell, x, h, mask):
    """SimpleRNN and GRU with the masked state in the products, the state itself in the rest."""
    projected = cell.project(x)
    cell._masked = lambda state, training: state * mask
    output, new = cell.step(projected, [h], True)
    del cell._masked
    return output, new


def test_dropout_masks_are_reset():
    cell = L.LSTMCell(3, dropout=0.5, recurrent_dropout=0.5)
    cell.build((8, 16))
    x = np.ones((8, 16), "float32")
    first, again = (np.asarray(cell(x, cell.get_initial_state(8), training=True)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    assert not np.array_equal(cell(x, cell.get_initial_state(8), training=True)[0], first)
    layer = L.RNN(cell)
    layer(rows((8, 3, 16)), training=True)
    assert not cell._masks


# state


def test_stateful_goes_on_where_the_last_batch_ended():
    whole = L.LSTM(3, return_sequences=True)
    expected = np.asarray(whole(X))
    parts = L.LSTM(3, return_sequences=True, stateful=True)
    parts.build((2, None, 4))
    parts.set_weights(whole.get_weights())
    assert len(parts.weights) == 3
    assert len(parts.variables) == 6  # the states and the seed are state, but no weights
    step = B.compile(functional(lambda x: parts(x), parts.variables))
    for _ in range(2):
        values, first = step([v.value for v in parts.variables], X[:, :2])
        for variable, value in zip(parts.variables, values, strict=True):
            variable.assign(value)
        close(np.concatenate([first, parts(X[:, 2:])], 1), expected)
        parts.reset_state()
    close(parts(X, initial_state=[STATE, STATE]), whole(X, initial_state=[STATE, STATE]))
    close(parts.states[0].numpy(), whole(X, initial_state=[STATE, STATE])[:, -1])


def test_stateful_model_keeps_state_through_predict():
    model = cornu.Sequential([cornu.Input((5, 4), batch_size=2), L.GRU(3, stateful=True)])
    first, second = model.predict(X, batch_size=2, verbose=0), model.predict(X, batch_size=2, verbose=0)
    assert not np.allclose(first, second)
    model.layers[0].reset_states()
    close(model.predict(X, batch_size=2, verbose=0), first)


def test_initial_state_in_functional_models():
    inputs, h, c = cornu.Input((None, 4)), cornu.Input((3,)), cornu.Input((3,))
    lstm = L.LSTM(3, return_state=True)
    outputs, *states = lstm(inputs, initial_state=[h, c])
    model = cornu.Model([inputs, h, c], [outputs, *states])
    expected = lstm(X, initial_state=[STATE, 2 * STATE])
    for found in (model([X, STATE, 2 * STATE]), lstm([X, STATE, 2 * STATE])):
        for a, b in zip(found, expected, strict=True):
            close(a, b)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    close(again([X, STATE, 2 * STATE])[0], expected[0])
    gru = L.GRU(3)
    close(gru(X, initial_state=STATE), gru(X, initial_state=[STATE]))


def test_masks_travel():
    ids = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    embedded = L.Embedding(5, 4, mask_zero=True)(ids)
    sequences, last = L.LSTM(3, return_sequences=True), L.LSTM(3)
    outputs = sequences(embedded)
    np.testing.assert_array_equal(masks.get_mask(outputs), ids != 0)
    assert masks.get_mask(last(embedded)) is None
    close(last(embedded)[0], last(np.asarray(embedded)[:1, :2])[0])
    both, h, c = L.Bidirectional(L.LSTM(3, return_sequences=True, return_state=True))(embedded)[:3]
    np.testing.assert_array_equal(masks.get_mask(both), ids != 0)
    assert masks.get_mask(h) is masks.get_mask(c) is None


# wrappers


@pytest.mark.parametrize("mode", ["concat", "sum", None])
def test_bidirectional_agrees_with_keras(mode):
    states = mode in ("concat", None)

    def make(layers):
        layer = layers.GRU(3, return_sequences=mode != "sum", return_state=states)
        return layers.Bidirectional(layer, merge_mode=mode)

    call = {"mask": MASK, "initial_state": [STATE, -STATE]} if states else {}
    ours, theirs = compare(make, **call)
    assert (ours.forward_layer.name, ours.backward_layer.go_backwards) == (f"forward_{_base(ours)}", True)
    again = L.Bidirectional.from_config(ours.get_config())
    assert again.get_config() == ours.get_config()
    assert set(theirs.get_config()) <= {*ours.get_config(), "quantization_config"}


@pytest.mark.parametrize(("mode", "merge"), [("mul", np.multiply), ("ave", lambda a, b: (a + b) / 2)])
def test_bidirectional_merges(mode, merge):
    apart = L.Bidirectional(L.SimpleRNN(3), merge_mode=None)
    there, back = apart(X)
    layer = L.Bidirectional(L.SimpleRNN(3), merge_mode=mode)
    layer.build(X.shape)
    layer.set_weights(apart.get_weights())
    close(layer(X), merge(np.asarray(there), np.asarray(back)))


def _base(layer):
    return layer.backward_layer.name.removeprefix("backward_")


def test_bidirectional_with_its_own_backward_layer():
    def make(layers):
        return layers.Bidirectional(
            layers.SimpleRNN(3, return_sequences=True),
            backward_layer=layers.LSTM(2, return_sequences=True, go_backwards=True),
        )

    compare(make)


def test_bidirectional_copies_own_cells_and_keeps_state():
    layer = L.Bidirectional(L.RNN(L.LSTMCell(3), stateful=True))
    layer.build((2, None, 4))
    first = np.asarray(layer(X))
    assert not np.allclose(layer(X), first)
    layer.reset_states()
    close(layer(X), first)
    assert len(layer.states) == 4


@pytest.mark.parametrize("inner", [lambda layers: layers.Dense(3), lambda layers: layers.LSTM(3)])
def test_time_distributed_agrees_with_keras(inner):
    x = X if inner(L).name.startswith("dense") else rows((2, 3, 5, 4))
    ours, theirs = L.TimeDistributed(inner(L)), keras.layers.TimeDistributed(inner(keras.layers))
    ours.build(x.shape)
    theirs.build(x.shape)
    ours.set_weights(theirs.get_weights())
    close(ours(x), theirs(x))
    symbolic = ours(cornu.Input((None, *x.shape[2:])))
    assert symbolic.shape == (None, None, 3)
    assert set(theirs.get_config()) == set(ours.get_config())
    again = L.TimeDistributed.from_config(theirs.get_config())
    again.build(x.shape)
    again.set_weights(ours.get_weights())
    close(again(x), ours(x))


def test_time_distributed_passes_masks():
    sentences = rows((2, 3, 5, 4)) * (np.arange(5) < 3)[:, None] * np.array([1, 1, 0])[:, None, None]
    masked = L.Masking()(sentences.astype("float32"))
    lstm = L.LSTM(3)
    outputs = L.TimeDistributed(lstm)(masked)
    close(outputs[:, 0], lstm(sentences[:, 0, :3].astype("float32")))
    np.testing.assert_array_equal(masks.get_mask(outputs), [[True, True, False]] * 2)


# training


def test_training_reduces_the_loss():
    cornu.utils.set_random_seed(1)
    ids = np.random.default_rng(0).integers(1, 9, (64, 6))
    ids[::2, 4:] = 0
    targets = (ids[:, :1] > 4).astype("float32")
    model = cornu.Sequential(
        [
            L.Embedding(9, 4, mask_zero=True),
            L.Bidirectional(L.LSTM(4, return_sequences=True, dropout=0.1, recurrent_dropout=0.1)),
            L.GRU(4),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=cornu.optimizers.Adam(0.05), loss="binary_crossentropy")
    history = model.fit(ids, targets, epochs=12, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


# messages


class Wrong(cornu.layers.Layer):
    state_size = 3

    def __init__(self, new):
        super().__init__()
        self.new = new

    def call(self, inputs, states):
        return states[0], self.new(states[0])


ERRORS = {
    "rank": (lambda: L.LSTM(3)(X[0]), ShapeError, r"'lstm.*3 axes.*\(5, 4\)"),
    "features": (lambda: _used(L.GRU(3))(X[..., :3]), ShapeError, r"size 4.*\(2, 5, 3\)"),
    "unknown features": (lambda: L.LSTM(3)(cornu.Input((5, None))), ShapeError, "last size.*must be known"),
    "no steps": (lambda: L.LSTM(3)(X[:, :0]), ShapeError, "no steps"),
    "batch size": (lambda: L.LSTM(3, stateful=True)(cornu.Input((5, 4))), ShapeError, "batch_size="),
    "other batch": (
        lambda: _used(L.LSTM(3, stateful=True))(X[:1]),
        ShapeError,
        r"kept or given 0 should have shape \(1, 3\).*got \(2, 3\)",
    ),
    "not stateful": (lambda: L.LSTM(3).reset_states(), StateError, "stateful=True"),
    "states": (lambda: L.LSTM(3)(X, initial_state=[STATE]), ArgumentError, "2 tensors.*got 1"),
    "state shape": (lambda: L.GRU(3)(X, initial_state=STATE[:, :2]), ShapeError, r"\(2, 3\).*got \(2, 2\)"),
    "cell": (lambda: L.RNN(L.Dense(3)), ArgumentError, "state_size.*Dense"),
    "cells": (lambda: L.StackedRNNCells([3]), ArgumentError, "state_size.*got 3"),
    "no cells": (lambda: L.RNN([]), ArgumentError, "at least one cell"),
    "new states": (lambda: L.RNN(Wrong(lambda s: [s, s]))(X), ArgumentError, "returned 2 new states.*says 1"),
    "new shape": (lambda: L.RNN(Wrong(lambda s: s[:, :2]))(X), ShapeError, r"\(2, 3\).*got \(2, 2\)"),
    "units": (lambda: L.LSTM(0), ArgumentError, "units.*positive"),
    "dropout": (lambda: L.GRU(2, recurrent_dropout=2), ArgumentError, "recurrent_dropout"),
    "time_major": (lambda: L.LSTM(2, time_major=True), ArgumentError, "time first"),
    "unknown": (lambda: L.LSTM(2, unheard_of=1), ArgumentError, "unheard_of"),
    "merge mode": (lambda: L.Bidirectional(L.LSTM(2), merge_mode="max"), ArgumentError, "'concat'.*'max'"),
    "not recurrent": (lambda: L.Bidirectional(L.Dense(2)), ArgumentError, "recurrent layer"),
    "same direction": (lambda: L.Bidirectional(L.LSTM(2), backward_layer=L.LSTM(2)), ArgumentError, "go_backwards"),
    "other form": (
        lambda: L.Bidirectional(L.LSTM(2), backward_layer=L.LSTM(2, return_state=True, go_backwards=True)),
        ArgumentError,
        "same return_state",
    ),
    "odd states": (lambda: L.Bidirectional(L.GRU(3))(X, initial_state=[STATE]), ArgumentError, "backward layer"),
    "time axis": (lambda: L.TimeDistributed(L.Dense(2))(X[0]), ShapeError, "at least 3 axes"),
}


def _used(layer):
    layer(X)
    return layer


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_to_do(case):
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()
