"""Shapes, creation, selection and products where the conformance suite does not look: symbols, saved graphs, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np
import pytest

import cornu
import cornu.ops as ops
from cornu.backend import B
from cornu.base import config
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, BackendError, DTypeError, OpError, ShapeError
from cornu.core.symbolic import KerasTensor


@pytest.fixture(params=["jax", "numpy"], autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with config.backend_scope(request.param):
        yield request.param


def symbol(*shape: int | None, dtype: str = "float32") -> KerasTensor:
    return KerasTensor(shape, dtype)


# What a call with unknown sizes gives: the shapes of its results.
UNKNOWN: dict[str, tuple[Callable[[], Any], Any]] = {
    "append": (lambda: ops.append(symbol(None, 2), symbol(3)), (None,)),
    "array_split": (lambda: ops.array_split(symbol(None, 7), 3), [(None, 7)] * 3),
    "cross": (lambda: ops.cross(symbol(None, 3), symbol(3)), (None, 3)),
    "diff": (lambda: ops.diff(symbol(None, 3), axis=0), (None, 3)),
    "geomspace": (lambda: ops.geomspace(symbol(None), 2.0, 5), (5, None)),
    "kron": (lambda: ops.kron(symbol(None, 2), symbol(3, 2)), (None, 4)),
    "linspace": (lambda: ops.linspace(symbol(None), 2.0, 5, axis=-1), (None, 5)),
    "meshgrid": (lambda: ops.meshgrid(symbol(None), symbol(3)), [(3, None)] * 2),
    "rearrange": (lambda: ops.rearrange(symbol(None, 6, 4), "b (c e) d -> e (b d) c", c=2), (3, None, 2)),
    "rearrange, two": (lambda: ops.rearrange(symbol(None, None, 4), "b h ... -> h ... b"), (None, 4, None)),
    "rot90": (lambda: ops.rot90(symbol(None, 3)), (3, None)),
    "scatter": (lambda: ops.scatter(symbol(None, 1, dtype="int32"), symbol(None, 2), (3, 2)), (3, 2)),
    "size": (lambda: ops.size(symbol(None, 3)), ()),
    "slice": (lambda: ops.slice(symbol(None, 4), (0, 1), (-1, 2)), (None, 2)),
    "trace": (lambda: ops.trace(symbol(None, 3, 4), axis1=1, axis2=2), (None,)),
    "unique": (lambda: ops.unique(symbol(None, 3), size=2, axis=1, return_inverse=True), [(None, 2), (3,)]),
    "unravel_index": (lambda: ops.unravel_index(symbol(None, dtype="int32"), (3, 4)), [(None,), (None,)]),
    "vander": (lambda: ops.vander(symbol(None), 3), (None, 3)),
    "view": (lambda: ops.view(symbol(None, 4), "int16"), (None, 8)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_sizes(name: str) -> None:
    call, expected = UNKNOWN[name]
    found = call()
    assert [t.shape for t in found] == expected if isinstance(expected, list) else found.shape == expected


def test_size_is_a_number_where_it_is_known() -> None:
    assert ops.size(symbol(2, 3)) == ops.size(np.ones((2, 3))) == 6
    x = symbol(None, 3)
    model = cornu.Model(x, ops.size(x)) if x._node else cornu.Model(i := cornu.Input((3,)), ops.size(i) + 0)
    assert int(model(np.ones((5, 3), "float32"))) == 15


def test_graphs_of_ops_with_any_number_of_tensors_are_saved(tmp_path: Any) -> None:
    a, b = cornu.Input((3,), batch_size=2), cornu.Input((3,), batch_size=2)
    product = ops.einsum("bi,bj->bij", a, b)
    grid = ops.meshgrid(ops.ravel(a), ops.ravel(b))
    model = cornu.Model([a, b], [product, grid[0], ops.rearrange(a, "b (h w) -> w b h", h=3)])
    x, y = np.arange(6.0, dtype="float32").reshape(2, 3), np.ones((2, 3), "float32")
    model.save(tmp_path / "model.keras")
    loaded = cornu.saving.load_model(tmp_path / "model.keras")
    for ours, saved in zip(model([x, y]), loaded([x, y]), strict=True):
        np.testing.assert_array_equal(B.to_numpy(ours), B.to_numpy(saved))
    np.testing.assert_array_equal(B.to_numpy(model([x, y])[0]), np.einsum("bi,bj->bij", x, y))


FOUR = np.array([3, 1, 3, 2], "int32")
# The call with `keras.ops` or ours; results and dtypes agree.
LIKE_KERAS: dict[str, Callable[[Any], Any]] = {
    "linspace of ints": lambda o: o.linspace(0, 10, 4, dtype="int32"),
    "linspace of halves": lambda o: o.linspace(np.float16(0), np.float16(1), 5),
    "linspace with its step": lambda o: o.linspace(0, 10, 4, retstep=True),
    "linspace of one": lambda o: o.linspace(2.0, 3.0, 1),
    "linspace of none": lambda o: o.linspace(2.0, 3.0, 0),
    "logspace": lambda o: o.logspace(0, 2, 3, dtype="int32"),
    "geomspace": lambda o: o.geomspace(1, 1000, 4),
    "identity": lambda o: o.identity(3, "int32"),
    "isin of mixed types": lambda o: o.isin(np.array([1, 2]), np.array([2.0, 3.0])),
    "scatter to one place": lambda o: o.scatter(np.array([[0, 1], [0, 1]]), np.array([1.0, 2.0], "float32"), (2, 2)),
    "searchsorted": lambda o: o.searchsorted(np.array([1, 2, 2, 4]), np.array([2, 3, 5]), side="right"),
    "select of ints": lambda o: o.select([np.array([True, False])], [np.array([1, 2], "int8")]),
    "select of truth values": lambda o: o.select([np.array([True, False])], [np.array([True, True])]),
    "select with a float": lambda o: o.select([np.array([True, False])], [np.array([1, 2])], 0.5),
    "slice beyond the end": lambda o: o.slice(np.arange(12, dtype="int32").reshape(3, 4), (2, 3), (2, 2)),
    "trace of bytes": lambda o: o.trace(np.full((3, 3), 200, "uint8")),
    "unique of size 2": lambda o: o.unique(FOUR, size=2),
    "unique of size 5": lambda o: o.unique(FOUR, size=5, return_counts=True, return_index=True),
    "unique, unsorted": lambda o: o.unique(FOUR, sorted=False),
    "unravel_index outside": lambda o: o.unravel_index(np.array([-1, 12, 99], "int32"), (3, 4)),
    "diff of truth values": lambda o: o.diff(np.array([True, False, False])),
    "vdot of complex": lambda o: o.vdot(np.array([1j, 2], "complex64"), np.array([1j, 1], "complex64")),
}


@pytest.mark.parametrize("name", LIKE_KERAS)
def test_results_are_those_of_keras(name: str) -> None:
    ours, theirs = (jax.tree.leaves(LIKE_KERAS[name](o)) for o in (ops, keras.ops))
    for a, b in zip(ours, theirs, strict=True):
        assert standardize_dtype(a.dtype) == standardize_dtype(b.dtype)
        np.testing.assert_allclose(B.to_numpy(a), np.asarray(b), rtol=1e-5)


def test_unique_compiled_is_unique() -> None:
    x = np.random.default_rng(0).integers(0, 4, (20, 2, 2))
    for axis in (None, 0, 1):  # 1, 4 and 40 numbers are compared
        expected = np.unique(x, True, True, True, axis)
        size = expected[0].shape[axis or 0]

        def run(x: Any, axis: int | None = axis, size: int = size) -> Any:
            return ops.unique(
                x, return_index=True, return_inverse=True, return_counts=True, axis=axis, size=size, fill_value=0
            )

        for a, b in zip(B.compile(run)(B.convert(x)), expected, strict=True):
            np.testing.assert_array_equal(B.to_numpy(a).reshape(b.shape), b)


def test_partition_puts_the_kth_in_its_place() -> None:
    x = np.random.default_rng(0).normal(size=(3, 9))
    for kth in (0, 4, -1):
        found = np.take_along_axis(x, B.to_numpy(ops.argpartition(x, kth)), -1)
        np.testing.assert_array_equal(found[:, kth], np.sort(x)[:, kth])


# The call and what the error says.
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "array_split": (lambda: ops.array_split(np.ones(4), 0), ArgumentError, "at least 1 or a list of cuts, got 0"),
    "argpartition": (lambda: ops.argpartition(symbol(2, 3), 3), ArgumentError, "kth should be below 3, .* got 3"),
    "cross": (lambda: ops.cross(symbol(4), symbol(3)), ShapeError, r"cross: x1 .* along axis -1, got shape \(4,\)"),
    "diag": (lambda: ops.diag(np.ones((2, 2, 2))), ShapeError, r"got shape \(2, 2, 2\)\. Of more, take `ops.diagonal`"),
    "diff": (lambda: ops.diff(symbol(3), -1), ArgumentError, "should not be negative, got -1"),
    "dsplit": (lambda: ops.dsplit(symbol(2, 4), 2), ShapeError, r"dsplit needs .* at least 3 axes, got shape \(2, 4\)"),
    "fliplr": (
        lambda: ops.fliplr(np.ones(3)),
        ShapeError,
        r"fliplr needs a tensor of at least 2 axes, got shape \(3,\)",
    ),
    "meshgrid": (lambda: ops.meshgrid(np.ones(2), indexing="yx"), ArgumentError, "'xy', 'ij', got 'yx'"),
    "nonzero": (lambda: ops.nonzero(symbol(3)), BackendError, "nonzero: how many .* values of x.* `ops.where`"),
    "rot90": (lambda: ops.rot90(np.ones((2, 3)), axes=(1, -1)), ArgumentError, r"two different axes .* got \(1, -1\)"),
    "searchsorted": (lambda: ops.searchsorted(symbol(2, 3), 1.0), ShapeError, r"one axis, got .* `ops.vectorized_map`"),
    "searchsorted, side": (lambda: ops.searchsorted([1, 2], 1, "lefT"), ArgumentError, "Did you mean 'left'"),
    "select": (lambda: ops.select([[True]], [[1], [2]]), ArgumentError, "as many conditions as choices, got 1 and 2"),
    "slice": (lambda: ops.slice(symbol(3, 4), (0, 0), (4, 1)), ShapeError, r"slice: shape \(4, 1\) .* got \(3, 4\)"),
    "slice, rank": (lambda: ops.slice(np.ones((3, 4)), (0,), (1,)), ShapeError, r"slice: shape \(1,\) .* \(3, 4\)"),
    "unique": (lambda: ops.unique(symbol(3)), BackendError, "unique: how many .* Pass `size`"),
    "unravel_index": (lambda: ops.unravel_index([0.5], (2, 3)), DTypeError, "should be integers, got float32"),
    "vander": (lambda: ops.vander(np.ones((2, 2))), ShapeError, r"vander: .* one axis, got shape \(2, 2\)"),
    "vdot": (lambda: ops.vdot(np.ones(2), np.ones(3)), OpError, r"vdot\(float.*\[2\], float.*\[3\]\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()


# Patterns for a tensor of shape (2, 6), and what is wrong with them.
PATTERNS = {
    "a b": "one '->'",
    "a b c -> a b c": "the left side names 3 axes, the tensor has 2",
    "a b -> a c": "each axis should stand once on either side, unlike b, c",
    "a b -> a": "unlike b",
    "a a -> a": "unlike a",
    "a b -> a b b": "unlike b",
    "a (b c) -> a b c": "give the sizes of all but one of b, c, such as b=2",
    "1 b -> b": r"\(1\) of 1 does not fit an axis of size 2",
    "a (b -> a b": "names 3 axes",
    "(a -> a": r"unlike \(",
    "a b -> ... a b": r"'\.\.\.' should stand once on either side",
    "(a ...) b -> a ... b": "on the left not in parentheses",
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("tensor", [np.ones((2, 6)), symbol(2, 6)], ids=["array", "symbol"])
def test_bad_patterns(pattern: str, tensor: Any) -> None:
    with pytest.raises(ArgumentError, match=f"rearrange: .*{PATTERNS[pattern]}.*the shape \\(2, 6\\)"):
        ops.rearrange(tensor, pattern)


def test_lengths_that_do_not_fit_a_pattern() -> None:
    with pytest.raises(ArgumentError, match=r"\(b c\) of 4 does not fit an axis of size 6"):
        ops.rearrange(np.ones((2, 6)), "a (b c) -> a b c", b=4)
    with pytest.raises(ArgumentError, match="unlike d"):
        ops.rearrange(np.ones((2, 6)), "a b -> b a", d=4)


@pytest.mark.parametrize("fn", [ops.nonzero, ops.unique])
def test_what_depends_on_values_is_not_compiled(fn: Callable[[Any], Any]) -> None:
    with config.backend_scope("jax"), pytest.raises(BackendError, match="depends on the values of x"):
        B.compile(fn)(B.convert(np.ones(3)))
