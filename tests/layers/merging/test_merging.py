"""Merging layers and their functions."""

import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.base.errors import ArgumentError, OpError, ShapeError
from tests.layers.oracle import agree, close, pair, rows

CASES = [
    ("Add", {}, [(2, 3), (2, 3), (2, 3)]),
    ("Add", {}, [(2, 4, 3), (2, 1, 3)]),
    ("Add", {}, [(2, 4, 3), (2, 3)]),
    ("Subtract", {}, [(2, 3), (2, 3)]),
    ("Multiply", {}, [(2, 3), (2, 1), (2, 3)]),
    ("Average", {}, [(2, 3), (2, 3), (2, 3)]),
    ("Maximum", {}, [(2, 3), (2, 3)]),
    ("Minimum", {}, [(2, 3), (2, 3)]),
    ("Concatenate", {}, [(2, 3), (2, 1), (2, 4)]),
    ("Concatenate", {"axis": 1}, [(2, 3, 2), (2, 1, 2)]),
    ("Dot", {"axes": 1}, [(2, 3), (2, 3)]),
    ("Dot", {"axes": -1, "normalize": True}, [(2, 4, 3), (2, 5, 3)]),
    ("Dot", {"axes": (2, 1)}, [(2, 4, 3), (2, 3, 5)]),
    ("Dot", {"axes": [1, 2]}, [(2, 3, 4, 2), (2, 5, 3)]),
    ("Dot", {"axes": (1, 1)}, [(2, 3), (2, 3, 4)]),
]


@pytest.mark.parametrize(("name", "kwargs", "shapes"), CASES)
def test_agrees_with_keras(name, kwargs, shapes):
    agree(name, kwargs, rows(*shapes))


FUNCTIONS = ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    inputs = rows((2, 3), (2, 3))
    close(getattr(layers, name)(inputs), getattr(layers, name.capitalize())()(inputs))
    assert getattr(layers, name)([layers.Input((3,))] * 2, name="merged").shape == (
        (None, 6) if name == "concatenate" else (None, 3)
    )


def test_functions_take_options():
    a, b = rows((2, 3, 4), (2, 3, 5))
    close(layers.concatenate([a, a], axis=1), np.concatenate([a, a], 1))
    close(layers.dot([a, b], axes=1), np.einsum("bij,bik->bjk", a, b))
    cosine = np.asarray(layers.dot([a, a], axes=(1, 1), normalize=True))
    np.testing.assert_allclose(np.diagonal(cosine, axis1=1, axis2=2), 1, rtol=1e-5)


MASKS = [
    ("Add", {}, [[True, False, False]], [[True, True, False]]),
    ("Multiply", {}, [[True, False, False]], None),
    ("Concatenate", {"axis": 1}, [[True, False, False]], None),
    ("Concatenate", {"axis": 1}, [[True, False, False]], [[True, True, False]]),
    ("Concatenate", {"axis": -1}, [[True, False, False]], [[True, True, False]]),
    ("Concatenate", {"axis": -1}, None, None),
    ("Dot", {"axes": 1}, [[True, False, False]], [[True, True, False]]),
]


@pytest.mark.parametrize(("name", "kwargs", "first", "second"), MASKS)
def test_masks_agree_with_keras(name, kwargs, first, second):
    ours, theirs = pair(name, **kwargs)
    inputs = rows((1, 3, 2), (1, 3, 2))
    given = [None if mask is None else np.array(mask) for mask in (first, second)]
    expected = theirs.compute_mask(inputs, given)
    for x, mask in zip(tensors := [cornu.ops.convert_to_tensor(x) for x in inputs], given, strict=True):
        cornu.core.masks.set_mask(x, None if mask is None else cornu.ops.convert_to_tensor(mask))
    found = cornu.core.masks.get_mask(ours(tensors))
    assert (found is None) == (expected is None)
    if expected is not None:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_integers_stay_integers():
    x = np.arange(3)
    assert str(layers.add([x, x]).dtype) == "int32"
    assert str(layers.concatenate([x, x], axis=0).dtype) == "int32"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.Add(name="a")(rows((2, 3), (2, 4))),
            ShapeError,
            r"'a' \(Add\): shapes \[\(2, 3\), \(2, 4\)\] do not fit",
        ),
        (lambda: layers.Add()([layers.Input((3,)), layers.Input((4,))]), ShapeError, r"\(None, 3\), \(None, 4\)"),
        (lambda: layers.Add()(rows((2, 3), (4, 3))), ShapeError, "different batch sizes"),
        (
            lambda: layers.Add(name="a")(rows((2, 3))),
            ArgumentError,
            "should be called on a list of tensors, got one of shape",
        ),
        (lambda: layers.Subtract()(rows((2, 3), (2, 3), (2, 3))), ArgumentError, "a list of 2 tensors, got 3"),
        (
            lambda: layers.Concatenate()(rows((2, 3, 4), (2, 4, 4))),
            ShapeError,
            "equal sizes except at axis -1.*differ at axis 1",
        ),
        (lambda: layers.Concatenate()(rows((2, 3, 4), (2, 4))), ShapeError, "same number of axes"),
        (lambda: layers.Concatenate(axis=3)(rows((2, 3), (2, 4))), ShapeError, "and axis 3"),
        (lambda: layers.Concatenate(axis="a"), ArgumentError, "axis should be an int, got 'a'"),
        (lambda: layers.Dot(0), ArgumentError, r"none the batch \(0\), got 0"),
        (lambda: layers.Dot((1, 2, 3)), ArgumentError, "an int or a pair of them"),
        (lambda: layers.Dot(1)(rows((2, 3), (2, 4))), ShapeError, "sizes at axes 1 should be equal, got 3 and 4"),
        (lambda: layers.Dot(2)(rows((2, 3), (2, 3))), ShapeError, "do not have the axes 2"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_other_shapes_than_built_for():
    layer = layers.Add(name="a")
    layer(rows((2, 3), (2, 3)))
    with pytest.raises(OpError, match=r"'a' \(Add\), called on inputs of shape \[\(2, 3\), \(2, 4\)\]"):
        layer(rows((2, 3), (2, 4)))
