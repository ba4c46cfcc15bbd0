"""What is particular to TensorFlow: its tensors and data sets go in, layers call `tf`, nothing is traced twice."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import cornu
from cornu import layers, ops
from cornu.backend import B
from cornu.backend.tensorflow import TensorflowBackend, _gains_by_xla
from cornu.base import config
from cornu.base.errors import BackendMismatchError, DataError, DTypeError, OpError, ShapeError
from cornu.core.variable import Variable

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 6)).astype("float32"), RNG.integers(0, 3, 50)


@pytest.fixture(autouse=True)
def tensorflow() -> Iterator[None]:
    with config.backend_scope("tensorflow"):
        cornu.utils.set_random_seed(1)
        yield


class Scaled(cornu.Layer):
    """A user's layer that calls TensorFlow itself."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight((shape[-1],), "ones")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        top = tf.reduce_max(x, axis=-1, keepdims=True)
        return tf.nn.relu(tf.math.tanh(x - top) * self.scale + tf.cast(tf.shape(x)[-1], x.dtype))


class Network(cornu.Model):
    """A subclassed model with such a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled, self.out = Scaled(), layers.Dense(3)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.out(self.scaled(tf.convert_to_tensor(x))))


def sequential() -> cornu.Model:
    return cornu.Sequential([layers.Dense(4), Scaled(), layers.Dense(3, activation="softmax")])


def functional() -> cornu.Model:
    inputs = cornu.Input((6,))
    x = Scaled()(layers.Dense(4)(inputs))
    return cornu.Model(inputs, layers.Lambda(lambda x: tf.nn.softmax(x))(layers.Dense(3)(x)))


def compiled(model: cornu.Model, **options: Any) -> cornu.Model:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


@pytest.mark.parametrize("make", [sequential, functional, Network])
@pytest.mark.parametrize("eagerly", [False, True])
def test_layers_that_call_tensorflow_train(make: Callable[[], cornu.Model], eagerly: bool) -> None:
    model = compiled(make(), run_eagerly=eagerly)
    history = model.fit(X, Y, batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    scales = [layer.scale.numpy() for layer in model._flatten_layers() if isinstance(layer, Scaled)]
    assert np.abs(scales[0] - 1).max() > 1e-4
    assert model.predict(X, verbose=0).shape == (50, 3)
    assert isinstance(model(X), tf.Tensor)


def test_shapes_of_layers_that_call_tensorflow_are_inferred() -> None:
    assert functional().layers[2].output.shape == (None, 4)
    image = layers.Lambda(lambda x: tf.image.resize(x, (4, 5)))(cornu.Input((8, 8, 3)))
    assert image.shape == (None, 4, 5, 3)


DATA: dict[str, Callable[[], Any]] = {
    "tf.data": lambda: (tf.data.Dataset.from_tensor_slices((X, Y)).batch(16),),
    "unbatched weights": lambda: (tf.data.Dataset.from_tensor_slices((X, Y, np.ones(50, "float32"))).batch(16),),
    "tensors": lambda: (tf.constant(X), tf.constant(Y)),
    "dict": lambda: (tf.data.Dataset.from_tensor_slices(({"a": X}, Y)).batch(16).prefetch(2),),
}


@pytest.mark.parametrize("kind", DATA)
def test_data_of_tensorflow(kind: str) -> None:
    if kind == "dict":
        inputs = cornu.Input((6,), name="a")
        model = compiled(cornu.Model({"a": inputs}, layers.Dense(3, activation="softmax")(inputs)))
    else:
        model = compiled(sequential())
    sizes = {} if len(DATA[kind]()) == 1 else {"batch_size": 16}
    model.fit(*DATA[kind](), epochs=2, verbose=0, **sizes)
    loss, accuracy = model.evaluate(*DATA[kind](), verbose=0, **sizes)
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1
    assert model.predict(DATA[kind]()[0], verbose=0).shape == (50, 3)


def test_a_data_set_trains_as_arrays_do() -> None:
    losses = []
    for data in ((X, Y), (tf.constant(X), tf.constant(Y)), (tf.data.Dataset.from_tensor_slices((X, Y)).batch(16),)):
        cornu.utils.set_random_seed(3)
        sizes = {} if len(data) == 1 else {"batch_size": 16}
        model = compiled(cornu.Sequential([layers.Dense(3, activation="softmax")]))
        losses.append(model.fit(*data, epochs=3, shuffle=False, verbose=0, **sizes).history["loss"])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-6)


def test_endless_data_set_and_generator() -> None:
    def generate() -> Iterator[Any]:
        while True:
            yield tf.constant(X[:8]), tf.constant(Y[:8])

    for data in (tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(10), generate()):
        history = compiled(sequential()).fit(data, steps_per_epoch=3, epochs=2, verbose=0).history
        assert len(history["loss"]) == 2


def convolutional() -> cornu.Model:
    return cornu.Sequential(
        [
            layers.Reshape((3, 2, 1)),
            layers.Conv2D(4, 2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D((2, 1)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def attending() -> cornu.Model:
    inputs = cornu.Input((6,))
    x = layers.Reshape((3, 2))(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.GRU(3, return_sequences=True)(x)
    return cornu.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


@pytest.mark.parametrize("make", [convolutional, attending])
def test_training_agrees_with_jax(make: Callable[[], cornu.Model]) -> None:
    found = {}
    for backend in ("tensorflow", "jax"):
        with config.backend_scope(backend):
            cornu.utils.set_random_seed(7)
            model = compiled(make())
            losses = model.fit(X, Y, batch_size=16, epochs=3, verbose=0).history["loss"]
            found[backend] = losses, model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)
    for ours, theirs in zip(found["tensorflow"], found["jax"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_nothing_is_traced_after_the_first_epoch() -> None:
    traces = []

    class Counting(layers.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            traces.append(x.shape)
            return x

    model = compiled(cornu.Sequential([Counting(), layers.Dropout(0.3), layers.Dense(3, activation="softmax")]))
    model.fit(X, Y, batch_size=16, epochs=1, verbose=0, validation_data=(X, Y))
    model.predict(X, batch_size=16, verbose=0)
    before = len(traces)
    model.fit(X, Y, batch_size=16, epochs=3, verbose=0, validation_data=(X, Y))
    model.predict(X, batch_size=16, verbose=0)
    model.evaluate(X, Y, batch_size=16, verbose=0)
    assert len(traces) == before


def test_custom_train_step_with_the_tape_of_tensorflow_free_names() -> None:
    class Custom(cornu.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            loss_of = ops.value_and_grad(lambda: self.compute_loss(y=y, y_pred=self(x)), self.trainable_variables)
            loss, gradients = loss_of()
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss, "norm": tf.linalg.global_norm(gradients)}

    history = compiled(Custom()).fit(X, Y, batch_size=16, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["norm"]) > 0


def test_mixed_precision_computes_in_bfloat16() -> None:
    seen = []
    before = cornu.config.dtype_policy()
    cornu.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = cornu.Sequential([layers.Dense(4), layers.Lambda(lambda x: seen.append(x.dtype) or x), layers.Dense(3)])
        model.compile("sgd", cornu.losses.SparseCategoricalCrossentropy(from_logits=True))
        assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"][0])
    finally:
        cornu.config.set_dtype_policy(before)
    assert set(seen) == {tf.bfloat16}
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


def test_saving(tmp_path: Path) -> None:
    model = compiled(cornu.Sequential([layers.Dense(4), layers.Dense(3, activation="softmax")]))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    expected = model.predict(X, verbose=0)
    for backend in ("tensorflow", "jax"):
        with config.backend_scope(backend):
            twin = cornu.models.load_model(tmp_path / "model.keras")
            np.testing.assert_allclose(twin.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (lambda: tf.Variable([1.0, 2.0]), None, "float32"),
        (lambda: [tf.constant(1.0), tf.constant(2.0)], None, "float32"),
        (lambda: [1, 2], None, "int32"),
        (lambda: [1.0, 2.0], None, "float32"),
        (lambda: np.array([1.0, 2.0]), None, "float64"),
        (lambda: np.array([1, 2]), "bfloat16", "bfloat16"),
        (lambda: (1, 2), "bool", "bool"),
    ],
)
def test_convert(value: Callable[[], Any], dtype: str | None, expected: str) -> None:
    found = ops.convert_to_tensor(value(), dtype)
    assert isinstance(found, tf.Tensor)
    assert ops.dtype(found) == expected
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found).astype("float64"), [1, 1] if expected == "bool" else [1, 2]
    )


def test_variables_do_not_share_memory_with_numpy() -> None:
    array = np.ones(1000, "float32")
    variable = Variable(array)
    array[:] = 5
    assert variable.numpy().max() == 1


INDEXES: list[Any] = [
    (slice(None), [0, -1]),
    (..., np.array([True, False, True, False])),
    (1, ..., [[0, 1], [2, 3]]),
    ([0, 1], slice(None), [2, -1]),
    (None, slice(None, None, -2), [1, 2, 0]),
    np.array([[True, False, True], [False, True, True]]),
    (slice(None), np.array([2, 0]), np.array([1, 1])),
    (..., None, -1),
    [],
]


@pytest.mark.parametrize("index", INDEXES, ids=str)
@pytest.mark.parametrize("eagerly", [False, True])
def test_indexing_is_that_of_numpy(index: Any, eagerly: bool) -> None:
    x = np.arange(24).reshape(2, 3, 4)
    if isinstance(index, list):
        index = np.array(index, int)
    pick: Callable[[Any], Any] = lambda x: ops.get_item(x, index)  # noqa: E731
    found = pick(B.convert(x)) if eagerly else B.compile(pick)(B.convert(x))
    np.testing.assert_array_equal(found, x[index])


def test_mixing_frameworks_is_an_error_that_names_both() -> None:
    with pytest.raises(BackendMismatchError, match="jax array.*'tensorflow'.*backend_scope"):
        with config.backend_scope("jax"):
            array = ops.ones((2,))
        ops.add(array, 1)
    with config.backend_scope("numpy"), pytest.raises(BackendMismatchError, match="tensorflow array.*'numpy'"):
        ops.add(tf.ones(2), 1)


@pytest.mark.parametrize("eagerly", [False, True])
def test_errors_of_tensorflow_name_the_op(eagerly: bool) -> None:
    def call(a: Any, b: Any) -> Any:
        return ops.add(a, b)

    with pytest.raises(OpError, match=r"add\(float32\[2, 3\], float32\[4\]\)"):
        (call if eagerly else B.compile(call))(tf.ones((2, 3)), tf.ones(4))


def test_gradients_of_tensorflow_flow_through_ours() -> None:
    x = tf.Variable([0.5, -1.0, 2.0])
    dense = layers.Dense(2)
    dense.build((None, 3))
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(ops.exp(dense(tf.expand_dims(x, 0))))
    found = tape.gradient(result, x)
    kernel = dense.kernel.numpy()
    np.testing.assert_allclose(found, kernel @ np.exp(x.numpy() @ kernel), rtol=1e-5)


def test_within_a_function_of_the_user() -> None:
    model = functional()
    expected = model(X)
    np.testing.assert_allclose(tf.function(model)(tf.constant(X)), expected, rtol=1e-5, atol=1e-6)


class _Taped(cornu.Model):
    """As people write it for Keras on TensorFlow."""

    def __init__(self) -> None:
        super().__init__()
        self.normalized, self.out = layers.BatchNormalization(), layers.Dense(3)

    def call(self, x: Any, training: Any = None) -> Any:
        return self.out(self.normalized(x, training=training))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def _by_hand(wrap: Callable[[Any], Any]) -> tuple[list[float], cornu.Model]:
    cornu.utils.set_random_seed(2)
    model, optimizer = _Taped(), cornu.optimizers.Adam()
    loss_of = cornu.losses.SparseCategoricalCrossentropy(from_logits=True)
    model(X)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        return loss

    run = wrap(step)
    losses = [float(run(X, Y)) for _ in range(3)]
    assert int(optimizer.iterations) == 3
    model.set_weights([0 * w for w in model.get_weights()])  # functions see what happens to weights later
    np.testing.assert_allclose(run(X, Y), np.log(3), rtol=1e-6)
    return losses, model


def test_tapes_of_the_user_watch_variables() -> None:
    cornu.utils.set_random_seed(2)
    model = _Taped()
    model.compile("adam", cornu.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = model.fit(X, Y, batch_size=50, epochs=3, verbose=0).history["loss"]
    assert expected[2] < expected[1] < expected[0]
    np.testing.assert_allclose(_by_hand(lambda step: step)[0], expected, rtol=1e-5)
    losses, model = _by_hand(tf.function)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    outputs = model.predict(X, verbose=0)
    assert repr(model.to_backend("jax").trainable_variables[0]).startswith("<Variable path=")
    np.testing.assert_allclose(model.predict(X, verbose=0), outputs, rtol=1e-5, atol=1e-6)


def test_functions_of_the_user_go_on_with_variables_that_were_elsewhere() -> None:
    variable = Variable(np.ones(2, "float32"))
    count = tf.function(lambda: variable.assign_add(tf.ones(2)))
    count()
    variable.to_backend("jax")
    with config.backend_scope("jax"):
        variable.assign([5.0, 7.0])
    variable.to_backend("tensorflow")
    assert count().numpy().tolist() == variable.numpy().tolist() == [6.0, 8.0]
    twin = copy.deepcopy(variable)
    count()
    assert twin.numpy().tolist() == [6.0, 8.0]


def test_tapes_of_the_user_and_derivatives_of_ours_agree() -> None:
    model = cornu.Sequential([cornu.Input((3,), dtype="int32"), layers.Embedding(4, 2), layers.LSTM(2)])
    x = np.array([[1, 2, 1]])
    variables = model.trainable_variables
    _, expected = ops.value_and_grad(lambda: ops.sum(model(x) ** 2), variables)()
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(model(x) ** 2)
    unread = Variable(np.ones(2, "float32"))
    assert tape.gradient(loss, [unread]) == [None]
    for ours, theirs in zip(tape.gradient(loss, variables), expected, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(ours), theirs, rtol=1e-5, atol=1e-7)


def test_layers_make_variables_of_tensorflow_in_build() -> None:
    class Own(layers.Layer):
        def build(self, shape: Any) -> None:
            self.factor = tf.Variable(tf.ones(shape[-1]))

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return x * self.factor

    model = cornu.Sequential([Own(), layers.Activation("relu")])  # built while it is traced
    np.testing.assert_allclose(model.predict(X, verbose=0), np.maximum(X, 0))


def test_data_sets_that_are_distributed_or_never_end_or_have_no_batches() -> None:
    rows = tf.data.Dataset.from_tensor_slices((X, Y))
    model = compiled(cornu.Sequential([layers.Dense(3, activation="softmax")]), jit_compile=False)
    one = tf.distribute.MirroredStrategy(["/cpu:0"])
    assert np.isfinite(model.fit(one.experimental_distribute_dataset(rows.batch(16)), verbose=0).history["loss"][0])
    endless = rows.batch(16).repeat()
    for call in (
        lambda: model.fit(endless, verbose=0),
        lambda: model.fit(X, Y, validation_data=endless, verbose=0),
        lambda: model.evaluate(endless, verbose=0),
        lambda: model.predict(endless, verbose=0),
    ):
        with pytest.raises(DataError, match="never ends: give `steps_per_epoch`"):
            call()
    with pytest.raises(DataError, match=r"should have a batch axis \(a data set of single rows needs `.batch\(32\)`\)"):
        model.fit(rows, verbose=0)


LOOPS: dict[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
    "while": (lambda x: ops.while_loop(lambda v: v < 50, lambda v: v * v, x), lambda x: 8 * x**7),
    "scan": (lambda x: ops.scan(lambda c, a: (c * x, None), x, ops.ones(3))[0], lambda x: 4 * x**3),
    "cond": (lambda x: ops.cond(x > 1, lambda a: a**3, lambda a: -a, x), lambda x: 3 * x**2),
    "checkpoint": (lambda x: ops.checkpoint(lambda a: ops.sin(a) * x)(x), lambda x: np.sin(x) + x * np.cos(x)),
}


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("eagerly", [False, True])
def test_derivatives_of_control_flow(kind: str, eagerly: bool) -> None:
    fn, slope = LOOPS[kind]
    first = ops.grad(fn)
    second = ops.grad(first)

    def both(x: Any) -> Any:
        return first(x), second(x), ops.jvp(fn, [x], [2.0])[1]

    found = (both if eagerly else B.compile(both))(tf.constant(2.0))
    step = 1e-4
    expected = slope(2.0), (slope(2 + step) - slope(2 - step)) / (2 * step), 2 * slope(2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_importing_cornu_imports_no_tensorflow_and_choosing_it_leaves_its_switches_alone() -> None:
    code = (
        "import sys, cornu\nfrom cornu import layers, ops\nassert 'tensorflow' not in sys.modules\n"
        "cornu.config.set_backend('tensorflow')\nops.ones(3)\nimport tensorflow as tf\n"
        "assert tf.executing_eagerly() and not hasattr(tf.constant(1), 'astype')\n"
        "assert tf.config.optimizer.get_jit() in ('', False)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_triton_is_loaded_before_tensorflow(tmp_path: Path) -> None:
    """If it is installed; after it, it ends the process."""
    (tmp_path / "triton.py").write_text("import sys\nfirst = 'tensorflow' not in sys.modules\n")
    code = "import cornu\ncornu.config.set_backend('tensorflow')\ncornu.ops.ones(3)\nimport triton\nassert triton.first"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


class Lengths(cornu.Layer):
    """Of texts."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.strings.length(x), "float32")


class Padded(cornu.Layer):
    """Rows of different length as rows of five."""

    def call(self, x: tf.RaggedTensor) -> tf.Tensor:
        return x.to_tensor(shape=(None, 5))


TEXTS = np.array([["ab"], ["abc"], ["a"], ["abcd"]])
ROWS = tf.ragged.constant([[1.0, 2.0], [1.0, 2.0, 3.0], [1.0], [5.0, 5.0]])
TARGETS = np.array([[2.0], [3.0], [1.0], [4.0]], "float32")
SPECIAL = {
    "texts of NumPy": (Lengths, TEXTS, {"dtype": "string", "shape": (1,)}),
    "Python texts": (Lengths, TEXTS.astype(object), {"dtype": "string", "shape": (1,)}),
    "text tensor": (Lengths, tf.constant(TEXTS), {"dtype": "string", "shape": (1,)}),
    "ragged": (Padded, ROWS, {"shape": (None,), "ragged": True}),
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("form", ["functional", "sequential"])
def test_texts_and_rows_of_different_length(name: str, form: str) -> None:
    layer, data, options = SPECIAL[name]

    def make() -> cornu.Model:
        if form == "sequential":
            model = cornu.Sequential([layer(), layers.Dense(1)])
        else:
            inputs = cornu.Input(**options)
            model = cornu.Model(inputs, layers.Dense(1)(layer()(inputs)))
        model.compile(cornu.optimizers.SGD(0.01), "mse")
        return model

    whole, batches = make(), make()
    tensors = data if not isinstance(data, np.ndarray) else tf.constant(data.astype(str))
    losses = whole.fit(data, TARGETS, batch_size=2, shuffle=False, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    found = whole.predict(data, batch_size=3, verbose=0)
    assert found.shape == (4, 1)
    np.testing.assert_allclose(found, np.asarray(whole(tensors)), rtol=1e-6)
    pairs = tf.data.Dataset.from_tensor_slices((tensors, TARGETS)).batch(2)
    assert np.isfinite(batches.fit(pairs, verbose=0).history["loss"][0])


def pairs(x: tf.RaggedTensor) -> tf.RaggedTensor:
    """Rows of different length of [x, -x]."""
    return tf.stack([x, -x], axis=-1)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (layers.ReLU(), [[1.0, 0.0], [3.0]]),
        (lambda x: layers.Add()([x, x]), [[2.0, -4.0], [6.0]]),
        (lambda x: ops.sum(x, axis=1), [-1.0, 3.0]),
        (
            lambda x: layers.Embedding(4, 1, embeddings_initializer="ones")(tf.cast(x > 0, "int32")),
            [[[1.0], [1.0]], [[1.0]]],
        ),
        (lambda x: ops.mean(x, axis=1), [-0.5, 3.0]),
        (lambda x: ops.var(x, axis=1), [2.25, 0.0]),
        (ops.zeros_like, [[0.0, 0.0], [0.0]]),
        (lambda x: ops.one_hot(tf.cast(x, "int32"), 2), [[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]]]),
        (lambda x: layers.ReLU()(pairs(x)), [[[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0]]]),
        (lambda x: ops.power(pairs(x), 2.0), [[[1.0, 1.0], [4.0, 4.0]], [[9.0, 9.0]]]),
        (lambda x: ops.round(layers.LayerNormalization()(pairs(x)), 2), [[[1.0, -1.0], [-1.0, 1.0]], [[1.0, -1.0]]]),
        (lambda x: layers.BatchNormalization(epsilon=0)(pairs(x)), [[[1.0, -1.0], [-2.0, 2.0]], [[3.0, -3.0]]]),
        (lambda x: layers.GlobalAveragePooling1D()(pairs(x)), [[-0.5, 0.5], [3.0, -3.0]]),
    ],
)
def test_layers_on_rows_of_different_length(compute: Callable[[Any], Any], expected: Any) -> None:
    found = compute(tf.ragged.constant([[1.0, -2.0], [3.0]]))
    assert (found.to_list() if isinstance(found, tf.RaggedTensor) else found.numpy().tolist()) == expected


@pytest.mark.parametrize(
    ("compute", "where"),
    [
        (ops.median, "quantile"),
        (layers.Flatten(), "'flatten"),
        (lambda x: layers.Conv1D(2, 1)(pairs(x)), "'conv1d"),
        (lambda x: layers.TimeDistributed(layers.Dense(1))(pairs(x)), "'time_distributed"),
    ],
)
def test_what_needs_rows_of_one_length_says_so(compute: Callable[[Any], Any], where: str) -> None:
    with pytest.raises((OpError, ShapeError), match=f"{where}.*to_tensor"):
        compute(ROWS)


def test_ids_of_different_length_in_a_model() -> None:
    inputs = cornu.Input((None,), dtype="int32", ragged=True)
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(9, 2, embeddings_initializer="ones")(inputs))
    found = cornu.Model(inputs, pooled).predict(tf.cast(ROWS, "int32"), verbose=0)
    np.testing.assert_allclose(found, np.ones((4, 2)))


@pytest.mark.parametrize("backend", ["tensorflow", "numpy", "jax", "torch"])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mse"])
@pytest.mark.parametrize("convert", [np.array, lambda y: np.array(y, object), lambda y: np.array(y, "S1"), tf.constant])
def test_labels_that_are_texts(backend: str, loss: str, convert: Callable[[Any], Any]) -> None:
    with config.backend_scope(backend):
        model = cornu.Sequential([layers.Dense(3, activation="softmax")])
        model.compile("sgd", loss)
        with pytest.raises((DataError, DTypeError), match="y holds .*numpy.unique"):
            model.fit(X[:4], convert(["a", "b", "c", "a"]), verbose=0)


class Compiled(cornu.Layer):
    """A user's layer whose call TensorFlow compiles, with weights of its own and of a layer within."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(3)

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight((shape[-1],), "ones")

    @tf.function
    def call(self, x: tf.Tensor) -> tf.Tensor:
        if tf.reduce_sum(x) > 1e6:
            x = x / self.scale
        return self.inner(x * self.scale)


@pytest.mark.parametrize("form", ["functional", "sequential", "built"])
def test_layers_whose_call_is_a_function_of_tensorflow(form: str) -> None:
    layer = Compiled()
    if form == "built":
        layer(X)
    if form == "functional":
        inputs = cornu.Input((6,))
        model = cornu.Model(inputs, layers.Dense(1)(layer(inputs)))
    else:
        model = cornu.Sequential([layer, layers.Dense(1)])
    model.compile(cornu.optimizers.SGD(0.05), "mse")
    model(X)
    before = model.get_weights()
    losses = model.fit(X, Y, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[1] < losses[0]
    assert all((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))
    scale, kernel, bias, *out = model.get_weights()
    expected = ((X * scale) @ kernel + bias) @ out[0] + out[1]
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-5)  # not the weights of its first trace
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(X))
    assert all(slope is not None for slope in tape.gradient(loss, model.trainable_variables))


def test_functions_of_the_user_see_the_values_of_scopes_within() -> None:
    model = sequential()
    model(X)
    twice = [2 * w.value for w in model.trainable_variables]

    @tf.function
    def stateless(values: list[tf.Tensor]) -> tf.Tensor:
        return model.stateless_call(values, [], X)[0] - model(X)

    found = stateless(twice)
    model.set_weights(twice)  # which the function sees at its next call
    np.testing.assert_allclose(stateless([w / 2 for w in twice]), -found, rtol=1e-4, atol=1e-6)
    assert np.abs(found).max() > 0.01


def test_lstms_run_as_one_kernel_and_have_second_derivatives_without_it() -> None:
    lstm = layers.LSTM(3)
    x = tf.constant(RNG.normal(size=(2, 4, 3)).astype("float32"))
    lstm(x)
    kinds = {op.type for op in tf.function(lambda u: lstm(u)).get_concrete_function(x).graph.get_operations()}
    assert "BlockLSTMV2" in kinds

    def penalty(v: Any) -> Any:
        return ops.sum(ops.grad(lambda u: ops.sum(lstm(u) ** 2))(v) ** 2)

    slope = ops.grad(penalty)(x)
    step = np.zeros(x.shape, "float32")
    step[0, 1, 2] = 1e-2
    numeric = (penalty(x + step) - penalty(x - step)) / 2e-2
    np.testing.assert_allclose(float(slope[0, 1, 2]), float(numeric), rtol=2e-2)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            total = tf.reduce_sum(lstm(x) ** 2)
        with pytest.raises(LookupError, match="No gradient defined for operation.*BlockLSTMGradV2"):  # not a wrong one
            inner.gradient(total, x)
    model = cornu.Sequential([cornu.Input((4, 3)), lstm, layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=True)  # XLA does not know the kernel
    assert np.isfinite(model.fit(x, x[:, 0, :1], verbose=0).history["loss"][0])


def _asserted(x):
    tf.debugging.assert_less(tf.reduce_max(x), 100.0)
    return x


# a layer between the input (4, 3) and the output, and whether XLA compiles the steps
XLA: dict[str, tuple[Callable[[], Any], bool]] = {
    "products": (lambda: layers.Dense(4, activation="gelu"), True),
    "attention": (lambda: layers.MultiHeadAttention(2, 4), True),
    "a loop": (lambda: layers.GRU(3, return_sequences=True), True),
    "a kernel of TensorFlow's": (lambda: layers.LSTM(3, return_sequences=True), False),
    "convolutions": (lambda: layers.Conv1D(3, 2), False),
    "pooling": (lambda: layers.MaxPooling1D(), False),
    "random numbers": (lambda: layers.Dropout(0.5), False),
    "assertions": (lambda: layers.Lambda(_asserted), False),
    "Python, which XLA refuses": (
        lambda: layers.Lambda(lambda x: tf.ensure_shape(tf.numpy_function(lambda a: 2 * a, [x], "float32"), x.shape)),
        False,
    ),
}


class _Attending(layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x, x) if isinstance(self.inner, layers.MultiHeadAttention) else self.inner(x)


@pytest.mark.parametrize("case", XLA)
def test_xla_is_chosen_by_the_ops_of_a_program(case, monkeypatch):
    make, expected = XLA[case]
    asked = []
    inner = _Attending(make())
    model = cornu.Sequential([cornu.Input((4, 3)), inner, layers.Flatten(), layers.Dense(1)])
    x = tf.random.stateless_uniform((24, 4, 3), (1, 2))
    original = TensorflowBackend._traced

    def spy(self, fn, given, arrays, xla):
        asked.append(xla)
        return original(self, fn, given, arrays, xla)

    monkeypatch.setattr(TensorflowBackend, "_traced", spy)
    model.compile("sgd", "mse")
    losses = model.fit(x, x[:, 0, :1], batch_size=8, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert asked == ([True] if expected else [True, False])
    asked.clear()
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(x, x[:, 0, :1], batch_size=8, epochs=2, verbose=0)
    assert asked == [False]


def test_large_programs_are_left_to_tensorflow(monkeypatch):
    program = tf.function(lambda x: tf.tanh(x) + 1.0).get_concrete_function(tf.ones(3))
    assert _gains_by_xla(program.graph)
    monkeypatch.setattr("cornu.backend.tensorflow._MOST_OPS", 3)
    assert not _gains_by_xla(program.graph)


def test_xla_compiles_one_program_for_all_dispatches_of_a_fit(tmp_path):
    """In a process of its own, where XLA writes down what it compiles."""
    code = (
        "import cornu, numpy as np\n"
        "model = cornu.Sequential([cornu.Input((4,)), cornu.layers.Dense(2)])\n"
        "model.compile('adam', 'mse')\n"
        "model.fit(np.ones((320, 4)), np.ones((320, 2)), epochs=3, verbose=0)\n"
    )
    environment = {
        **os.environ,
        "CORNU_BACKEND": "tensorflow",
        "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    compiled = [path.name for path in tmp_path.glob("*before_optimizations.txt") if "flat" in path.name]
    assert len(compiled) == 1, compiled
