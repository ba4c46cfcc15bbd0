"""Activations as layers."""

import numpy as np
import pytest

from cornu import layers
from cornu.base.errors import ArgumentError, ShapeError
from tests.layers.oracle import agree, close, pair, rows

CASES = [
    ("Activation", {"activation": "tanh"}, (3, 4)),
    ("Activation", {"activation": None}, (3, 4)),
    ("ReLU", {}, (3, 4)),
    ("ReLU", {"max_value": 0.5, "negative_slope": 0.1, "threshold": 0.2}, (3, 4)),
    ("ReLU", {"max_value": 1.0}, (3, 4)),
    ("LeakyReLU", {}, (3, 4)),
    ("LeakyReLU", {"negative_slope": 0.01}, (3, 4)),
    ("PReLU", {}, (3, 4, 2)),
    ("PReLU", {"shared_axes": [1]}, (3, 4, 2)),
    ("ELU", {"alpha": 0.7}, (3, 4)),
    ("Softmax", {}, (3, 4)),
    ("Softmax", {"axis": [1, 2]}, (3, 4, 2)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES)
def test_agrees_with_keras(name, kwargs, shape):
    agree(name, kwargs, rows(shape))


def test_older_name_of_the_slope():
    assert layers.LeakyReLU(alpha=0.2).get_config()["negative_slope"] == 0.2


def test_masked_softmax():
    ours, theirs = pair("Softmax")
    x, mask = rows((3, 4)), np.array([[1, 1, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]], bool)
    close(ours(x, mask=mask), theirs(x, mask=mask))
    nothing = np.asarray(layers.Softmax(dtype="float16")(x, mask=np.zeros((3, 4), bool)))
    np.testing.assert_allclose(nothing, 0.25)


def test_functions_as_activations():
    close(layers.Activation(lambda x: x * 2)(rows((2, 3))), rows((2, 3)) * 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.ReLU(max_value=-1), ArgumentError, "max_value should be a finite number .*, got -1"),
        (lambda: layers.ReLU(negative_slope="x"), ArgumentError, "negative_slope should be a finite number"),
        (lambda: layers.LeakyReLU(-0.1), ArgumentError, "negative_slope should be a finite number of at least 0"),
        (lambda: layers.PReLU(shared_axes=[0]), ArgumentError, "shared_axes should be ints of at least 1"),
        (lambda: layers.PReLU()(layers.Input((None, 2))), ShapeError, "must be known or lie along shared_axes"),
        (lambda: layers.Softmax(axis="a"), ArgumentError, "axis should be an int or several, got 'a'"),
        (lambda: layers.Activation("tahn"), ValueError, "Did you mean 'tanh'"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
