"""Convolutions of every kind: against Keras, and against torch where Keras refuses."""

import numpy as np
import pytest
import torch

from cornu import layers
from cornu.base.errors import ArgumentError, ShapeError
from tests.layers.oracle import agree, rows

IMAGES, FIRST = (2, 9, 8, 4), (2, 4, 9, 8)
CASES = [
    ("Conv1D", {"filters": 3, "kernel_size": 3}, (2, 7, 4)),
    ("Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, (2, 9, 4)),
    ("Conv1D", {"filters": 4, "kernel_size": 4, "padding": "same", "strides": 3, "groups": 2}, (2, 11, 4)),
    ("Conv1D", {"filters": 3, "kernel_size": 2, "data_format": "channels_first", "padding": "same"}, (2, 4, 7)),
    ("Conv2D", {"filters": 5, "kernel_size": 3, "activation": "relu"}, IMAGES),
    ("Conv2D", {"filters": 5, "kernel_size": (3, 2), "strides": (2, 3), "padding": "same"}, IMAGES),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "dilation_rate": (2, 1), "groups": 2, "use_bias": False}, IMAGES),
    ("Conv2D", {"filters": 8, "kernel_size": 3, "groups": 4, "padding": "same"}, IMAGES),
    ("Conv2D", {"filters": 5, "kernel_size": 3, "strides": 2, "data_format": "channels_first"}, FIRST),
    ("Conv2D", {"filters": 5, "kernel_size": 1}, IMAGES),
    ("Conv3D", {"filters": 3, "kernel_size": 2, "strides": (1, 2, 1)}, (2, 4, 5, 4, 2)),
    ("Conv3D", {"filters": 3, "kernel_size": 2, "padding": "same", "data_format": "channels_first"}, (1, 2, 4, 5, 3)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}, (2, 6, 4)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 2, "strides": 3, "padding": "same"}, (2, 6, 4)),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, IMAGES),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (4, 3), "strides": (2, 1), "padding": "valid"}, IMAGES),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1}, IMAGES),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "output_padding": (1, 0)}, IMAGES),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "data_format": "channels_first"}, FIRST),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "use_bias": False}, IMAGES),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2}, (1, 3, 2, 3, 2)),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2}, (2, 7, 4)),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same", "activation": "tanh"}, IMAGES),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "depth_multiplier": 2}, IMAGES),
    ("DepthwiseConv2D", {"kernel_size": 2, "data_format": "channels_first", "dilation_rate": 2}, FIRST),
    ("SeparableConv1D", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, (2, 7, 4)),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3, "depth_multiplier": 2, "activation": "relu"}, IMAGES),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3, "data_format": "channels_first"}, FIRST),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES)
def test_agrees_with_keras(name, kwargs, shape):
    channels = 1 if kwargs.get("data_format") == "channels_first" else len(shape) - 1
    unknown = tuple(size if i == channels else None for i, size in enumerate(shape))
    agree(name, kwargs, rows(shape), tolerance=2e-5, shapes=[unknown])


def test_strides_and_dilation_together():
    layer = layers.Conv2D(3, 3, strides=2, dilation_rate=2)
    x = rows(IMAGES)
    outputs = np.asarray(layer(x))
    kernel, bias = (torch.tensor(w) for w in layer.get_weights())
    expected = torch.conv2d(torch.tensor(x).permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, 2, 0, 2)
    np.testing.assert_allclose(outputs, expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["DepthwiseConv1D", "SeparableConv1D"])
def test_causal_outputs_do_not_see_the_future(name):
    layer = getattr(layers, name)(
        **({"filters": 2} if name == "SeparableConv1D" else {}), kernel_size=3, padding="causal"
    )
    x = rows((1, 8, 2))
    before = np.asarray(layer(x))
    x[:, 5:] += 1
    after = np.asarray(layer(x))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose", "SeparableConv2D"])
def test_low_precision(name, policy):
    wide, low = (getattr(layers, name)(4, 3, dtype=dtype) for dtype in ("float32", policy))
    x = rows(IMAGES)
    expected = np.asarray(wide(x))
    outputs = low(x)
    low.set_weights(wide.get_weights())
    outputs = low(x)
    assert str(outputs.dtype) == low.compute_dtype
    np.testing.assert_allclose(np.asarray(outputs, "float32"), expected, atol=0.1)
    assert {w.dtype for w in low.weights} == {low.variable_dtype}


ERRORS = [
    (lambda: layers.Conv2D(0, 3, name="c"), ArgumentError, r"'c' \(Conv2D\): filters should be a positive int, got 0"),
    (lambda: layers.Conv2D(2, (3, 3, 3), name="c"), ArgumentError, r"kernel_size should be an int or 2 of them"),
    (lambda: layers.Conv2D(2, 3, strides=-1), ArgumentError, r"strides should be a positive int, got -1"),
    (lambda: layers.Conv2D(2, 3, padding="sme"), ArgumentError, r"padding should be one of .*Did you mean 'same'"),
    (lambda: layers.Conv2D(2, 3, padding="causal"), ArgumentError, r"padding should be one of 'valid', 'same', got"),
    (
        lambda: layers.Conv2D(3, 3, groups=2),
        ArgumentError,
        r"groups should divide the filters, got groups=2 and filters=3",
    ),
    (lambda: layers.Conv2D(2, 3, activation="rellu"), ValueError, r"Did you mean 'relu'"),
    (lambda: layers.Conv2D(4, 3, groups=4)(rows((1, 5, 5, 3))), ShapeError, r"groups=4 should divide the 3 channels"),
    (
        lambda: layers.Conv2D(2, 3, name="c")(rows((5, 5, 3))),
        ShapeError,
        r"'c'.* 4 axes, got shape \(5, 5, 3\).*missing",
    ),
    (lambda: layers.Conv2D(2, 3, name="c")(rows((1, 2, 2, 1))), ShapeError, r"window \(3, 3\).*padding='same'"),
    (
        lambda: layers.Conv2D(2, 3)(layers.Input((5, 5, None))),
        ShapeError,
        r"number of channels \(axis 3.*must be known",
    ),
    (lambda: layers.Conv1DTranspose(2, 3, output_padding=1), ArgumentError, r"smaller than its stride, got 1"),
    (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=0),
        ArgumentError,
        r"depth_multiplier should be a positive int",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_other_channels_than_built_for():
    layer = layers.Conv2D(2, 3, name="c")
    layer(rows((1, 5, 5, 3)))
    with pytest.raises(
        ShapeError, match=r"'c' \(Conv2D\): input should have size 3 at axis 3, got shape \(1, 5, 5, 1\)"
    ):
        layer(rows((1, 5, 5, 1)))
