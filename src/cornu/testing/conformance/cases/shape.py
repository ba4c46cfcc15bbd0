"""Shapes, selection, creation and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cornu.testing.conformance import oracles
from cornu.testing.conformance.case import ALL, FLOATS, NUMBERS, Case, bools, ints, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan


def _split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    return np.split(x, indices_or_sections, axis)


def _unstack(x: Any, num: Any = None, axis: int = 0) -> Any:
    return list(np.moveaxis(x, axis, 0))


def _block(inputs: Any, start: Any, updates: Any) -> Any:
    inputs = inputs.copy()
    inputs[tuple(slice(s, s + n) for s, n in zip(start, updates.shape, strict=True))] = updates
    return inputs


def _trace(x: Any, **kwargs: Any) -> Any:
    return np.trace(x.astype(int) if x.dtype == bool else x, **kwargs)


def _scattered(indices: Any, values: Any, shape: Any) -> Any:
    return oracles.scatter(np.zeros(shape), indices, values, "add")


def _select(ops: Any, a: Any, b: Any, x: Any, y: Any, *default: Any) -> Any:
    return ops.select([a, b], [x, y], *default)


def _selected(a: Any, b: Any, x: Any, y: Any, default: Any = 0) -> Any:
    return np.where(a, x, np.where(b, y, default))


def _filled(found: np.ndarray, size: int, fill: Any, axis: int = 0) -> np.ndarray:
    """`found`, cut or filled up to a size along an axis."""
    found = np.moveaxis(found, axis, 0)[:size]
    return np.moveaxis(np.concatenate([found, np.broadcast_to(fill, (size - len(found), *found.shape[1:]))]), 0, axis)


def _all_of_unique(ops: Any, x: Any, **kwargs: Any) -> Any:
    return ops.unique(x, return_index=True, return_inverse=True, return_counts=True, **kwargs)


def _unique(x: Any, axis: int | None = None, size: int | None = None) -> Any:
    values, index, inverse, counts = np.unique(x, True, True, True, axis)
    if size is not None:
        first = np.take(values, [0], axis or 0)
        values = _filled(values, size, np.moveaxis(first, axis or 0, 0), axis or 0)
        index, counts = _filled(index, size, index[0]), _filled(counts, size, 0)
    return values, index, np.reshape(inverse, x.shape if axis is None else -1), counts


EAGER: dict[str, Any] = {"compiled": False, "symbolic": False, "gradient": False}
FILLED = {"size": 8, "fill_value": 3}


def _joined(name: str) -> Callable[..., Any]:
    return lambda ops, *xs, **kwargs: getattr(ops, name)(list(xs), **kwargs)


def _joined_oracle(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs, **kwargs: fn(xs, **kwargs)


def _rearranged(pattern: str, oracle: Callable[[Any], Any], *shape: int, **lengths: int) -> Case:
    return C("rearrange", (x(*shape), pattern), lambda x, pattern, **lengths: oracle(x), lengths, dtypes=ALL)


_REARRANGED = [
    _rearranged("b h w -> b w h", lambda x: x.transpose(0, 2, 1), 2, 3, 4),
    _rearranged("b h w -> b (w h)", lambda x: x.transpose(0, 2, 1).reshape(len(x), 12), 2, 3, 4),
    _rearranged("b (h w) c -> b c h w", lambda x: x.reshape(-1, 2, 3, 4).transpose(0, 3, 1, 2), 2, 6, 4, h=2),
    _rearranged("b ... -> ... b", lambda x: np.moveaxis(x, 0, -1), 2, 3, 4),
    _rearranged("... c -> (...) c", lambda x: x.reshape(-1, 4), 2, 3, 4),
    _rearranged("b 1 c -> () c b", lambda x: x[:, 0].T[None], 2, 1, 3),
    _rearranged(
        "b (h p) (w q) -> b (h w) p q",
        lambda x: x.reshape(-1, 2, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 6, 2, 2),
        2,
        4,
        6,
        p=2,
        q=2,
    ),
]

SHAPES = [
    *(
        C(name, (x(2, 3), x(2, 3)), _joined_oracle(getattr(np, name)), {"axis": a}, call=_joined(name), dtypes=ALL)
        for name, a in (("concatenate", 0), ("concatenate", -1), ("stack", 0), ("stack", -1))
    ),
    C("concatenate", (ints(2, 3), x(2, 1)), _joined_oracle(np.concatenate), {"axis": 1}, call=_joined("concatenate")),
    *(
        C(name, (x(*shape), x(*shape)), _joined_oracle(getattr(np, name)), call=_joined(name), dtypes=ALL)
        for name in ("hstack", "vstack", "dstack")
        for shape in ((2,), (2, 3), (2, 3, 4))
    ),
    C("hstack", (x(), x(3)), lambda *xs: np.hstack(xs), call=_joined("hstack"), batch=False),
    C("vstack", (x(), x(1)), lambda *xs: np.vstack(xs), call=_joined("vstack"), batch=False),
    C("append", (x(2, 3), x(4)), np.append, dtypes=ALL, batch=False),
    C("append", (x(2, 3), x(2, 3)), np.append, {"axis": 0}),
    C("append", (x(2, 3), x(2, 1)), np.append, {"axis": -1}),
    C("array_split", (x(2, 7), 3), np.array_split, {"axis": 1}, dtypes=ALL),
    C("array_split", (x(2, 7), 3), np.array_split, {"axis": 0}, batch=False),
    C("array_split", (x(7, 2), [2, 5]), np.array_split, batch=False),
    C("vsplit", (x(4, 3), 2), np.vsplit, dtypes=ALL),
    C("hsplit", (x(2, 6), [1, 4]), np.hsplit, dtypes=ALL),
    C("hsplit", (x(6), 3), np.hsplit),
    C("dsplit", (x(2, 3, 4), 2), np.dsplit, dtypes=ALL),
    C("fliplr", (x(2, 3),), np.fliplr, dtypes=ALL),
    C("flipud", (x(2, 3),), np.flipud, dtypes=ALL),
    *(C("rot90", (x(2, 3),), np.rot90, {"k": k}, dtypes=ALL) for k in (-1, 0, 1, 2, 7)),
    C("rot90", (x(2, 3, 4),), np.rot90, {"axes": (-1, 0)}),
    *_REARRANGED,
    C("broadcast_to", (x(2, 1), (3, 2, 4)), np.broadcast_to, dtypes=ALL, batch=False),
    C("copy", (x(2, 3),), np.copy, dtypes=ALL),
    C("expand_dims", (x(2, 3), -1), np.expand_dims, dtypes=ALL),
    C("expand_dims", (x(2, 3), (0, 2)), np.expand_dims),
    C("flip", (x(2, 3),), np.flip, dtypes=ALL),
    C("flip", (x(2, 3),), np.flip, {"axis": 1}),
    C("get_item", (x(4, 3), (slice(None), 1)), lambda x, key: x[key], dtypes=ALL),
    C("get_item", (x(4, 3), (Ellipsis, None, slice(2, 0, -1))), lambda x, key: x[key]),
    C("get_item", (x(4, 3), 1), lambda x, key: x[key], batch=False),
    C("moveaxis", (x(2, 3, 4), 0, -1), np.moveaxis, dtypes=ALL),
    C("moveaxis", (x(2, 3, 4), (0, 1), (-1, 0)), np.moveaxis),
    C("pad", (x(2, 3), ((0, 1), (2, 0))), np.pad, dtypes=ALL),
    C("pad", (x(2, 3), 1), np.pad, {"mode": "constant", "constant_values": 3}, dtypes=NUMBERS),
    C("pad", (x(3, 3), ((1, 1), (1, 2))), np.pad, {"mode": "reflect"}, batch=False),
    C("pad", (x(3, 3), ((1, 1), (1, 2))), np.pad, {"mode": "symmetric"}, batch=False),
    C("pad", (x(3, 3), (1, 2)), np.pad),
    C("ravel", (x(2, 3),), np.ravel, dtypes=ALL),
    C("repeat", (x(2, 3), 2), np.repeat, dtypes=ALL),
    C("repeat", (x(2, 3), 2), np.repeat, {"axis": 1}),
    C("repeat", (x(2), [3, 1]), np.repeat, dtypes=ALL, batch=False),
    C("repeat", (x(2, 3), (0, 2, 1)), np.repeat, {"axis": -1}),
    C("repeat", (x(2, 3), [2]), np.repeat, {"axis": 1}),
    C("repeat", (x(2, 3), np.array([1, 0, 2])), np.repeat, {"axis": 1}, **EAGER),
    C("reshape", (x(2, 6), (-1, 3, 2)), np.reshape, dtypes=ALL),
    C("reshape", (x(2, 6), 12), np.reshape, batch=False),
    C("roll", (x(2, 3), 1), np.roll, dtypes=ALL),
    C("roll", (x(2, 3), -4), np.roll, {"axis": 1}),
    *(
        C("roll", (x(2, 3, 4), shift, axis), np.roll)
        for shift, axis in (((1, 2), (0, 1)), (1, [0, -1]), ((1, 5), 1), ((1, -2), None), ((0, 3), (2, 2)))
    ),
    C("roll", (x(2, 0), (1, 1), (0, 1)), np.roll),
    C("squeeze", (x(2, 1, 3, 1),), np.squeeze, dtypes=ALL),
    C("squeeze", (x(2, 1, 3, 1), -1), np.squeeze),
    C("split", (x(4, 6), 3), _split, {"axis": 1}, dtypes=ALL),
    C("split", (x(6, 2), [1, 4]), _split, batch=False),
    C("swapaxes", (x(2, 3, 4), 0, -1), np.swapaxes, dtypes=ALL),
    C("take", (x(4, 3), ints(2, 2, low=-3)), np.take, {"axis": 1}, dtypes=ALL, batch=False),
    C("take", (x(4, 3), ints(5, low=-12, high=12)), np.take, batch=False),
    C("take_along_axis", (x(4, 3), ints(4, 2, low=-3)), np.take_along_axis, {"axis": 1}, dtypes=ALL),
    C(
        "take_along_axis",
        (x(2, 3), ints(5, high=6)),
        lambda x, at: np.take_along_axis(x, at, None),
        batch=False,
        label="flat",
    ),
    C("tile", (x(2, 3), (2, 1)), np.tile, dtypes=ALL),
    C("tile", (x(2, 3), 2), np.tile),
    C("transpose", (x(2, 3, 4),), np.transpose, dtypes=ALL),
    C("transpose", (x(2, 3, 4), (0, 2, 1)), np.transpose),
    *(
        C(name, (x(2, 3, 4),), getattr(np, name), {"k": k}, dtypes=ALL if k == 0 else ONE)
        for name in ("tril", "triu")
        for k in (-1, 0, 1)
    ),
    C("diag", (x(3),), np.diag, dtypes=ALL),
    *(C("diag", (x(*shape),), np.diag, {"k": k}, batch=False) for shape in ((3,), (2, 3)) for k in (-1, 0, 2)),
    C("diagflat", (x(2, 2),), np.diagflat, {"k": 1}, dtypes=ALL),
    *(C("diagonal", (x(2, 3),), np.diagonal, {"offset": k}, dtypes=ALL, batch=False) for k in (-5, -1, 0, 2)),
    C("diagonal", (x(2, 3, 4),), np.diagonal, {"offset": 1, "axis1": -1, "axis2": 1}),
    C("trace", (x(3, 3),), _trace, dtypes=ALL, batch=False),
    C("trace", (x(2, 3, 4),), _trace, {"offset": -1, "axis1": 1, "axis2": 2}),
    C("diff", (x(2, 4),), np.diff, dtypes=ALL),
    C("diff", (x(4, 3),), np.diff, {"n": 2, "axis": 0}),
    C("diff", (x(2, 2),), np.diff, {"n": 3}),
    C("argpartition", (x(2, 5), 2), lambda x, kth: np.argsort(x, kind="stable"), dtypes=NUMBERS),
    C("argpartition", (x(5, 2), -1), lambda x, kth, axis: np.argsort(x, axis, kind="stable"), {"axis": 0}),
    C("isin", (x(2, 3), x(4)), np.isin, dtypes=("int32", "bool"), batch=False),
    C("isin", (v(1, nan, 2, -0.0), v(0, nan, 2)), np.isin, {"invert": True}, batch=False),
    C("isin", (x(2, 3), x(0)), np.isin, batch=False),
    C("nonzero", (v([[0, 1, nan], [-0.0, 0, 3]]),), np.nonzero, compiled=False, symbolic=False),
    C("nonzero", (x(2, 0),), np.nonzero, compiled=False, symbolic=False),
    C("nonzero", (bools(3, 2, 4),), np.nonzero, compiled=False, symbolic=False),
    C("scatter", (np.array([[0, 1], [3, 2], [0, 1]]), x(3), (4, 3)), _scattered, dtypes=NUMBERS, batch=False),
    C("scatter", (np.array([[1], [3]]), x(2, 3), (4, 3)), _scattered, batch=False),
    C("searchsorted", (v(-1, 0, 0, 2), x(2, 3)), np.searchsorted, dtypes=NUMBERS, batch=False),
    C("searchsorted", (v(-1, 0, 0, 2), v(-2, 0, 2, 3)), np.searchsorted, {"side": "right"}, batch=False),
    C("searchsorted", (v(0, 1), 0.5), np.searchsorted, batch=False),
    C("select", (bools(2, 3), bools(3), x(2, 3), x(2, 3)), _selected, call=_select, dtypes=ALL, batch=False),
    C("select", (bools(2, 3), bools(2, 3), x(2, 3), x(2, 1), 2.5), _selected, call=_select),
    C("size", (x(2, 3),), np.size, compiled=False, symbolic=False),
    C("slice", (x(4, 3), (1, 0), (2, 2)), lambda x, start, shape: x[1:3, :2], dtypes=ALL, batch=False),
    C("slice", (x(4, 3), (0, 1), (-1, -1)), lambda x, start, shape: x[:, 1:]),
    C("slice", (x(4, 3), (3, 2), (2, 2)), lambda x, start, shape: x[2:, 1:], batch=False),
    C("unique", (x(3, 4),), lambda x: np.unique(x), dtypes=NUMBERS, compiled=False, symbolic=False, gradient=False),
    *(
        C("unique", (ints(*shape, high=5),), _unique, {"axis": axis}, call=_all_of_unique, **EAGER)
        for shape, axis in (((3, 4), None), ((6, 2), 0), ((2, 9), -1), ((0,), None))
    ),
    C("unique", (v(nan, 1, nan, -inf),), np.unique, **EAGER),
    C("unique", (ints(3, 4, high=5),), _unique, {"size": 7}, call=_all_of_unique, batch=False),
    C("unique", (ints(3, 4, high=5),), _unique, {"size": 2}, call=_all_of_unique, batch=False),
    C("unique", (ints(5, 2, high=2),), _unique, {"size": 5, "axis": 0}, call=_all_of_unique, batch=False),
    C("unique", (x(6), True), lambda x, *_, **__: _filled(np.unique(x), 8, 3), FILLED, dtypes=NUMBERS, batch=False),
    C("unravel_index", (ints(2, 3, high=24), (2, 3, 4)), np.unravel_index),
    C("unravel_index", (np.array([-1, -24], "int32"), (2, 3, 4)), lambda at, shape: ([1, 0], [2, 0], [3, 0])),
    C("vander", (x(3),), np.vander, dtypes=NUMBERS),
    C("vander", (x(3), 5), np.vander, {"increasing": True}),
    C("vander", (v(0, -2, 3), 2), np.vander),
    C("unstack", (x(2, 3),), _unstack, {"axis": 1}, dtypes=ALL),
    C("slice_update", (x(4, 3), (1, 0), x(2, 2)), _block, dtypes=ALL, batch=False),
    *(
        C(
            "scatter_update",
            (x(4, 3), np.array([[0, 1], [3, 2], [0, 0]]), x(3), reduction),
            oracles.scatter,
            dtypes=NUMBERS,
            batch=False,
        )
        for reduction in (None, "add", "max")
    ),
    C("scatter_update", (x(4, 3), np.array([[1], [3]]), x(2, 3)), oracles.scatter, batch=False),
    *(C(f"{name}_like", (x(2, 3),), getattr(np, f"{name}_like"), dtypes=ALL) for name in ("zeros", "ones")),
    C("zeros_like", (x(2, 3),), lambda x, dtype: np.zeros((2, 3), dtype), {"dtype": "int32"}),
    C("full_like", (x(2, 3), 2), np.full_like, dtypes=NUMBERS),
]


def _made(op: str, *args: Any, oracle: Callable[..., Any] | None = None, **kwargs: Any) -> Case:
    """A tensor made of nothing."""
    return C(op, args, oracle or getattr(np, op), kwargs, dtypes=ONE, symbolic=False)


CREATION = [
    _made("arange", 5),
    _made("arange", 2, 9, 3),
    _made("arange", 3, -2, -2),
    _made("arange", 0.0, 1.0, 0.25),
    _made("arange", 4, dtype="float16"),
    *(_made(name, (2, 3), oracle=np.zeros) for name in ("empty",)),
    C("empty_like", (x(2, 3),), np.zeros_like, dtypes=ALL),
    _made("identity", 3),
    _made("identity", 2, dtype="bool"),
    _made("tri", 3),
    _made("tri", 2, 4, 1, dtype="int32"),
    _made("logspace", 0, 2, 3),
    _made("logspace", 0.0, 3.0, 4, endpoint=False, base=2),
    C("logspace", (x(2, 3), x(3), 4), np.logspace, {"axis": -1}, dtypes=FLOATS, batch=False),
    _made("geomspace", 1, 256, 9),
    _made("geomspace", -1, -1e30, 4, endpoint=False),
    C("geomspace", (x(2, 3, low=1), x(3, low=1), 4), np.geomspace, {"axis": 1}, dtypes=FLOATS, batch=False),
    C("meshgrid", (x(2), x(3)), np.meshgrid, dtypes=ALL),
    C("meshgrid", (x(2), x(3), x(4)), np.meshgrid, {"indexing": "ij"}),
    C("meshgrid", (x(2), x(3), x(4)), np.meshgrid),
    C("meshgrid", (ints(2), x()), np.meshgrid),
    _made("array", [[1, 2], [3, 4]]),
    _made("array", [1.5, 2], dtype="float16"),
    _made("eye", 3),
    _made("eye", 3, 4, 1, dtype="int32"),
    _made("full", (2, 3), 7, oracle=lambda shape, value: np.full(shape, value, float)),
    _made("full", (2,), True, dtype="bool"),
    _made("linspace", 0, 1, 5),
    _made("linspace", 0.0, 1.0, 4, endpoint=False),
    _made("linspace", 2.0, 2.0, 1),
    _made("linspace", 1.0, 3.0, 5, retstep=True),
    _made("linspace", -1, 10, 4, dtype="int32"),
    C("linspace", (x(2, 3), x(3), 4), np.linspace, {"axis": -1}, dtypes=FLOATS, batch=False),
    C("linspace", (x(2), 3.0, 300), np.linspace, dtypes=FLOATS),
    *(_made(name, (2, 3)) for name in ("ones", "zeros")),
    *(_made(name, (2, 0), dtype="int32") for name in ("ones", "zeros")),
    C("convert_to_tensor", (x(2, 3),), np.asarray, dtypes=ALL),
    C("convert_to_tensor", (x(2, 3), "int32"), lambda x, dtype: np.trunc(x), dtypes=ALL),
    C("convert_to_numpy", (x(2, 3),), np.asarray, compiled=False, symbolic=False, gradient=False, dtypes=ALL),
    C("dtype", (x(2),), lambda x: True, call=lambda ops, x: ops.dtype(x) == "float32", dtypes=ONE, compiled=False),
    C("is_tensor", (x(2),), lambda x: True, compiled=False, symbolic=False),
    C("is_tensor", (3,), lambda x: False, compiled=False, symbolic=False),
    C("ndim", (x(2, 3),), np.ndim, compiled=False, symbolic=False),
    C("shape", (x(2, 3),), np.shape, compiled=False, symbolic=False),
]


def _cross_of_planar(a: Any, b: Any) -> Any:
    return np.cross(np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, 1)]), b)


def _dot(x: Any, y: Any) -> Any:
    return np.dot(x, y)


PRODUCTS = [
    C("matmul", (x(2, 3), x(3, 4)), np.matmul, dtypes=NUMBERS),
    C("matmul", (x(2, 3, 4), x(2, 4, 5)), np.matmul),
    C("matmul", (x(2, 3, 4), x(4)), np.matmul),
    C("matmul", (x(3), x(5, 3, 4)), np.matmul, batch=False),
    C("matmul", (x(2, 0), x(0, 3)), np.matmul, dtypes=ONE),
    C("dot", (x(3), x(3)), _dot, dtypes=NUMBERS, batch=False),
    C("dot", (x(2, 3, 4), x(5, 4, 2)), _dot),
    C("dot", (x(), x(2, 3)), _dot, batch=False),
    C("outer", (x(2), x(3)), np.outer, dtypes=NUMBERS),
    C("inner", (x(2, 3), x(4, 3)), np.inner, dtypes=ALL),
    C("inner", (x(2, 3), 2.0), np.inner),
    C("vdot", (x(2, 3), x(3, 2)), np.vdot, dtypes=NUMBERS, batch=False),
    C("vdot", (np.array([1j, 2], "complex64"), np.array([1j, 1], "complex64")), np.vdot, dtypes=ONE, batch=False),
    C("kron", (x(2, 3), x(4, 5)), np.kron, dtypes=NUMBERS),
    C("kron", (x(2), x(3, 1, 2)), np.kron, batch=False),
    C("cross", (x(4, 3), x(4, 3)), np.cross, dtypes=NUMBERS),
    C("cross", (x(3, 4), x(4, 3)), np.cross, {"axisa": 0, "axisc": 0}, batch=False),
    C("cross", (x(5, 3, 2), x(3)), _cross_of_planar, batch=False, label="2 and 3"),
    C("cross", (x(3, 4), x(3, 4)), np.cross, {"axis": 0}, batch=False),
    C("cross", (x(4, 2), x(4, 2)), lambda a, b: a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], label="2 and 2"),
    C("tensordot", (x(2, 3, 4), x(3, 4, 5)), np.tensordot, dtypes=NUMBERS),
    C("tensordot", (x(2, 3), x(3, 4), 1), np.tensordot),
    C("tensordot", (x(2, 3, 4), x(4, 2), ([0, 2], [1, 0])), np.tensordot, batch=False),
    C("einsum", ("bij,bjk->bik", x(2, 3, 4), x(2, 4, 5)), np.einsum, dtypes=NUMBERS, batch=False),
    C("einsum", ("...i,i->...", x(2, 3), x(3)), np.einsum, batch=False),
    C("einsum", ("ii->i", x(3, 3)), np.einsum, batch=False),
    C("einsum", ("ij->", x(2, 3)), np.einsum),
]

# Lists in place of one tensor: without elements, and of tensors.
LISTS = [
    *(C(name, ([],), getattr(np, name), symbolic=False) for name in ("sum", "mean", "sort", "ravel", "negative")),
    C("max", ([],), lambda x, initial: np.zeros(()), {"initial": 0}, symbolic=False),
    C("relu", ([],), np.array, symbolic=False),
    C("norm", ([],), lambda x, ord: np.linalg.norm(x, ord), {"ord": 2}, symbolic=False),
    C("histogram", ([],), lambda x, bins: np.histogram(x, bins), {"bins": 2}, symbolic=False),
    C("meshgrid", (), list, symbolic=False),
    *(
        C(name, (x(2, 3), x(2, 3)), _joined_oracle(getattr(np, name)), call=_joined(name), label="of tensors", **EAGER)
        for name in ("sum", "sort", "negative")
    ),
]

CASES = [*SHAPES, *CREATION, *PRODUCTS, *LISTS]
