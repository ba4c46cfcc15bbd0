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


def operators(k):
    x = k.Input((4,))
    y = k.ops.tanh(k.layers.Dense(6)(x) * 2.0 + 1.0)[:, 1:5]
    return k.Model(x, k.ops.reshape(1 - y, (-1, 2, 2)) @ k.ops.ones((2, 2)))


def operators_alone(k):
    x = k.Input((4,))
    y = k.ops.mean(k.ops.concatenate([x, -x / 2], axis=-1), axis=1, keepdims=True)
    return k.Model(x, k.ops.where(x > 0, x[:, :1], y))


MODELS = {make.__name__: make for make in (images, recurrent, graph, attention)}


def some_inputs(model):
    rng = np.random.default_rng(0)
    whole = [
        rng.integers(0, 9, (2, *t.shape[1:])) if "int" in str(t.dtype) else rng.normal(size=(2, *t.shape[1:]))
        for t in model.inputs
    ]
    return whole if len(whole) > 1 else whole[0]


def outputs(model, inputs):
    found = model(inputs)
    return [np.asarray(one) for one in (found if isinstance(found, list | tuple) else [found])]


def agree(model, inputs, expected):
    for mine, other in zip(outputs(model, inputs), expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-5)


def layout(path):
    """Names and shapes of the arrays in a `.keras` file."""
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item.shape}) if hasattr(item, "shape") else None)
    return found


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest):
    """Our model and Keras', with the same weights; inputs, and what Keras computes from them."""
    ours, theirs = MODELS[request.param](cornu), MODELS[request.param](keras)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.2, 1, w.shape).astype("float32") for w in theirs.weights]
    ours.set_weights(weights), theirs.set_weights(weights)
    inputs = some_inputs(theirs)
    return ours, theirs, inputs, outputs(theirs, inputs)


def test_the_same_weights_give_the_same_outputs(pair) -> None:
    ours, _, inputs, expected = pair
    agree(ours, inputs, expected)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_keras_loads_our_file(pair, name: str, tmp_path: Path) -> None:
    ours, _, inputs, expected = pair
    ours.save(tmp_path / name)
    agree(keras.models.load_model(tmp_path / name), inputs, expected)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_we_load_the_file_of_keras(pair, name: str, tmp_path: Path) -> None:
    _, theirs, inputs, expected = pair
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


def test_configurations_go_both_ways(pair) -> None:
    ours, theirs, *_ = pair
    assert type(theirs).from_config(ours.get_config()).count_params() == theirs.count_params()
    again = type(ours).from_config(theirs.get_config())
    assert [w.shape for w in again.weights] == [w.shape for w in ours.weights]
    from_json = cornu.models.model_from_json(theirs.to_json())
    assert [layer.name for layer in from_json.layers] == [layer.name for layer in theirs.layers]


@pytest.mark.parametrize("make", [operators, operators_alone])
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_ops_in_the_files_of_keras_become_ours(make, name: str, tmp_path: Path) -> None:
    theirs = make(keras)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.save(tmp_path / name)
    inputs = some_inputs(theirs)
    agree(cornu.models.load_model(tmp_path / name), inputs, outputs(theirs, inputs))


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
