"""Layers that only move, repeat, add or drop elements."""

import numpy as np
import pytest

from cornu import layers
from cornu.base.errors import ArgumentError, ShapeError
from tests.layers.oracle import agree, close, pair, rows

IMAGES, FIRST, VOLUMES = (2, 5, 6, 3), (2, 3, 5, 6), (2, 3, 4, 3, 2)
CASES = [
    ("Flatten", {}, IMAGES, [(None, 4, None, 3)]),
    ("Flatten", {"data_format": "channels_first"}, FIRST, []),
    ("Flatten", {"data_format": "channels_first"}, (3, 4), []),
    ("Flatten", {}, (3,), []),
    ("Reshape", {"target_shape": (6, 15)}, IMAGES, []),
    ("Reshape", {"target_shape": [9, -1, 2]}, IMAGES, [(None, None, 6, 3)]),
    ("Reshape", {"target_shape": (4, 1)}, (3, 4), []),
    ("Permute", {"dims": (3, 1, 2)}, IMAGES, [(None, None, 4, None)]),
    ("RepeatVector", {"n": 3}, (2, 4), [(None, None)]),
    ("ZeroPadding1D", {}, (2, 4, 3), [(None, None, 3)]),
    ("ZeroPadding1D", {"padding": (0, 2), "data_format": "channels_first"}, (2, 4, 3), []),
    ("ZeroPadding2D", {}, IMAGES, [(None, None, None, 3)]),
    ("ZeroPadding2D", {"padding": (1, 2)}, IMAGES, []),
    ("ZeroPadding2D", {"padding": ((1, 0), (2, 3)), "data_format": "channels_first"}, FIRST, []),
    ("ZeroPadding3D", {"padding": 1}, VOLUMES, []),
    ("Cropping1D", {}, (2, 4, 3), [(None, 5, 3)]),
    ("Cropping1D", {"cropping": (0, 2)}, (2, 4, 3), []),
    ("Cropping2D", {"cropping": 1}, IMAGES, []),
    ("Cropping2D", {"cropping": ((1, 0), (2, 3)), "data_format": "channels_first"}, FIRST, []),
    ("Cropping3D", {"cropping": (1, 1, 0)}, VOLUMES, []),
    ("UpSampling1D", {"size": 3}, (2, 4, 3), [(None, None, 3)]),
    ("UpSampling2D", {}, IMAGES, [(None, None, None, 3)]),
    ("UpSampling2D", {"size": (1, 3), "data_format": "channels_first"}, FIRST, []),
    ("UpSampling2D", {"interpolation": "bilinear"}, IMAGES, []),
    ("UpSampling2D", {"interpolation": "bilinear", "size": (3, 2), "data_format": "channels_first"}, FIRST, []),
    ("UpSampling2D", {"interpolation": "bicubic"}, IMAGES, []),
    ("UpSampling2D", {"interpolation": "lanczos3", "size": 3}, IMAGES, []),
    ("UpSampling2D", {"interpolation": "lanczos5"}, (1, 8, 9, 2), []),
    ("UpSampling3D", {"size": (1, 2, 2)}, VOLUMES, []),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "unknown"), CASES)
def test_agrees_with_keras(name, kwargs, shape, unknown):
    agree(name, kwargs, rows(shape), shapes=unknown)


def test_empty_batches():
    assert layers.Flatten()(np.zeros((0, 2, 3), "float32")).shape == (0, 6)
    assert layers.Reshape((3, -1))(np.zeros((0, 2, 3), "float32")).shape == (0, 3, 2)


def test_one_size_stands_for_all():
    for name, one, all_ in [("ZeroPadding2D", 2, ((2, 2), (2, 2))), ("Cropping3D", 1, ((1, 1),) * 3)]:
        ours, _ = pair(name, **{"padding" if name.startswith("Zero") else "cropping": one})
        assert (ours.padding if name.startswith("Zero") else ours.cropping) == all_


def test_bilinear_between_two_pixels():
    x = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    out = layers.UpSampling2D((1, 2), interpolation="bilinear")(x)
    close(np.asarray(out).ravel(), np.array([0, 0.25, 0.75, 1], "float32"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.Reshape((5, 2), name="r")(rows((2, 12))),
            ShapeError,
            r"'r'.*\(12,\) have 12 elements.*\(5, 2\)",
        ),
        (lambda: layers.Reshape((5, -1))(rows((2, 12))), ShapeError, "cannot take the target_shape"),
        (lambda: layers.Reshape((-1, -1)), ArgumentError, "at most one of them -1"),
        (lambda: layers.Reshape(("a",)), ArgumentError, "target_shape should hold sizes"),
        (lambda: layers.Permute((0, 1)), ArgumentError, r"each of 1 … 2 once"),
        (lambda: layers.Permute((2, 1))(rows((2, 3))), ShapeError, "should have 3 axes"),
        (lambda: layers.RepeatVector(0), ArgumentError, "n should be a positive int, got 0"),
        (lambda: layers.RepeatVector(2)(rows((2, 3, 4))), ShapeError, "should have 2 axes"),
        (
            lambda: layers.ZeroPadding2D(-1),
            ArgumentError,
            "padding should be an int of at least 0, or 2 of them, or 2 pairs",
        ),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), ArgumentError, r"got \(1, 2, 3\)"),
        (lambda: layers.Cropping2D(3)(rows(IMAGES)), ShapeError, r"leaves nothing of inputs of shape \(2, 5, 6, 3\)"),
        (lambda: layers.UpSampling2D(0), ArgumentError, "size should be a positive int"),
        (lambda: layers.UpSampling2D(interpolation="linear"), ArgumentError, "Did you mean 'bilinear'"),
        (lambda: layers.Flatten()(np.float32(1)), ShapeError, "at least 1 axes"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
