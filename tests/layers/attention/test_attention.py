"""Attention layers: outputs, weights and gradients against Keras; NumPy against JAX; masks and messages."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest

import cornu
import cornu.layers as L
from cornu.backend import B
from cornu.base import tree
from cornu.base.errors import ArgumentError, OpError, ShapeError
from cornu.core import masks
from cornu.core.state import functional, value_and_grad
from tests.layers.oracle import agree_on_config, close, rows

Q, V, K = rows((2, 4, 6), seed=1), rows((2, 5, 6), seed=2), rows((2, 5, 6), seed=3)
Q_MASK = np.array([[1, 1, 0, 1], [0, 1, 1, 1]], bool)
V_MASK = np.array([[1, 1, 0, 1, 1], [0, 1, 1, 0, 1]], bool)
ALLOWED = np.random.default_rng(0).random((2, 4, 5)) > 0.3
ALLOWED[:, :, 1] = True
BY_HEAD = np.random.default_rng(0).random((2, 2, 4, 5)) > 0.3
BY_HEAD[..., 1] = True
IMAGES = rows((2, 4, 5, 3), (2, 4, 5, 3))
SCORES = {"return_attention_scores": True}

MHA, GQA = "MultiHeadAttention", "GroupQueryAttention"
HEADS = {"num_heads": 2, "key_dim": 3}
GROUPS = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
CASES = {
    "plain": (MHA, HEADS, (Q, V), {}),
    "scores, key": (MHA, HEADS, (Q, V, K), SCORES),
    "no bias, gate": (MHA, HEADS | {"use_bias": False, "use_gate": True}, (Q, V), {}),
    "sizes": (MHA, HEADS | {"value_dim": 5, "output_shape": (3, 2)}, (Q, V), SCORES),
    "masks": (MHA, HEADS, (Q, V), SCORES | {"query_mask": Q_MASK, "value_mask": V_MASK, "attention_mask": ALLOWED}),
    "mask by head": (MHA, HEADS, (Q, V), {"attention_mask": BY_HEAD, "value_mask": None}),
    "key mask": (MHA, HEADS, (Q, V, K), {"key_mask": V_MASK}),
    "causal": (MHA, HEADS, (Q, Q), {"use_causal_mask": True}),
    "window": (MHA, HEADS | {"sliding_window": 2}, (Q, Q), SCORES),
    "all axes": (MHA, HEADS, IMAGES, SCORES),
    "one axis": (MHA, HEADS | {"attention_axes": (2,)}, IMAGES, SCORES),
    "groups": (GQA, GROUPS, (Q, V), {}),
    "groups, gate, masks": (GQA, GROUPS | {"use_gate": True}, (Q, V, K), SCORES | {"query_mask": Q_MASK}),
    "dot": ("Attention", {"use_scale": True}, ([Q, V, K],), {}),
    "dot, masks": ("Attention", {}, ([Q, V],), SCORES | {"mask": [Q_MASK, V_MASK], "use_causal_mask": True}),
    "concat": ("Attention", {"use_scale": True, "score_mode": "concat"}, ([Q, V],), {"mask": [None, V_MASK]}),
    "additive": ("AdditiveAttention", {}, ([Q, V, K],), {}),
    "additive, masks": ("AdditiveAttention", {"use_scale": False}, ([Q, V],), SCORES | {"mask": [Q_MASK, V_MASK]}),
}


def weighted(outputs):
    rng = np.random.default_rng(7)
    return sum((o * rng.normal(size=o.shape).astype("float32")).sum() for o in outputs)


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_keras(case):
    name, kwargs, inputs, call = CASES[case]
    ours, theirs = getattr(L, name)(**kwargs), getattr(keras.layers, name)(**kwargs)
    shapes = [tree.map_structure(np.shape, x) for x in inputs]
    ours.build(*shapes)
    theirs.build(*shapes)
    assert [(w.path.split("/", 1)[1], w.shape) for w in ours.weights] == [
        (w.path.split("/", 1)[1], tuple(w.shape)) for w in theirs.weights
    ]
    rng = np.random.default_rng(5)
    weights = [rng.normal(0, 0.5, w.shape).astype("float32") for w in theirs.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)

    learnt = ours.trainable_variables

    def our_loss():
        outputs = tree.flatten(ours(*inputs, **call))
        return weighted(outputs), outputs

    step = B.compile(functional(lambda: value_and_grad(our_loss, learnt, has_aux=True)(), ours.variables))
    _, ((_, outputs), gradients) = step([v.value for v in ours.variables])

    def their_loss(values):
        fixed = [v.value for v in theirs.non_trainable_variables]
        outputs = jax.tree.leaves(theirs.stateless_call(values, fixed, *inputs, **call)[0])
        return weighted(outputs), outputs

    values = [v.value for v in theirs.trainable_variables]
    (_, expected), slopes = jax.jit(jax.value_and_grad(their_loss, has_aux=True))(values)
    for a, b in zip([*outputs, *gradients], [*expected, *slopes], strict=True):
        close(a, b)

    with cornu.config.backend_scope("numpy"):
        again = getattr(L, name)(**kwargs)
        again.build(*shapes)
        again.set_weights(weights)
        for a, b in zip(tree.flatten(again(*inputs, **call)), outputs, strict=True):
            close(a, b)
    symbols = [tree.map_structure(lambda a: cornu.Input((None, *a.shape[2:])), x) for x in inputs]
    options = {key: value for key, value in call.items() if isinstance(value, bool)}
    for found, value in zip(tree.flatten(ours(*symbols, **options)), outputs, strict=True):
        assert found.shape[0] is None
        assert all(size in (None, known) for size, known in zip(found.shape, value.shape, strict=True))


@pytest.mark.parametrize("name", [MHA, GQA, "Attention", "AdditiveAttention"])
def test_configurations_are_keras_ones(name):
    kwargs = {MHA: HEADS | {"kernel_regularizer": "l2"}, GQA: GROUPS}.get(name, {}) | {"dropout": 0.1}
    ours, theirs = getattr(L, name)(**kwargs), getattr(keras.layers, name)(**kwargs)
    if name in (MHA, GQA):
        again = type(ours).from_config(theirs.get_config())
        assert again.get_config() == ours.get_config() | {"name": again.name}
        assert set(theirs.get_config()) <= {*ours.get_config(), "activity_regularizer"}
        type(theirs).from_config(ours.get_config())
    else:
        ours([Q, V])
        agree_on_config(ours, theirs, [Q, V])


def test_the_last_projections_decide_the_shape():
    layer = L.MultiHeadAttention(2, 3, output_shape=7)
    outputs, scores = layer(cornu.Input((4, 6)), cornu.Input((None, 5)), return_attention_scores=True)
    assert (outputs.shape, scores.shape) == ((None, 4, 7), (None, 2, 4, None))
    assert layer.count_params() == 6 * 6 + 6 + 2 * (5 * 6 + 6) + 6 * 7 + 7


def test_masks_come_with_the_inputs():
    ids = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    embedded = L.Embedding(5, 6, mask_zero=True)(ids)
    layer = L.MultiHeadAttention(2, 3)
    outputs, scores = layer(embedded, embedded, return_attention_scores=True)
    np.testing.assert_array_equal(masks.get_mask(outputs), ids != 0)
    np.testing.assert_array_equal(np.asarray(scores)[:, 0, 0] > 0, ids != 0)
    close(layer(embedded, embedded), outputs)
    outputs, scores = L.Attention()([embedded, embedded], return_attention_scores=True)
    np.testing.assert_array_equal(masks.get_mask(outputs), ids != 0)
    assert masks.get_mask(scores) is None
    np.testing.assert_array_equal(outputs[0, 2:], 0)


@pytest.mark.parametrize("name", [MHA, GQA, "Attention", "AdditiveAttention"])
def test_dropout_falls_on_the_weights_in_training_alone(name):
    kwargs = {MHA: HEADS, GQA: GROUPS}.get(name, {})
    inputs = ([Q, V],) if not kwargs else (Q, V)
    layer, plain = getattr(L, name)(**kwargs, dropout=0.5, seed=1), getattr(L, name)(**kwargs)
    expected = np.asarray(plain(*inputs))
    layer(*inputs)
    layer.set_weights(plain.get_weights())
    close(layer(*inputs), expected)
    first, second = layer(*inputs, training=True), layer(*inputs, training=True)
    assert not np.allclose(first, expected)
    assert not np.allclose(first, second)
    mean = np.mean([layer(*inputs, training=True) for _ in range(60)], 0)
    np.testing.assert_allclose(mean, expected, atol=0.8)


def test_a_query_without_keys_attends_to_nothing():
    layer = L.MultiHeadAttention(2, 3)
    _, scores = layer(Q, V, attention_mask=np.zeros((2, 4, 5), bool), return_attention_scores=True)
    np.testing.assert_array_equal(scores, 0)


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16"])
def test_low_precision(policy):
    layer = L.MultiHeadAttention(2, 3, dtype=policy)
    outputs, scores = layer(Q, V, value_mask=V_MASK, return_attention_scores=True)
    assert str(outputs.dtype) == str(scores.dtype) == layer.compute_dtype
    np.testing.assert_allclose(np.asarray(scores, "float32").sum(-1), 1, atol=0.02)
    assert np.isfinite(np.asarray(outputs, "float32")).all()


def test_trains():
    cornu.utils.set_random_seed(2)
    inputs = cornu.Input((4, 6))
    outputs = L.Dense(1)(L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs)))
    model = cornu.Model(inputs, outputs)
    x = rows((64, 4, 6))
    model.compile(optimizer=cornu.optimizers.Adam(0.03), loss="mse")
    losses = model.fit(x, x.max((1, 2))[:, None], epochs=8, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


ERRORS = {
    "ranks": (lambda: L.MultiHeadAttention(2, 3)(Q, V[0]), ShapeError, r"same number of axes.*\(5, 6\)"),
    "no value": (
        lambda: L.MultiHeadAttention(2, 3, name="m")(Q),
        OpError,
        r"'m'.*\(query, value\); 'value' is missing",
    ),
    "no value yet": (lambda: L.GroupQueryAttention(2, 2, 2)(L.Input((5, 6))), OpError, "'value' is missing"),
    "lengths": (lambda: L.MultiHeadAttention(2, 3)(Q, V, Q), ShapeError, r"value and key.*\(2, 5, 6\) and \(2, 4, 6\)"),
    "axes": (lambda: L.MultiHeadAttention(2, 3, attention_axes=2)(Q, V), ArgumentError, r"attention_axes.*\(2,\)"),
    "heads": (lambda: L.MultiHeadAttention(0, 3), ArgumentError, "num_heads.*positive"),
    "output": (lambda: L.MultiHeadAttention(1, 3, output_shape=(1, 0)), ArgumentError, "output_shape"),
    "window": (lambda: L.MultiHeadAttention(1, 3, sliding_window=0), ArgumentError, "sliding_window"),
    "flash": (lambda: L.MultiHeadAttention(1, 3, dropout=0.1, flash_attention=True), ArgumentError, "no dropout"),
    "causal": (lambda: L.MultiHeadAttention(1, 3)(*IMAGES, use_causal_mask=True), ArgumentError, "one axis of time"),
    "groups": (lambda: L.GroupQueryAttention(2, 3, 2), ArgumentError, "multiple.*got 3 and 2"),
    "group rank": (lambda: L.GroupQueryAttention(2, 2, 2)(*IMAGES), ArgumentError, "3 axes.*got 4"),
    "list": (lambda: L.Attention()(Q), ArgumentError, "list.*one tensor"),
    "many": (lambda: L.Attention()([Q, V, K, K]), ArgumentError, "got 4 tensors"),
    "mode": (lambda: L.Attention(score_mode="dott"), ArgumentError, "'concat'.*Did you mean 'dot'"),
    "mask": (lambda: L.Attention()([Q, V], mask=Q_MASK), ArgumentError, "mask should be a list"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_to_do(case):
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()
