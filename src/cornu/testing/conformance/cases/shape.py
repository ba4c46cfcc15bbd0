"""Shapes, selection, creation and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cornu.testing.conformance import oracles
from cornu.testing.conformance.case import ALL, NUMBERS, Case, ints, x

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


def _joined(name: str) -> Callable[..., Any]:
    return lambda ops, *xs, **kwargs: getattr(ops, name)(list(xs), **kwargs)


def _joined_oracle(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs, **kwargs: fn(xs, **kwargs)


SHAPES = [
    *(
        C(name, (x(2, 3), x(2, 3)), _joined_oracle(getattr(np, name)), {"axis": a}, call=_joined(name), dtypes=ALL)
        for name, a in (("concatenate", 0), ("concatenate", -1), ("stack", 0), ("stack", -1))
    ),
    C("concatenate", (ints(2, 3), x(2, 1)), _joined_oracle(np.concatenate), {"axis": 1}, call=_joined("concatenate")),
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
    C("reshape", (x(2, 6), (-1, 3, 2)), np.reshape, dtypes=ALL),
    C("reshape", (x(2, 6), 12), np.reshape, batch=False),
    C("roll", (x(2, 3), 1), np.roll, dtypes=ALL),
    C("roll", (x(2, 3), -4), np.roll, {"axis": 1}),
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
    C("linspace", (x(2, 3), x(3), 4), np.linspace, {"axis": -1}, symbolic=False, dtypes=ONE),
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
    C("tensordot", (x(2, 3, 4), x(3, 4, 5)), np.tensordot, dtypes=NUMBERS),
    C("tensordot", (x(2, 3), x(3, 4), 1), np.tensordot),
    C("tensordot", (x(2, 3, 4), x(4, 2), ([0, 2], [1, 0])), np.tensordot, batch=False),
    C("einsum", ("bij,bjk->bik", x(2, 3, 4), x(2, 4, 5)), np.einsum, dtypes=NUMBERS, batch=False),
    C("einsum", ("...i,i->...", x(2, 3), x(3)), np.einsum, batch=False),
    C("einsum", ("ii->i", x(3, 3)), np.einsum, batch=False),
    C("einsum", ("ij->", x(2, 3)), np.einsum),
]

CASES = [*SHAPES, *CREATION, *PRODUCTS]
