"""Files go both ways: Keras loads what we save, and we load what Keras saves, with the same outputs."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import cornu
from cornu.base import tree
from cornu.base.config import backend_scope


def stack(k, shape, *layers, dtype=None):
    return k.Sequential([k.Input(shape, dtype=dtype), *layers])


def images(k):
    layers = k.layers
    return stack(
        k,
        (8, 8, 3),
        layers.Conv2D(4, 3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.SeparableConv2D(2, 1),
        layers.PReLU(),
        layers.GlobalAveragePooling2D(),
        layers.LayerNormalization(),
    )


def recurrent(k):
    layers = k.layers
    return stack(
        k,
        (5,),
        layers.Embedding(9, 4),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.TimeDistributed(layers.Dense(2)),
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True),
        layers.GRU(2, return_sequences=True),
        layers.SimpleRNN(2),
        dtype="int32",
    )


def graph(k):
    """A shared layer, two inputs and outputs, models within."""
    layers = k.layers
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    shared = layers.Dense(4, name="shared")
    joined = layers.Concatenate()([shared(a), shared(b)])
    inside = k.Input((8,))
    inner = k.Model(inside, layers.Dense(2)(layers.Dense(3)(inside)), name="inner")
    stacked = k.Sequential([layers.Dense(3), layers.Dense(2)], name="stacked")
    return k.Model([a, b], [inner(joined), layers.Add()([layers.Dense(2)(a), stacked(b)])])


def attention(k):
    layers = k.layers
    q = k.Input((5, 8))
    x = layers.MultiHeadAttention(2, 4)(q, q)
    x = layers.GroupQueryAttention(4, 4, 2)(x, q)
    x = layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x)
    return k.Model(q, layers.Attention(use_scale=True)([x, x]))


def calls(k):
    """Models twice deep, called twice; one layer called three times; arguments by name."""
    layers = k.layers
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    x = k.Input((4,))
    deepest = k.Sequential([k.Input((4,)), layers.Dense(4), layers.BatchNormalization()], name="deepest")
    deep = k.Model(x, layers.Add()([deepest(x), deepest(layers.Dense(4)(x))]), name="deep")
    shared = layers.Dense(4, activation="tanh", name="shared")
    y = shared(shared(deep(a))) - deep(shared(b), training=False)
    y = layers.Dropout(0.5)(y, training=False)
    sequence = layers.Reshape((2, 2))(y)
    states = [layers.Dense(3)(a), layers.Dense(3)(b)]
    sequence, h, c = layers.LSTM(3, return_sequences=True, return_state=True)(sequence, initial_state=states)
    pooled = layers.GlobalAveragePooling1D()(layers.GRU(3, return_sequences=True)(sequence, initial_state=h))
    _, h, c = layers.LSTM(3, return_state=True)(sequence, initial_state=(h, c))  # a tuple, which JSON does not have
    return k.Model([a, b], [pooled, layers.Concatenate(axis=-1)([h, c])])


def masked(k):
    layers = k.layers
    tokens, rows = k.Input((5,), dtype="int32"), k.Input((5, 3))
    x = layers.Embedding(9, 4, mask_zero=True)(tokens)
    # Named, as Keras makes ops of the mask, one of which it calls "concatenate", and refuses its own file, too.
    x = layers.Concatenate(name="joined")([layers.LSTM(4, return_sequences=True)(x), layers.Masking()(rows)])
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(x)
    y = layers.GlobalAveragePooling1D()(x, mask=layers.Lambda(halved)(rows)[:, :, 0] > -0.5)
    attended = layers.MultiHeadAttention(2, 2)(query=rows, value=rows, attention_mask=k.ops.ones((5, 5), "bool"))
    return k.Model([tokens, rows], [y, layers.Flatten()(attended)])


def dicts(k):
    layers = k.layers
    b, a = k.Input((3,), name="second"), k.Input((4,), name="first")
    both = layers.Concatenate()([a, b])
    inside = {"p": k.Input((7,), name="p"), "q": k.Input((4,), name="q")}
    inner = k.Model(inside, {"z": layers.Dense(2)(inside["p"]), "y": layers.Dense(4)(inside["q"])}, name="inner")
    found = inner({"p": both, "q": a})
    return k.Model({"b": b, "a": a}, {"n": layers.Dense(1, name="n")(found["z"]), "m": found["y"] * 2.0})


def operators(k):
    x = k.Input((4,))
    y = k.ops.tanh(k.layers.Dense(6)(x) * 2.0 + 1.0)[:, 1:5]
    return k.Model(x, k.ops.reshape(1 - y, (-1, 2, 2)) @ k.ops.ones((2, 2)))


def classes(k, register):
    """A layer and two models as users write them, registered under the same names on both sides."""
    layers = k.layers

    @register("both")
    class Scale(layers.Layer):
        def __init__(self, start=2.0, **kwargs):
            super().__init__(**kwargs)
            self.start = start

        def build(self, input_shape):
            self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")

        def call(self, inputs):
            return inputs * self.factor * self.start

        def get_config(self):
            return {**super().get_config(), "start": self.start}

    @register("both")
    class Net(k.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.stages = [layers.Dense(units, activation="tanh"), layers.Dense(units), Scale(3.0)]
            self.heads = {"a": layers.Dense(1), "b": k.Sequential([layers.Dense(2), layers.BatchNormalization()])}

        def call(self, inputs, training=None):
            for stage in self.stages:
                inputs = stage(inputs)
            return self.heads["a"](inputs) + self.heads["b"](inputs, training=training)

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    @register("both")
    class Graph(k.Model):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    return Scale, Net, Graph


CLASSES = {
    cornu: classes(cornu, cornu.saving.register_serializable),
    keras: classes(keras, keras.saving.register_keras_serializable),
}


def subclassed(k):
    model = CLASSES[k][1](4, name="net")
    model(np.zeros((2, 4), "float32"))
    return model


def subclassed_graph(k):
    scale, net, graph = CLASSES[k]
    x = k.Input((4,))
    return graph(x, net(2)(scale(0.5)(x)), name="graph")


def halved(x):
    return x / 2


keras.saving.register_keras_serializable("both")(halved)
cornu.saving.register_serializable("both")(halved)

MODELS = {
    make.__name__: make
    for make in (images, recurrent, graph, attention, calls, masked, dicts, operators, subclassed, subclassed_graph)
}


def some_inputs(model):
    rng = np.random.default_rng(0)

    def drawn(tensor):
        shape = (2, *tensor.shape[1:])
        return rng.integers(0, 9, shape) if "int" in str(tensor.dtype) else rng.normal(size=shape).astype("float32")

    if not hasattr(model, "inputs"):
        return rng.normal(size=(2, 4)).astype("float32")
    return tree.map_structure(drawn, model.inputs[0] if len(model.inputs) == 1 else model.input)


def outputs(model, inputs):
    return [np.asarray(one) for one in tree.flatten(model(inputs))]


def agree(model, inputs, expected):
    for mine, other in zip(outputs(model, inputs), expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-5)


def layout(path):
    """Names and shapes of the arrays in a `.keras` file."""
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item.shape}) if hasattr(item, "shape") else None)
    return found


@pytest.fixture(autouse=True)
def quick_backend(request):
    """NumPy's, which compiles nothing, unless there is training."""
    with backend_scope("jax" if "training" in request.node.name else "numpy"):
        yield


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest):
    """Our model and Keras', with the same weights; inputs, and what Keras computes from them."""
    with backend_scope("numpy"):
        ours, theirs = MODELS[request.param](cornu), MODELS[request.param](keras)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.2, 1, w.shape).astype("float32") for w in theirs.weights]
    ours.set_weights(weights), theirs.set_weights(weights)
    inputs = some_inputs(theirs)
    return ours, theirs, inputs, outputs(theirs, inputs)


def test_the_same_weights_give_the_same_outputs(pair) -> None:
    ours, _, inputs, expected = pair
    agree(ours, inputs, expected)


def skip_if_refused(model, name):
    if name == "model.h5" and not hasattr(model, "inputs"):
        pytest.skip("HDF5 holds graphs and stacks only")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_keras_loads_our_file(pair, name: str, tmp_path: Path) -> None:
    ours, _, inputs, expected = pair
    skip_if_refused(ours, name)
    ours.save(tmp_path / name)
    known = {cls.__name__: cls for cls in CLASSES[keras]} if name == "model.h5" else None
    agree(keras.models.load_model(tmp_path / name, known), inputs, expected)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_we_load_the_file_of_keras(pair, name: str, tmp_path: Path) -> None:
    ours, theirs, inputs, expected = pair
    skip_if_refused(ours, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that `.h5` is old
        theirs.save(tmp_path / name)
    agree(cornu.models.load_model(tmp_path / name), inputs, expected)


def test_the_arrays_stand_where_keras_puts_them(pair, tmp_path: Path) -> None:
    ours, theirs, *_ = pair
    ours.save(tmp_path / "ours.keras"), theirs.save(tmp_path / "theirs.keras")
    assert layout(tmp_path / "ours.keras") == layout(tmp_path / "theirs.keras")


def test_weights_files_go_both_ways(pair, tmp_path: Path) -> None:
    ours, theirs, *_ = pair
    before = theirs.get_weights()
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.save_weights(tmp_path / "ours.weights.h5")
    ours.set_weights([0 * w for w in before])
    ours.load_weights(tmp_path / "theirs.weights.h5")
    theirs.set_weights([0 * w for w in before])
    theirs.load_weights(tmp_path / "ours.weights.h5")
    for model in (ours, theirs):
        for mine, other in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_keras_loads_our_weights_in_the_old_format(pair, tmp_path: Path) -> None:
    ours, theirs, inputs, expected = pair
    skip_if_refused(ours, "model.h5")
    before = theirs.get_weights()
    ours.save_weights(tmp_path / "w.h5")
    theirs.set_weights([0 * w for w in before])
    theirs.load_weights(tmp_path / "w.h5")
    agree(theirs, inputs, expected)
    ours.set_weights([0 * w for w in before])
    ours.load_weights(tmp_path / "w.h5", by_name=True)
    agree(ours, inputs, expected)


def test_configurations_go_both_ways(pair) -> None:
    ours, theirs, *_ = pair
    if not hasattr(ours, "inputs"):
        assert type(ours).from_config(theirs.get_config()).get_config() == ours.get_config()
        assert type(theirs).from_config(ours.get_config()).get_config() == theirs.get_config()
        return
    assert type(theirs).from_config(ours.get_config()).count_params() == theirs.count_params()
    again = type(ours).from_config(theirs.get_config())
    assert [w.shape for w in again.weights] == [w.shape for w in ours.weights]
    from_json = cornu.models.model_from_json(theirs.to_json())
    assert [layer.name for layer in from_json.layers] == [layer.name for layer in theirs.layers]
    from_json = keras.models.model_from_json(ours.to_json())
    assert [w.shape for w in from_json.weights] == [w.shape for w in theirs.weights]


def compiled(k):
    model = stack(k, (4,), k.layers.Dense(3, activation="relu"), k.layers.Dense(1))
    model.compile(k.optimizers.Adam(0.1), loss="mean_squared_error", metrics=["mae"])
    return model


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_training_goes_on_from_a_file_of_keras(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    theirs = compiled(keras)
    theirs.fit(x, y, epochs=2, shuffle=False, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.save(tmp_path / name)
    ours = cornu.models.load_model(tmp_path / name)
    assert int(ours.optimizer.iterations.numpy()) == 2
    expected = theirs.fit(x, y, epochs=3, shuffle=False, verbose=0).history
    found = ours.fit(x, y, epochs=3, shuffle=False, verbose=0).history
    for key in ("loss", "mae"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-4)


def test_keras_goes_on_with_our_training(tmp_path: Path) -> None:  # from `.h5` it cannot, not even with its own
    name = "model.keras"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    ours = compiled(cornu)
    ours.fit(x, y, epochs=2, shuffle=False, verbose=0)
    ours.save(tmp_path / name)
    theirs = keras.models.load_model(tmp_path / name)
    expected = ours.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(
        theirs.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"], expected, rtol=1e-4
    )
