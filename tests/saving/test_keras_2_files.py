"""Files of Keras 2 (tf.keras and the one before) load: whole models, and weights as they were published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.base.config import backend_scope
from cornu.base.errors import CornuError, ShapeError

rng = np.random.default_rng(0)
GLOROT = {"class_name": "GlorotUniform", "config": {"seed": None}}
ZEROS: dict[str, Any] = {"class_name": "Zeros", "config": {}}


@pytest.fixture(autouse=True)
def numpy_backend() -> Any:
    with backend_scope("numpy"):
        yield


def drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [rng.uniform(0.1, 1, shape).astype("float32") for shape in shapes]


def layer(kind: str, name: str, *nodes: Any, **config: Any) -> dict[str, Any]:
    """An entry of a graph's layers. A node: the places of the inputs, `[name, call, output, {keywords}]`."""
    common = {"name": name} if kind == "InputLayer" else {"name": name, "trainable": True, "dtype": "float32"}
    return {"class_name": kind, "config": {**common, **config}, "name": name, "inbound_nodes": list(nodes)}


def dense(name: str, units: int, *nodes: Any, **config: Any) -> dict[str, Any]:
    given = {"units": units, "activation": "linear", "use_bias": True, "kernel_initializer": GLOROT}
    regularizer = {"class_name": "L2", "config": {"l2": 0.0099999998}}
    others = {"bias_initializer": ZEROS, "kernel_regularizer": regularizer, "bias_constraint": None}
    return layer("Dense", name, *nodes, **{**given, **others, **config})


def source(name: str, *shape: int, dtype: str = "float32") -> dict[str, Any]:
    return layer("InputLayer", name, batch_input_shape=[None, *shape], dtype=dtype, sparse=False, ragged=False)


def at(*names: str, call: int = 0, **keywords: Any) -> list[Any]:
    """A node with these inputs."""
    return [[name, call, 0, keywords if i == 0 else {}] for i, name in enumerate(names)]


def stack(*entries: dict[str, Any], name: str = "sequential") -> dict[str, Any]:
    plain = [{key: entry[key] for key in ("class_name", "config")} for entry in entries]
    return {"class_name": "Sequential", "config": {"name": name, "layers": plain}}


def graph(inputs: Any, outputs: Any, *entries: dict[str, Any], kind: str = "Functional", name: str = "model") -> Any:
    config = {"name": name, "layers": list(entries), "input_layers": inputs, "output_layers": outputs}
    return {"class_name": kind, "config": config, "name": name}


def write(path: Path, weights: dict[str, dict[str, np.ndarray]], model: Any = None, training: Any = None) -> Path:
    """A file as Keras 2 wrote them: of weights alone, or with the model's configuration."""
    with h5py.File(path, "w") as file:
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.11.0"
        group = file
        if model is not None:
            file.attrs["model_config"] = json.dumps(model).encode()
            group = file.create_group("model_weights")
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            below = group.create_group(name)
            below.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                below[key] = array
    return path


def of_dense(name: str, inputs: int, units: int, within: str = "") -> dict[str, np.ndarray]:
    return dict(
        zip((f"{within}{name}/kernel:0", f"{within}{name}/bias:0"), drawn((inputs, units), (units,)), strict=True)
    )


def of_norm(name: str, size: int) -> dict[str, np.ndarray]:
    keys = ("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")
    return {f"{name}/{key}": value for key, value in zip(keys, drawn(*[(size,)] * 4), strict=True)}


X = rng.normal(size=(3, 4)).astype("float32")


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-5)


# whole models

ADAM = {"name": "Adam", "learning_rate": 0.01, "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "amsgrad": False}
TRAINING = {
    "tf.keras": {
        "loss": "mse",
        "metrics": [[{"class_name": "MeanMetricWrapper", "config": {"name": "mae", "fn": "mean_absolute_error"}}]],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {"class_name": "Adam", "config": ADAM},
    },
    "Custom>": {
        "loss": {"class_name": "MeanSquaredError", "config": {"reduction": "auto", "name": "mean_squared_error"}},
        "metrics": ["mae"],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {
            "class_name": "Custom>Adam",
            "config": {**ADAM, "is_legacy_optimizer": False, "jit_compile": True, "weight_decay": None},
        },
    },
    "before": {
        "loss": "mean_squared_error",
        "metrics": ["mae"],
        "sample_weight_mode": None,
        "loss_weights": None,
        "optimizer_config": {
            "class_name": "SGD",
            "config": {"lr": 0.01, "momentum": 0.9, "decay": 0.0, "nesterov": True},
        },
    },
}


@pytest.mark.parametrize("kind", TRAINING)
def test_sequential(kind: str, tmp_path: Path) -> None:
    first, second = of_dense("dense", 4, 3), of_dense("dense_1", 3, 1)
    entries = [dense("dense", 3, activation="relu", batch_input_shape=[None, 4]), dense("dense_1", 1)]
    model = stack(*([] if kind == "before" else [source("dense_input", 4)]), *entries)
    if kind == "before":
        model["config"] = model["config"]["layers"]  # it was a list
    path = write(tmp_path / "m.h5", {"dense": first, "dense_1": second}, model, TRAINING[kind])
    with backend_scope("jax"):
        loaded = cornu.models.load_model(path)
        (w, b), (v, c) = first.values(), second.values()
        close(loaded(X), np.maximum(X @ w + b, 0) @ v + c)
        assert float(loaded.optimizer.learning_rate.numpy()) == pytest.approx(0.01)
        assert set(loaded.evaluate(X, X[:, :1], verbose=0, return_dict=True)) == {"loss", "mae"}


def test_shared_layers_and_two_inputs(tmp_path: Path) -> None:
    model = graph(
        [["a", 0, 0], ["b", 0, 0]],
        [["add", 0, 0], ["head", 0, 0]],
        source("a", 4),
        source("b", 4),
        dense("shared", 4, at("a"), at("b")),
        layer("Concatenate", "concatenate", [["shared", 0, 0, {}], ["shared", 1, 0, {}]], axis=-1),
        dense("head", 2, at("concatenate")),
        layer("Add", "add", [["shared", 1, 0, {}], ["a", 0, 0, {}]]),
    )
    shared, head = of_dense("shared", 4, 4), of_dense("head", 8, 2)
    path = write(
        tmp_path / "m.h5", {"a": {}, "b": {}, "shared": shared, "concatenate": {}, "head": head, "add": {}}, model
    )
    (w, b), (v, c) = shared.values(), head.values()
    from_json = cornu.models.model_from_json(json.dumps({**model, "keras_version": "2.11.0", "backend": "tensorflow"}))
    from_json.load_weights(path)
    for loaded in (cornu.models.load_model(path), from_json):
        added, headed = loaded([X, X + 1])
        close(added, (X + 1) @ w + b + X)
        close(headed, np.concatenate([X @ w + b, (X + 1) @ w + b], 1) @ v + c)


@pytest.mark.parametrize("kind", ["Functional", "Model"])
def test_nested_models(kind: str, tmp_path: Path) -> None:
    """The calls of a model within are counted from 1; its weights stand in its group, trainable ones first."""
    normalization = layer("BatchNormalization", "bn", at("d"), axis=[1], momentum=0.99, epsilon=0.001)
    inner = graph([["i", 0, 0]], [["e", 0, 0]], source("i", 4), dense("d", 4, at("i")), normalization,
                  dense("e", 4, at("bn")), kind=kind, name="inner")  # fmt: skip
    inner["inbound_nodes"] = [at("x"), at("inner", call=1)]
    sequential = {
        **stack(source("dense_input", 4), dense("f", 1)),
        "name": "top",
        "inbound_nodes": [at("inner", call=2)],
    }
    sequential["config"]["name"] = "top"
    model = graph([["x", 0, 0]], [["top", 1, 0]], source("x", 4), inner, sequential, kind=kind)
    d, e, bn, f = of_dense("d", 4, 4), of_dense("e", 4, 4), of_norm("bn", 4), of_dense("f", 4, 1)
    trained = {**d, **dict(list(bn.items())[:2]), **e}
    path = write(tmp_path / "m.h5", {"x": {}, "inner": {**trained, **dict(list(bn.items())[2:])}, "top": f}, model)

    def computed(x: Any) -> Any:
        (w, b), (v, c), (gamma, beta, mean, variance) = d.values(), e.values(), bn.values()
        x = x @ w + b
        return ((x - mean) / np.sqrt(variance + 0.001) * gamma + beta) @ v + c

    w, b = f.values()
    close(cornu.models.load_model(path)(X), computed(computed(X)) @ w + b)


RECURRENT = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1.0, "seed": None}},
    "dropout": 0.0,
    "implementation": 2,
    "return_sequences": True,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "time_major": False,
}
NODES = {
    "states in a list": [[["x", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]]],
    "states by name": [[["x", 0, 0, {"initial_state": [["h", 0, 0], ["c", 0, 0]], "training": None}]]],
}


@pytest.mark.parametrize("kind", NODES)
def test_recurrent_layers(kind: str, tmp_path: Path) -> None:
    model = graph(
        [["x", 0, 0], ["h", 0, 0], ["c", 0, 0]],
        [["lstm", 0, 0]],
        source("x", 5, 2),
        source("h", 3),
        source("c", 3),
        layer("LSTM", "lstm", *NODES[kind], units=3, unit_forget_bias=True, **RECURRENT),
    )
    keys = ("lstm/lstm_cell/kernel:0", "lstm/lstm_cell/recurrent_kernel:0", "lstm/lstm_cell/bias:0")
    values = drawn((2, 12), (3, 12), (12,))
    path = write(tmp_path / "m.h5", {"lstm": dict(zip(keys, values, strict=True))}, model)
    inputs = drawn((2, 5, 2), (2, 3), (2, 3))
    expected = layers.LSTM(3, return_sequences=True, weights=values)
    close(cornu.models.load_model(path)(inputs), expected(inputs[0], initial_state=inputs[1:]))


def test_masks_and_keywords(tmp_path: Path) -> None:
    """Masks found anew, tensors among the keywords, wrappers with the layer inside."""
    gru = {"class_name": "GRU", "config": {"name": "gru", "units": 3, "reset_after": True, **RECURRENT}}
    model = graph(
        [["tokens", 0, 0]],
        [["attention", 0, 0]],
        source("tokens", 5, dtype="int32"),
        layer("Embedding", "embedding", at("tokens"), input_dim=9, output_dim=4, mask_zero=True, input_length=5,
              batch_input_shape=[None, 5]),
        layer("Bidirectional", "both", at("embedding"), layer=gru, merge_mode="concat"),
        layer("TimeDistributed", "each", at("both"), layer={"class_name": "Dense", "config": {"units": 4}}),
        layer("MultiHeadAttention", "attention", [["each", 0, 0, {"value": ["embedding", 0, 0]}]], num_heads=2,
              key_dim=2, value_dim=2, attention_axes=[1], output_shape=None, query_shape=[None, 5, 4],
              value_shape=[None, 5, 4], key_shape=[None, 5, 4]),
    )  # fmt: skip
    tokens = cornu.Input((5,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True, name="embedding")(tokens)
    y = layers.TimeDistributed(layers.Dense(4), name="each")(
        layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both")(x)
    )
    twin = cornu.Model(tokens, layers.MultiHeadAttention(2, 2, name="attention")(y, x))
    twin.set_weights(drawn(*[w.shape for w in twin.weights]))
    weights = {one.name: {f"{w.path}:0": w.numpy() for w in one.weights} for one in twin.layers}
    ids = rng.integers(0, 9, (2, 5))
    close(cornu.models.load_model(write(tmp_path / "m.h5", weights, model))(ids), np.asarray(twin(ids)))


IMAGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "Conv2D": (layers.Conv2D(2, 3), {"filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid",
                                     "data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1}),
    "DepthwiseConv2D": (layers.DepthwiseConv2D(3), {"kernel_size": [3, 3], "strides": [1, 1], "padding": "valid",
                        "depth_multiplier": 1, "groups": 1, "depthwise_initializer": GLOROT, "kernel_regularizer": None,
                        "depthwise_regularizer": None, "kernel_initializer": GLOROT, "kernel_constraint": None}),
    "SeparableConv2D": (layers.SeparableConv2D(2, 3), {"filters": 2, "kernel_size": [3, 3], "groups": 1,
                        "pointwise_initializer": GLOROT, "kernel_initializer": GLOROT, "kernel_regularizer": None,
                        "kernel_constraint": None, "depthwise_constraint": None}),
    "SeparableConvolution2D": (layers.SeparableConv2D(2, 3), {"filters": 2, "kernel_size": [3, 3]}),
    "Conv2DTranspose": (layers.Conv2DTranspose(2, 3), {"filters": 2, "kernel_size": [3, 3], "groups": 1,
                        "output_padding": None}),
    "BatchNormalization": (layers.BatchNormalization(), {"axis": [3], "momentum": 0.99, "epsilon": 0.001, "scale": True,
                           "moving_mean_initializer": ZEROS, "renorm": False}),
    "LayerNormalization": (layers.LayerNormalization(), {"axis": [3], "epsilon": 0.001}),
    "LeakyReLU": (layers.LeakyReLU(0.25), {"alpha": 0.25}),
    "ReLU": (layers.ReLU(1.0), {"max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0}),
    "PReLU": (layers.PReLU(shared_axes=[1, 2]), {"alpha_initializer": ZEROS, "shared_axes": [1, 2]}),
    "MaxPooling2D": (layers.MaxPooling2D(), {"pool_size": [2, 2], "padding": "valid", "strides": [2, 2]}),
    "GlobalAveragePooling2D": (layers.GlobalAveragePooling2D(), {"data_format": "channels_last", "keepdims": False}),
    "ZeroPadding2D": (layers.ZeroPadding2D(1), {"padding": [[1, 1], [1, 1]], "data_format": "channels_last"}),
    "UpSampling2D": (layers.UpSampling2D(), {"size": [2, 2], "interpolation": "nearest"}),
    "Flatten": (layers.Flatten(), {"data_format": "channels_last"}),
    "Dropout": (layers.Dropout(0.5), {"rate": 0.5, "noise_shape": None, "seed": None}),
    "Activation": (layers.Activation("relu"), {"activation": "relu"}),
    "Reshape": (layers.Reshape((-1, 3)), {"target_shape": [-1, 3]}),
    "Permute": (layers.Permute((2, 1, 3)), {"dims": [2, 1, 3]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", IMAGES)
def test_layers_of_images(kind: str, tmp_path: Path) -> None:
    ours, config = IMAGES[kind]
    images = rng.normal(size=(2, 6, 6, 3)).astype("float32")
    ours(images)
    ours.set_weights(drawn(*[w.shape for w in ours.weights]))
    model = stack(source("x", 6, 6, 3), layer(kind, "one", **config))
    weights = {"one": {f"one/{w.name}:0": w.numpy() for w in ours.weights}}
    close(cornu.models.load_model(write(tmp_path / "m.h5", weights, model))(images), np.asarray(ours(images)))


# weights alone, as they were published


def published() -> Any:
    body = cornu.Sequential(
        [cornu.Input((4,)), layers.Dense(5, name="d"), layers.BatchNormalization(name="bn")], name="body"
    )
    return cornu.Sequential([cornu.Input((4,)), body, layers.Dense(3, name="middle"), layers.Dense(2, name="top")])


def weights_of_published() -> dict[str, dict[str, np.ndarray]]:
    """In the order of Keras 2: what is not trainable last."""
    return {
        "body": {**of_dense("d", 4, 5), **of_norm("bn", 5)},
        "middle": of_dense("middle", 5, 3),
        "top": of_dense("top", 3, 2),
    }


def flat(weights: dict[str, dict[str, np.ndarray]]) -> list[np.ndarray]:
    return [array for arrays in weights.values() for array in arrays.values()]


def same(model: Any, expected: list[np.ndarray]) -> None:
    for found, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_weights_in_order(tmp_path: Path) -> None:
    weights = weights_of_published()
    model = published()
    model.load_weights(write(tmp_path / "w.h5", {"input_1": {}, **weights}))
    same(model, flat(weights))
    renamed = {f"{name}_1": arrays for name, arrays in weights.items()}
    again = published()
    again.load_weights(write(tmp_path / "renamed.h5", renamed))
    same(again, flat(weights))


def test_weights_by_name(tmp_path: Path) -> None:
    weights = weights_of_published()
    model = published()
    before = model.get_weights()
    path = write(tmp_path / "w.h5", {"top": weights["top"], "other": of_dense("other", 9, 9), "body": weights["body"]})
    model.load_weights(path, by_name=True)
    same(model, [*weights["body"].values(), *before[6:8], *weights["top"].values()])


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    weights = weights_of_published() | {"top": of_dense("top", 3, 7)}
    path = write(tmp_path / "w.h5", weights)
    model = published()
    before = model.get_weights()
    with pytest.raises(ShapeError, match=r"mismatch +top/0 +\(3, 2\) in the model, \(3, 7\) in the file"):
        model.load_weights(path, by_name=True)
    with pytest.raises(ShapeError, match=r"\(3, 7\) in the file"):
        model.load_weights(path)
    same(model, before)
    model.load_weights(path, skip_mismatch=True)
    same(model, [*flat(weights)[:-2], *before[-2:]])
    short = write(tmp_path / "short.h5", {"top": of_dense("top", 3, 2)})
    with pytest.raises(ShapeError, match=r"holds weights of 1 layers \(top\), model .* has 3 .*\(body, middle, top\)"):
        model.load_weights(short)


def test_names_split_over_several_attributes(tmp_path: Path) -> None:
    """One attribute holds 64 KiB: longer lists are found in `layer_names0`, `layer_names1`, …"""
    count = 300
    names = [f"{'dense_of_a_long_name_' * 12}{i}" for i in range(count)]
    weights = {name: {f"{name}/kernel:0": np.full((1, 1), i, "float32")} for i, name in enumerate(names)}
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        for part in range(2):
            encoded = np.array([name.encode() for name in names[part * 150 : (part + 1) * 150]])
            file.attrs[f"layer_names{part}"] = encoded
        for name, arrays in weights.items():
            below = file.create_group(name)
            for i, (key, array) in enumerate(arrays.items()):
                below.attrs[f"weight_names{i}"] = [key.encode()]
                below[key] = array
    model = cornu.Sequential([cornu.Input((1,)), *(layers.Dense(1, use_bias=False, name=name) for name in names)])
    model.load_weights(path)
    same(model, flat(weights))
    model.save_weights(tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as file:
        assert {"layer_names0", "layer_names1"} <= set(file.attrs)
        assert "layer_names" not in file.attrs
    model.load_weights(tmp_path / "again.h5", by_name=True)
    same(model, flat(weights))


def test_what_is_unknown_is_named(tmp_path: Path) -> None:
    entry = layer("TFOpLambda", "tf.math.add", ["x", 0, 0, {"y": 1.0, "name": None}], function="math.add")
    model = graph([["x", 0, 0]], [["tf.math.add", 0, 0]], source("x", 4), entry)
    with pytest.raises(CornuError, match="TFOpLambda"):
        cornu.models.load_model(write(tmp_path / "m.h5", {}, model))


def test_what_had_another_meaning_keeps_it(tmp_path: Path) -> None:
    """The hard sigmoid of Keras 2, a fifth steep; GRU without `reset_after`, which then reset before the product."""
    steep = {key: "hard_sigmoid" if key == "recurrent_activation" else value for key, value in RECURRENT.items()}
    model = stack(
        layer("GRU", "gru", units=3, batch_input_shape=[None, 5, 2], **steep),
        layer("Activation", "step", activation="hard_sigmoid"),
    )
    values = drawn((2, 9), (3, 9), (9,))
    keys = ("gru/kernel:0", "gru/recurrent_kernel:0", "gru/bias:0")
    path = write(tmp_path / "m.h5", {"gru": dict(zip(keys, values, strict=True))}, model)

    def step(x: Any) -> Any:
        return np.clip(0.2 * np.asarray(x) + 0.5, 0, 1)

    inputs = rng.normal(size=(2, 5, 2)).astype("float32")
    recurrent = layers.GRU(3, return_sequences=True, weights=values, reset_after=False, recurrent_activation=step)
    loaded = cornu.models.load_model(path)
    close(loaded(inputs), step(recurrent(inputs)))
    loaded.save(tmp_path / "again.keras")
    close(cornu.models.load_model(tmp_path / "again.keras")(inputs), step(recurrent(inputs)))
    text = json.dumps({**model, "keras_version": "2.2.4", "backend": "tensorflow"})
    again = cornu.models.model_from_json(text)
    again.set_weights(values)
    close(again(inputs), step(recurrent(inputs)))
