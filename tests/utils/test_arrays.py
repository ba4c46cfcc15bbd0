"""Data helpers against Keras as a black box, and their errors."""

from __future__ import annotations

from collections import namedtuple

import keras
import numpy as np
import pytest

from cornu import utils
from cornu.base.errors import ArgumentError, DataError, DTypeError, ShapeError


@pytest.mark.parametrize(
    ("x", "num_classes"),
    [
        ([0, 2, 1], None),
        ([[0], [2]], 4),
        ([[0, 1], [2, 1]], None),
        (3, None),
        ([[1]], None),
        (np.array([1.0, 0.0]), None),
        (np.array([True, False]), 2),
        (np.arange(6, dtype="uint8").reshape(2, 3, 1), None),
    ],
)
def test_to_categorical(x, num_classes) -> None:
    expected = keras.utils.to_categorical(x, num_classes)
    got = utils.to_categorical(x, num_classes)
    assert isinstance(got, np.ndarray)
    assert got.dtype == "float64"
    np.testing.assert_array_equal(got, expected)


def test_to_categorical_of_nothing() -> None:
    assert utils.to_categorical(np.zeros(0, int), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("x", "num_classes", "error", "message"),
    [
        ([5], 3, DataError, r"must lie in 0 … 2 \(num_classes=3\), got 5 … 5"),
        ([-1, 1], None, DataError, "got -1 … 1"),
        ([0.5], None, DTypeError, "integer classes, got dtype float64"),
        (["cat", "dog"], None, DTypeError, "map names to 0, 1, 2"),
        ([0, 1], "2", ArgumentError, "to_categorical: num_classes should be a positive int or None, got '2'"),
        ([], 0, ArgumentError, "num_classes should be a positive int or None, got 0"),
        ([0], True, ArgumentError, "got True"),
        ([], None, DataError, "pass num_classes"),
    ],
)
def test_to_categorical_errors(x, num_classes, error, message) -> None:
    with pytest.raises(error, match=message):
        utils.to_categorical(x, num_classes)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_normalize(axis, order) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    got = utils.normalize(x, axis, order)
    assert got.dtype == "float32"
    if axis:  # Keras 3.15.1 fails at axis 0
        np.testing.assert_allclose(got, keras.utils.normalize(x, axis, order), rtol=1e-5)
    np.testing.assert_allclose((np.abs(got) ** order).sum(axis), 1, rtol=1e-5)


def test_normalize_details() -> None:
    np.testing.assert_allclose(utils.normalize([[3, 4], [0, 0]]), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert utils.normalize([[3, 4]]).dtype == "float32"
    assert utils.normalize(np.ones((2, 2))).dtype == "float64"
    np.testing.assert_array_equal(utils.normalize([[3, 4]], order=np.inf), [[0.75, 1]])
    with pytest.raises(ArgumentError, match="`order` must be a positive number, got 0"):
        utils.normalize([1.0], order=0)


RAGGED = [[1], [1, 2, 3], [], [4, 5]]
VECTORS = [[[1, 2]], [[1, 2], [3, 4], [5, 6]]]


@pytest.mark.parametrize(
    "sequences", [RAGGED, VECTORS, [np.arange(3), np.arange(5)], tuple(RAGGED), [[], []]], ids=range(5)
)
@pytest.mark.parametrize("maxlen", [None, 1, 2, 4])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize(("dtype", "value"), [("int32", 0), ("float32", -1.5), ("int64", 7.9)])
def test_pad_sequences(sequences, maxlen, padding, truncating, dtype, value) -> None:
    arguments = (sequences, maxlen, dtype, padding, truncating, value)
    expected, got = keras.utils.pad_sequences(*arguments), utils.pad_sequences(*arguments)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_pad_sequences_details() -> None:
    words = utils.pad_sequences([["a"], ["bb", "c"]], dtype=object, value="pad")
    assert words.tolist() == [["pad", "a"], ["bb", "c"]]
    assert utils.pad_sequences(iter(RAGGED)).shape == (4, 3)
    assert utils.pad_sequences([]).shape == (0, 0)
    assert utils.pad_sequences(RAGGED, maxlen=0).shape == (4, 0)
    assert utils.pad_sequences([[], [[1, 2]]]).shape == (2, 1, 2)  # the element's shape is that of the first there is


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sequences": [1, 2]}, DataError, r"element 0 is 1.*\[\[1, 2, 3\]\]"),
        ({"sequences": 5}, DataError, "needs a list of sequences, got 5"),
        ({"sequences": [[1]], "padding": "left"}, ArgumentError, "padding must be one of 'pre', 'post', got 'left'"),
        ({"sequences": [[1]], "truncating": "pos"}, ArgumentError, "Did you mean 'post'"),
        ({"sequences": [["a"]], "value": "x"}, DataError, "use dtype=object"),
        ({"sequences": [[1]], "maxlen": -1}, ArgumentError, "maxlen should be an int of at least 0 or None, got -1"),
        ({"sequences": [[1]], "maxlen": 1.5}, ArgumentError, "maxlen should be an int of at least 0 or None, got 1.5"),
        ({"sequences": [["a"]], "dtype": str, "value": "x"}, DataError, "use dtype=object"),
        ({"sequences": [[[1, 2]], [[1]]]}, ShapeError, r"sequence 1 have shape \(1,\), the first's \(2,\)"),
    ],
)
def test_pad_sequences_errors(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        utils.pad_sequences(**arguments)


@pytest.mark.parametrize("data", [1, [1], (1,), (1, 2), [1, 2], (1, 2, 3), [1, 2, 3], {"a": 1}, None])
def test_unpack(data) -> None:
    assert utils.unpack_x_y_sample_weight(data) == keras.utils.unpack_x_y_sample_weight(data)


@pytest.mark.parametrize("data", [(), (1, 2, 3, 4), [1, 2, 3, 4]])
def test_unpack_errors(data) -> None:
    with pytest.raises(DataError, match=f"got a tuple of {len(data)} elements"):
        utils.unpack_x_y_sample_weight(data)


@pytest.mark.parametrize("triple", [(1,), ([1],), ((1, 2),), ({"a": 1},), (1, 2), ([1], None), (1, 2, 3)])
def test_pack(triple) -> None:
    packed = utils.pack_x_y_sample_weight(*triple)
    assert packed == keras.utils.pack_x_y_sample_weight(*triple)
    assert utils.unpack_x_y_sample_weight(packed) == (*triple, None, None)[:3]


def test_pack_keeps_weights_without_targets() -> None:
    assert utils.pack_x_y_sample_weight(1, None, 3) == (1, None, 3)


@pytest.mark.parametrize(
    ("total", "left", "right", "sizes"),
    [
        (10, 0.8, None, (8, 2)),
        (10, None, 0.3, (7, 3)),
        (10, 3, None, (3, 7)),
        (10, None, 3, (7, 3)),
        (10, 3, 4, (3, 4)),
        (10, 0.5, 0.2, (5, 2)),
        (10, 2, 0.5, (2, 5)),
        (7, 0.5, None, (4, 3)),
        (7, None, 0.5, (3, 4)),
        (10, np.float32(0.5), np.int64(1), (5, 1)),
    ],
)
def test_split_sizes(total, left, right, sizes) -> None:
    parts = utils.split_dataset(np.arange(total), left, right)
    assert tuple(map(len, parts)) == sizes
    rows = np.arange(total)
    np.testing.assert_array_equal(parts[0], rows[: sizes[0]])
    np.testing.assert_array_equal(parts[1], rows[-sizes[1] :])


@pytest.mark.parametrize(("left", "right"), [(2, 3), (0.5, 2), (3, 0.2), (4, None), (None, 4)])
def test_split_parts_are_those_of_keras(left, right) -> None:
    theirs = keras.utils.split_dataset(np.arange(13), left, right)
    for mine, other in zip(utils.split_dataset(np.arange(13), left, right), theirs, strict=True):
        np.testing.assert_array_equal(mine, [int(row) for row in other])


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize("shuffle", [False, True])
def test_split_structures(shuffle) -> None:
    x, y = np.arange(12).reshape(6, 2), np.arange(6)
    for data in ((x, y), [x, y], {"x": x, "y": y}, Pair(x, y), ({"a": x, "b": [y]}, y)):
        left, right = utils.split_dataset(data, 4, shuffle=shuffle, seed=1)
        assert type(left) is type(right) is type(data)
        (lx, *_, ly), (rx, *_, ry) = keras.tree.flatten(left), keras.tree.flatten(right)
        np.testing.assert_array_equal(lx[:, 0], 2 * ly)  # x and y stay together
        assert sorted([*ly, *ry]) == list(range(6))
        assert (ly.tolist() == [0, 1, 2, 3]) != shuffle
        assert len(rx) == 2


def test_split_other_iterables() -> None:
    assert utils.split_dataset([1, 2, 3, 4], 0.5) == ([1, 2], [3, 4])
    assert utils.split_dataset(range(4), 1) == ([0], [1, 2, 3])
    assert utils.split_dataset(((i, i * i) for i in range(3)), right_size=1) == ([(0, 0), (1, 1)], [(2, 4)])


def test_split_seeds() -> None:
    data = np.arange(100)
    once, again = (utils.split_dataset(data, 50, shuffle=True, seed=3)[0] for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, utils.split_dataset(data, 50, shuffle=True, seed=4)[0])
    np.random.seed(5)
    once = utils.split_dataset(data, 50, shuffle=True)[0]
    np.random.seed(5)
    np.testing.assert_array_equal(once, utils.split_dataset(data, 50, shuffle=True)[0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ArgumentError, "needs left_size or right_size"),
        ({"left_size": 11}, ArgumentError, r"left_size must be a fraction.*from 1 to 9 \(there are 10\), got 11"),
        ({"left_size": 0}, ArgumentError, "got 0"),
        ({"right_size": 1.0}, ArgumentError, "right_size must be a fraction between 0 and 1"),
        ({"right_size": -1}, ArgumentError, "got -1"),
        ({"left_size": 0.01}, ArgumentError, "10 samples cannot be split into 0 and 10"),
        ({"left_size": 0.9, "right_size": 0.4}, ArgumentError, "10 samples cannot be split into 9 and 4"),
        ({"left_size": "half"}, DTypeError, "left_size must be an int or a float, got 'half'"),
        ({"left_size": True}, DTypeError, "got True"),
        ({"left_size": 1, "preferred_backend": "theano"}, ArgumentError, "preferred_backend must be one of"),
        ({"left_size": 1, "dataset": (np.zeros(3), np.zeros(4))}, DataError, "one length, got 3, 4 samples"),
        ({"left_size": 1, "dataset": []}, ArgumentError, "there are 0"),
    ],
)
def test_split_errors(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        utils.split_dataset(**{"dataset": np.zeros(10), **arguments})
