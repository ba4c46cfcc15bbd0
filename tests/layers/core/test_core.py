"""Embedding, EinsumDense, Lambda, Masking, Identity, Wrapper."""

import keras
import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.backend import B
from cornu.base.errors import ArgumentError, CornuError, DTypeError, OpError, ShapeError, UnsafeFileError
from cornu.core.configurable import custom_object_scope
from cornu.core.masks import get_mask
from tests.layers.oracle import agree, agree_on_config, close, pair, plain, random_weights, rows

EINSUMS = [
    ("ab,bc->ac", {"output_shape": 4, "bias_axes": "c"}, (2, 3)),
    ("abc,cd->abd", {"output_shape": (None, 4), "bias_axes": "d", "activation": "relu"}, (2, 5, 3)),
    ("abc,cde->abde", {"output_shape": (5, 2, 4), "bias_axes": "de"}, (2, 5, 3)),
    ("abc,cde->abde", {"output_shape": (None, 2, 4), "bias_axes": "be"}, (2, 5, 3)),
    ("...x,xy->...y", {"output_shape": 4, "bias_axes": "y"}, (2, 5, 3)),
    ("ab...,bcd->ac...d", {"output_shape": (4, 2)}, (2, 3, 5)),
    ("abc, bcd -> ad", {"output_shape": (4,)}, (2, 5, 3)),
]


@pytest.mark.parametrize(("equation", "kwargs", "shape"), EINSUMS[:5])
def test_einsum_dense_agrees_with_keras(equation, kwargs, shape):
    if "be" in kwargs.values():  # Keras wants the size to be known
        kwargs = kwargs | {"output_shape": (5, 2, 4)}
    agree("EinsumDense", {"equation": equation, **kwargs}, rows(shape))


@pytest.mark.parametrize(("equation", "kwargs", "shape"), EINSUMS)
def test_einsum_dense_is_its_equation(equation, kwargs, shape):
    layer, x = layers.EinsumDense(equation, **kwargs), rows(shape)
    layer(x)
    weights = random_weights(layer)
    layer.set_weights(weights)
    expected = np.einsum(equation.replace(" ", ""), x, weights[0])
    for bias in weights[1:]:
        expected = expected + bias
    close(layer(x), np.maximum(expected, 0) if "activation" in kwargs else expected)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_embedding_agrees_with_keras(mask_zero):
    agree(
        "Embedding",
        {"input_dim": 7, "output_dim": 3, "mask_zero": mask_zero},
        np.array([[0, 6, 2], [1, 1, 0]]),
        gradients=False,
    )


def test_embedding_gradient_adds_up_over_equal_ids():
    layer, ids = layers.Embedding(4, 2), np.array([1, 3, 1])
    layer(ids)
    _, (grad,) = cornu.ops.value_and_grad(lambda: layer(ids).sum(), layer.trainable_variables)()
    np.testing.assert_array_equal(np.asarray(grad), [[0, 0], [2, 2], [0, 0], [1, 1]])


def test_embedding_ids_are_exact_in_low_precision():
    layer = layers.Embedding(1000, 2, dtype="mixed_bfloat16")
    ids = np.array([[257.0, 999.0]], "float32")
    outputs = layer(ids)
    assert str(outputs.dtype) == "bfloat16"
    expected = layer.get_weights()[0][[257, 999]].astype("float32")
    np.testing.assert_allclose(np.asarray(outputs, "float32")[0], expected, rtol=1e-2)


def test_embedding_masks_and_keeps_legacy_arguments():
    layer = layers.Embedding(5, 2, mask_zero=True, input_length=3, weights=[np.ones((5, 2))])
    outputs = layer(np.array([[1, 0, 2]]))
    np.testing.assert_array_equal(np.asarray(get_mask(outputs)), [[True, False, True]])
    np.testing.assert_array_equal(np.asarray(outputs), 1)
    assert layer.get_config()["input_dim"] == 5


def test_embedding_clips_in_compiled_code():
    layer = layers.Embedding(3, 2)
    table = np.asarray(layer(np.arange(3)))
    np.testing.assert_array_equal(np.asarray(B.compile(layer)(B.convert(np.array([7, 1])))), table[[2, 1]])


def test_masking_agrees_with_keras():
    ours, theirs = pair("Masking", mask_value=2.0)
    x = rows((2, 4, 3))
    x[0, 1], x[1, 2, 0] = 2, 2
    outputs = ours(x)
    close(outputs, theirs(x))
    np.testing.assert_array_equal(np.asarray(get_mask(outputs)), np.asarray(theirs.compute_mask(x)))
    agree_on_config(ours, theirs, x)


def test_identity_passes_nests_and_masks():
    x = layers.Masking()(np.zeros((1, 2, 3), "float32"))
    out = layers.Identity()({"a": [x, x]})
    assert get_mask(out["a"][1]) is not None
    assert layers.Identity()([layers.Input((2,)), layers.Input((3,))])[1].shape == (None, 3)


def doubled_nowhere_registered(x, by=2):
    return x * by


def test_lambda():
    x = rows((2, 3))
    close(layers.Lambda(lambda x: x**2)(x), x**2)
    close(layers.Lambda(doubled_nowhere_registered, arguments={"by": 3})(x), x * 3)
    close(layers.Lambda(lambda x, training: x if training else -x)(x, training=True), x)
    close(layers.Lambda(lambda xs: xs[0] - xs[1])([x, x]), x * 0)
    close(layers.Lambda(B.exp)(x), np.exp(x), 1e-4)
    assert layers.Lambda(lambda x: x[:, :2], output_shape=(2,))(layers.Input((5,))).shape == (None, 2)
    assert layers.Lambda(lambda x: cornu.ops.argmax(x, -1))(layers.Input((5,))).dtype == "int32"


def test_lambda_masks():
    x = layers.Masking()(np.zeros((1, 2, 3), "float32"))
    seen = []
    out = layers.Lambda(lambda x, mask: seen.append(mask) or x * 1, mask=lambda x, mask: ~mask)(x)
    assert not np.asarray(seen[0]).any()
    assert np.asarray(get_mask(out)).all()


def test_lambda_is_saved_by_name():
    x = rows((2, 3))
    config = layers.Lambda(doubled_nowhere_registered, arguments={"by": 4}).get_config()
    with pytest.raises(ValueError, match=r"'doubled_nowhere_registered'.*register it"):
        layers.Lambda.from_config(config)
    with custom_object_scope({"doubled_nowhere_registered": doubled_nowhere_registered}):
        close(layers.Lambda.from_config(config)(x), 4 * x)
    close(layers.Lambda.from_config(layers.Lambda(cornu.ops.relu).get_config())(x), np.maximum(x, 0))
    close(layers.Lambda.from_config(keras.layers.Lambda(keras.ops.relu).get_config())(x), np.maximum(x, 0))
    with pytest.raises(ArgumentError, match="A lambda cannot be saved"):
        layers.Lambda(lambda x: x).get_config()
    hostile = keras.layers.Lambda(lambda x: x).get_config()
    with pytest.raises(UnsafeFileError, match="holds its function as Python code"):
        layers.Lambda.from_config(hostile)


class Twice(layers.Wrapper):
    def call(self, x):
        return self.layer(self.layer(x))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Dense(2, name="it"), (1, 2)),
        (lambda: layers.Conv2D(2, 1, name="it"), (1, 1, 1, 2)),
        (lambda: layers.Embedding(9, 2, name="it"), (1, 2)),
        (lambda: layers.LSTM(2, name="it"), (1, 1, 2)),
        (lambda: cornu.Sequential([layers.Input((2,)), layers.Dense(2)], name="it"), (1, 2)),
    ],
    ids=["Dense", "Conv2D", "Embedding", "LSTM", "model"],
)
def test_inputs_that_are_no_numbers(make, shape):
    for wrong in (np.array(["a", "b"]), np.array([1, "a"], object), np.array([b"a", b"b"])):
        with pytest.raises((DTypeError, OpError), match=r"'it'.*(inputs? .*be \w+, got|string)"):
            make()(wrong.reshape(shape))
    ragged = np.empty(2, object)
    ragged[:] = [[1, 2], [3]]
    with pytest.raises(DTypeError, match="'it'.*inputs should be numbers, got array.*pad_sequences"):
        make()(ragged)
    layer, numbers = make(), np.array([1, 2]).reshape(shape)
    close(layer(numbers.astype(object)), layer(numbers))


class Weighted(layers.Layer):
    """Inputs times one weight, made with the given arguments."""

    def __init__(self, arguments, **kwargs):
        super().__init__(**kwargs)
        self.w = self.add_weight((2,), **arguments, name="w")

    def call(self, inputs):
        return inputs * self.w


def test_weights_with_regularizer_and_constraint():
    layer = Weighted({"initializer": "ones", "regularizer": "l2", "constraint": "unit_norm"})
    np.testing.assert_allclose(sum(layer.losses), 0.02, rtol=1e-6)
    model = cornu.Sequential([layer])
    model.compile(cornu.optimizers.SGD(0.1), "mse")
    model.fit(np.ones((4, 2)), np.zeros((4, 2)), verbose=0)
    np.testing.assert_allclose(np.linalg.norm(layer.w), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (lambda shape, dtype: np.full(shape, 3, dtype), [3, 3]),
        (cornu.initializers.Constant(2), [2, 2]),
        (cornu.initializers.Ones, [1, 1]),
        (np.array([4.0, 5.0]), [4, 5]),
    ],
)
def test_weights_from_functions_and_objects(initializer, expected):
    np.testing.assert_array_equal(Weighted({"initializer": initializer}).w, expected)


@pytest.mark.parametrize("autocast", [True, False])
def test_weights_are_read_in_the_compute_dtype_with_autocast(autocast):
    seen = []

    class Seeing(Weighted):
        def call(self, inputs):
            seen.append(cornu.backend.standardize_dtype(self.w.value.dtype))
            return inputs

    Seeing({"autocast": autocast}, dtype="mixed_bfloat16")(rows((3, 2)))
    assert seen == ["bfloat16" if autocast else "float32"]


def test_wrapper_builds_holds_and_saves_its_layer():
    layer, x = Twice(layers.Dense(3)), rows((2, 3))
    close(layer(x), np.asarray(layer.layer(layer.layer(x))))
    assert [w.name for w in layer.weights] == ["kernel", "bias"]
    layer.trainable = False
    assert not layer.layer.trainable
    again = Twice.from_config(layer.get_config())
    again(x)
    again.set_weights(layer.get_weights())
    close(again(x), layer(x))
    assert plain(layers.Wrapper(layers.Dense(2)).get_config())["layer"]["class_name"] == "Dense"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.EinsumDense("ab->c", 2), ArgumentError, "should look like 'ab,bc->ac'"),
        (lambda: layers.EinsumDense("...b,bc->ac", 2), ArgumentError, "on neither or both sides"),
        (lambda: layers.EinsumDense("ab,bc->ac", 2, bias_axes="z"), ArgumentError, r"bias_axes \['z'\] are no letters"),
        (lambda: layers.EinsumDense("ab,bc->ac", (2, 3))(rows((2, 3))), ShapeError, "gives 2 axes with the batch"),
        (lambda: layers.EinsumDense("abc,cd->abd", (4, 2))(rows((2, 3, 5))), ShapeError, "'b' .* has size 3 .* and 4"),
        (lambda: layers.EinsumDense("abc,cd->abd", 2)(rows((2, 3))), ShapeError, "does not fit inputs of shape"),
        (lambda: layers.EinsumDense("ab,bc->ac", None)(rows((2, 3))), ShapeError, r"sizes of \['c'\]"),
        (lambda: layers.EinsumDense("ab,bc->ac", 0), ArgumentError, "output_shape should be a positive int, got 0"),
        (lambda: layers.Input((3,), batch_size=0), ArgumentError, "batch_size should be a positive int, got 0"),
        (lambda: layers.Dense(2, input_dim=0), ArgumentError, "input_dim should be a positive int, got 0"),
        (lambda: layers.Dense(2, trainable="a"), ArgumentError, "trainable should be True or False, got 'a'"),
        (lambda: layers.Embedding(0, 2), ArgumentError, "input_dim should be a positive int, got 0"),
        (
            lambda: layers.Embedding(3, 2, name="e")(np.array([1, 3])),
            ArgumentError,
            r"'e'.*below input_dim=3, got some from 1 to 3",
        ),
        (lambda: layers.Embedding(3, 2)(np.array([-1])), ArgumentError, "should be at least 0"),
        (lambda: layers.Lambda(3), ArgumentError, "function should be callable, got 3"),
        (
            lambda: layers.Lambda(lambda x: cornu.ops.matmul(x, np.ones((9, 9))), name="l")(rows((2, 3))),
            CornuError,
            r"'l' .*matmul",
        ),
        (lambda: layers.Wrapper("dense"), ArgumentError, "layer should be a Layer, got 'dense'"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


# equation, output_shape, what it is called on, and the inputs and outputs of a unit: letters summed over, and others
FANS = [
    ("abc,cde->abde", (None, 8, 32), (2, 5, 256), 256, 256),  # the projections of attention
    ("abde,dec->abc", (None, 256), (2, 5, 8, 32), 256, 256),
    ("abc,bcd->abd", (8, 64), (2, 8, 256), 256, 512),
    ("abc,cb->acb", (256, 64), (2, 64, 256), 1, 256 * 64),
    ("...x,xy->...y", (64,), (2, 3, 256), 256, 64),
]


@pytest.mark.parametrize(("equation", "output_shape", "shape", "fan_in", "fan_out"), FANS)
def test_the_equation_says_what_a_unit_reads(equation, output_shape, shape, fan_in, fan_out):
    """Initial kernels have the spread that inputs and outputs of a unit ask for, as those of Keras have."""
    x = np.ones(shape, "float32")
    for library in (cornu, keras):
        for initializer, variance in (("glorot_uniform", 2 / (fan_in + fan_out)), ("lecun_normal", 1 / fan_in)):
            layer = library.layers.EinsumDense(equation, output_shape, kernel_initializer=initializer)
            layer(x)
            np.testing.assert_allclose(np.var(np.asarray(layer.kernel)), variance, rtol=0.08)
            assert layer.get_config()["kernel_initializer"]["config"]["input_axes"] is None
    given = cornu.initializers.VarianceScaling(1.0, "fan_in", seed=1, input_axes=[0], output_axes=[1])
    layer = cornu.layers.EinsumDense(equation, output_shape, kernel_initializer=given)
    layer(x)
    np.testing.assert_array_equal(layer.kernel.numpy(), np.asarray(given(layer.kernel.shape)))
