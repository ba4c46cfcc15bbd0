"""Pooling, local and global."""

import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.base.errors import ArgumentError, ShapeError
from tests.layers.oracle import agree, close, pair, rows

IMAGES, FIRST = (2, 7, 6, 3), (2, 3, 7, 6)
CASES = [
    ("MaxPooling1D", {}, (2, 7, 3)),
    ("MaxPooling1D", {"pool_size": 3, "strides": 2, "padding": "same", "data_format": "channels_first"}, (2, 3, 8)),
    ("MaxPooling2D", {}, IMAGES),
    ("MaxPooling2D", {"pool_size": (3, 2), "strides": 1, "padding": "same"}, IMAGES),
    ("MaxPooling2D", {"pool_size": 3, "strides": (2, 1), "data_format": "channels_first"}, FIRST),
    ("MaxPooling2D", {"pool_size": 6}, IMAGES),  # more than 27 elements: another lowering
    ("MaxPooling3D", {"pool_size": 2}, (1, 4, 5, 4, 2)),
    ("AveragePooling1D", {"pool_size": 2, "padding": "same"}, (2, 7, 3)),
    ("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGES),
    ("AveragePooling2D", {"pool_size": (2, 3), "data_format": "channels_first"}, FIRST),
    ("AveragePooling3D", {"pool_size": 2, "strides": 1, "padding": "same"}, (1, 3, 4, 3, 2)),
    ("GlobalMaxPooling1D", {"keepdims": True}, (2, 7, 3)),
    ("GlobalMaxPooling2D", {"data_format": "channels_first"}, FIRST),
    ("GlobalMaxPooling3D", {}, (1, 3, 4, 3, 2)),
    ("GlobalAveragePooling1D", {"data_format": "channels_first", "keepdims": True}, (2, 7, 3)),
    ("GlobalAveragePooling2D", {}, IMAGES),
    ("GlobalAveragePooling2D", {"data_format": "channels_first", "keepdims": True}, FIRST),
    ("GlobalAveragePooling3D", {}, (1, 3, 4, 3, 2)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES)
def test_agrees_with_keras(name, kwargs, shape):
    unknown = [] if name.startswith("Global") else [(None,) * len(shape)]
    agree(name, kwargs, rows(shape), shapes=unknown)


@pytest.mark.parametrize("kwargs", [{}, {"keepdims": True}])
def test_masked_mean(kwargs):
    ours, theirs = pair("GlobalAveragePooling1D", **kwargs)
    x, mask = rows((3, 5, 2)), np.array([[1, 1, 0, 0, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], bool)
    close(ours(x, mask=mask), theirs(x, mask=mask))
    half = layers.GlobalAveragePooling1D(dtype="float16", **kwargs)
    close(half(x, mask=mask), np.asarray(ours(x, mask=mask), "float16"), 2e-3)


def test_mean_of_steps_that_are_all_masked_is_zero():
    assert not np.asarray(layers.GlobalAveragePooling1D()(rows((1, 3, 2)), mask=np.zeros((1, 3), bool))).any()


def test_mask_comes_with_the_inputs_and_ends_here():
    x = rows((2, 4, 3))
    x[0, 2:] = 0
    masked = layers.Masking()(x)
    pooled = layers.GlobalAveragePooling1D()(masked)
    np.testing.assert_allclose(np.asarray(pooled)[0], x[0, :2].mean(0), rtol=1e-6)
    assert cornu.core.masks.get_mask(pooled) is None


def test_integers_stay_integers():
    assert str(layers.MaxPooling1D()(np.arange(8).reshape(1, 4, 2)).dtype) == "int32"


ALIASES = [
    (f"{short}{rank}D", f"{long}{rank}D")
    for short, long in {"MaxPool": "MaxPooling", "AvgPool": "AveragePooling"}.items()
    for rank in (1, 2, 3)
]


@pytest.mark.parametrize(("alias", "name"), [*ALIASES, *((f"Global{a}", f"Global{b}") for a, b in ALIASES)])
def test_aliases(alias, name):
    assert getattr(layers, alias) is getattr(layers, name)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.MaxPooling2D(0), ArgumentError, "pool_size should be a positive int, got 0"),
        (lambda: layers.MaxPooling2D((1, 2, 3)), ArgumentError, "pool_size should be an int or 2 of them"),
        (
            lambda: layers.AveragePooling2D(2, padding="causal"),
            ArgumentError,
            "padding should be one of 'valid', 'same'",
        ),
        (
            lambda: layers.MaxPooling2D(name="p")(rows((4, 4, 1))),
            ShapeError,
            r"'p' \(MaxPooling2D\): input should have 4 axes",
        ),
        (lambda: layers.MaxPooling2D(5)(rows((1, 4, 4, 1))), ShapeError, r"window \(5, 5\) is larger than the images"),
        (lambda: layers.MaxPooling2D(data_format="first"), ValueError, "data_format .*got 'first'"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
