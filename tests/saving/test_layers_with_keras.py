"""Law: a model with any public layer goes both ways between Keras and us, weights in the same places."""

from __future__ import annotations

import io
import json
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import cornu
from cornu.base import tree
from cornu.base.config import backend_scope
from cornu.core.configurable import custom_object_scope, deserialize, serialize
from tests.layers import cases
from tests.layers.cases import CASES, IMAGE, SEQUENCE, Case, halved

# The table says how ours are made; Keras' are made by the same lines, with its layers in them.


class Doubling(keras.layers.Wrapper):
    def call(self, x: Any) -> Any:
        return 2 * self.layer(x)


OURS = {"Doubling": cases.Doubling, "halved": halved}
THEIRS = {"Doubling": Doubling, "halved": halved}


def variant(make: Any, inputs: Any, several: bool = False) -> Case:
    return Case(make, inputs, several)


layers: Any = cornu.layers  # in the lines below; replaced for Keras
regularizers: Any = cornu.regularizers
VARIANTS = {
    "Dense of objects": variant(
        lambda: layers.Dense(
            3,
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizers.L1L2(0.1, 0.2),
            activity_regularizer="l2",
            kernel_constraint="max_norm",
        ),
        (4,),
    ),
    "Dense in half precision": variant(lambda: layers.Dense(3, dtype="mixed_float16"), (4,)),
    "Conv2D of channels first": variant(lambda: layers.Conv2D(2, 2, data_format="channels_first"), IMAGE),
    "BatchNormalization without scale": variant(lambda: layers.BatchNormalization(scale=False), IMAGE),
    "BatchNormalization without center": variant(lambda: layers.BatchNormalization(center=False, axis=1), IMAGE),
    "LayerNormalization over two axes": variant(lambda: layers.LayerNormalization(axis=[1, 2]), IMAGE),
    "Embedding of a fixed length": variant(
        lambda: layers.Embedding(5, 3, embeddings_constraint="unit_norm"), CASES["Embedding"].inputs
    ),
    "LSTM without bias": variant(lambda: layers.LSTM(3, use_bias=False, go_backwards=True), SEQUENCE),
    "LSTM of states": variant(lambda: layers.LSTM(3, return_state=True, unit_forget_bias=False), SEQUENCE),
    "GRU in the old form": variant(lambda: layers.GRU(3, reset_after=False, recurrent_dropout=0.1), SEQUENCE),
    "RNN of cells": variant(
        lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True), SEQUENCE
    ),
    "Bidirectional of two": variant(
        lambda: layers.Bidirectional(
            layers.LSTM(3), merge_mode="sum", backward_layer=layers.GRU(3, go_backwards=True, name="back")
        ),
        SEQUENCE,
    ),
    "Bidirectional, not merged": variant(
        lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode=None), SEQUENCE
    ),
    "TimeDistributed of a model": variant(
        lambda: layers.TimeDistributed(layers.Bidirectional(layers.SimpleRNN(2))), (2, *SEQUENCE)
    ),
    "MultiHeadAttention": variant(
        lambda: layers.MultiHeadAttention(2, 3, output_shape=(5,), use_bias=False),
        [SEQUENCE, (5, 4)],
        True,
    ),
    "MultiHeadAttention over images": variant(
        lambda: layers.MultiHeadAttention(2, 3, attention_axes=(1, 2)), [IMAGE, IMAGE], True
    ),
    "GroupQueryAttention": variant(
        lambda: layers.GroupQueryAttention(3, 4, 4, use_bias=False), [SEQUENCE, (5, 4)], True
    ),
    "Activation by function": variant(lambda: layers.Activation(halved), (4,)),
}
TABLE = {**CASES, **VARIANTS}

# Keras' Lambda finds functions that were registered, and no others.
keras.saving.register_keras_serializable("tests")(halved)
cornu.saving.register_serializable("tests")(halved)


def made(k: Any, name: str) -> Any:
    make = TABLE[name].make
    if k is cornu:
        return make()
    if isinstance(make, type):
        return getattr(keras.layers, make.__name__)(*([2] if name.startswith("AveragePooling") else []))
    names = {"layers": keras.layers, "regularizers": keras.regularizers, "Doubling": Doubling}
    return types.FunctionType(make.__code__, {**make.__globals__, **names})()


def model(k: Any, name: str) -> Any:
    case = TABLE[name]
    inputs = tree.map_structure(lambda a: k.Input(a.shape[1:], dtype=str(a.dtype)), case.arrays())
    return k.Model(tree.flatten(inputs), case.call(made(k, name), inputs))


def layout(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays in a `.keras` file."""
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item.shape}) if hasattr(item, "shape") else None)
    return found


def agree(found: Any, expected: Any) -> None:
    for mine, other in zip(map(np.asarray, tree.flatten(found)), map(np.asarray, tree.flatten(expected)), strict=True):
        assert mine.shape == other.shape
        tolerance = 1e-5 if mine.dtype != "float16" else 1e-2
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def numpy_backend() -> Any:
    """NumPy's, which compiles nothing."""
    with backend_scope("numpy"):
        yield


@pytest.mark.parametrize("name", TABLE)
def test_layer(name: str, tmp_path: Path) -> None:
    ours, theirs = model(cornu, name), model(keras, name)
    rng = np.random.default_rng(1)
    shapes = [(w.shape, w.dtype) for w in ours.weights]
    assert shapes == [(w.shape, w.dtype) for w in theirs.weights]
    values = [w.numpy() if "int" in w.dtype else rng.uniform(0.2, 1, w.shape).astype(w.dtype) for w in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    inputs = tree.flatten(TABLE[name].arrays())
    expected = theirs(inputs)
    for ending in ("keras", "h5"):
        ours.save(tmp_path / f"ours.{ending}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that `.h5` is old
            theirs.save(tmp_path / f"theirs.{ending}")
        agree(keras.models.load_model(tmp_path / f"ours.{ending}", THEIRS)(inputs), expected)
        agree(cornu.models.load_model(tmp_path / f"theirs.{ending}", OURS)(inputs), expected)
    assert layout(tmp_path / "ours.keras") == layout(tmp_path / "theirs.keras")


def told(obj: Any) -> Any:
    """What JSON holds of an object, without names and without seeds, which Keras' SimpleRNN does not tell."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if key not in ("name", "seed")}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return plain(json.loads(json.dumps(obj.get_config())))


@pytest.mark.parametrize("name", TABLE)
def test_configuration(name: str) -> None:
    """Keras makes its layer of our configuration, and we ours of its; nothing changes on the way."""
    with custom_object_scope(OURS), keras.saving.custom_object_scope(THEIRS):
        ours, theirs = made(cornu, name), made(keras, name)
        assert told(type(ours).from_config(json.loads(json.dumps(ours.get_config())))) == told(ours)
        assert told(deserialize(keras.saving.serialize_keras_object(theirs))) == told(ours)
        assert told(keras.saving.deserialize_keras_object(serialize(ours))) == told(theirs)
