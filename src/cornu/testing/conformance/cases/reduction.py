"""Along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from cornu.testing.conformance import oracles
from cornu.testing.conformance.case import ALL, FLOATS, NUMBERS, Case, ints, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan


def _reduction(names: str, **options: Any) -> list[Case]:
    found = []
    for name in names.split():
        oracle = options.get("oracle") or getattr(np, name)
        rest = {"dtypes": ALL, **{k: value for k, value in options.items() if k != "oracle"}}
        found += [
            C(name, (x(2, 3, 4),), oracle, **rest),
            C(name, (x(2, 3, 4),), oracle, {"axis": -1}, **rest),
            C(name, (x(2, 3, 4),), oracle, {"axis": (0, -1), "keepdims": True}, **rest | {"dtypes": ONE}),
            C(name, (x(2, 3, 4),), oracle, {"axis": (1, 2)}, **rest | {"dtypes": ONE}),
            C(name, (x(2, 3, 4),), oracle, {"axis": 1, "keepdims": True}, **rest | {"dtypes": ONE}),
        ]
    return found


def _moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    axes = tuple(axes)
    return np.mean(x, axes, keepdims=keepdims), np.var(x, axes, keepdims=keepdims)


def _top_k(x: Any, k: int) -> Any:
    at = np.argsort(-x, -1, kind="stable")[..., :k]
    return np.take_along_axis(x, at, -1), at


def _in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    chosen = predictions[np.arange(len(targets)), targets]
    return (predictions > chosen[:, None]).sum(-1) < k


def _flat_or(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=-1: fn(x, axis=axis, kind="stable")


REDUCTIONS = [
    *_reduction("sum mean max min prod std var"),
    *_reduction("all any", gradient=False),
    *_reduction("logsumexp", oracle=special.logsumexp, dtypes=FLOATS),
    C("logsumexp", (x(2, 3),), special.logsumexp, dtypes=("int32",)),
    *(C("max", (x(2, 3),), np.max, {"initial": i}, dtypes=ONE) for i in (0.5, 5.0)),
    *(C("min", (x(2, 3),), np.min, {"initial": i}, dtypes=ONE) for i in (0.5, -5.0)),
    C("max", (x(0, 3),), lambda x, axis, initial: np.ones(3), {"axis": 0, "initial": 1.0}, dtypes=ONE, batch=False),
    C("prod", (x(2, 3),), lambda x, axis, dtype: np.prod(np.trunc(x), axis), {"axis": 1, "dtype": "int32"}),
    *(C(name, (x(2, 3, 4),), getattr(np, name), dtypes=ALL) for name in ("argmax", "argmin")),
    *(C(name, (x(2, 3, 4),), getattr(np, name), {"axis": 1, "keepdims": True}) for name in ("argmax", "argmin")),
    C("argmax", (v(1, 3, 3, 2),), np.argmax),
    *(C(name, (x(2, 5),), _flat_or(getattr(np, name)), dtypes=NUMBERS) for name in ("sort", "argsort")),
    *(C(name, (x(3, 2),), _flat_or(getattr(np, name)), {"axis": 0}) for name in ("sort", "argsort")),
    *(C(name, (x(2, 3),), _flat_or(getattr(np, name)), {"axis": None}) for name in ("sort", "argsort")),
    C("argsort", (v(2, 1, 2, 1),), _flat_or(np.argsort)),
    C("sort", (v(2, nan, -inf, 1),), _flat_or(np.sort), gradient=False),
    C("top_k", (x(2, 5), 3), _top_k, dtypes=NUMBERS),
    C("top_k", (v(1, 3, 3, 2), 2), _top_k, gradient=False),
    C("in_top_k", (ints(4, high=5), x(4, 5), 2), _in_top_k),
    C("in_top_k", (np.array([-1, 5]), x(2, 5), 5), lambda *a: np.array([False, False]), label="targets outside"),
    C("cumsum", (x(2, 3),), np.cumsum, dtypes=ALL),
    C("cumsum", (x(2, 3),), np.cumsum, {"axis": -1}, dtypes=ALL),
    C("cumsum", (x(2, 3),), lambda x, axis, dtype: np.cumsum(x, axis), {"axis": 1, "dtype": "float32"}, dtypes=ALL),
    C("cumprod", (x(2, 3),), np.cumprod, dtypes=ALL),
    C("cumprod", (x(2, 3),), np.cumprod, {"axis": 0}),
    C("count_nonzero", (x(2, 3, low=-1, high=2),), np.count_nonzero, dtypes=ALL),
    C("count_nonzero", (x(2, 3, low=-1, high=2),), np.count_nonzero, {"axis": 1}, dtypes=ALL),
    C("norm", (x(2, 3, 4),), lambda x, axis: np.linalg.norm(x, axis=axis), {"axis": -1}, dtypes=NUMBERS),
    C("norm", (x(2, 3),), lambda x: np.linalg.norm(x)),
    *(
        C("norm", (x(2, 3),), np.linalg.norm, {"ord": o, "axis": 1, "keepdims": True}, label=f"{o}")
        for o in (1, 2, 3, inf)
    ),
    C("norm", (x(3, 4),), np.linalg.norm, {"ord": "fro", "axis": (0, 1)}, batch=False, dtypes=ONE),
    C("moments", (x(2, 3, 4), [0, 2]), _moments),
    C("moments", (x(2, 3, 4), (1,)), _moments, {"keepdims": True}),
    C("softmax", (x(2, 3),), lambda x: special.softmax(x, -1), dtypes=NUMBERS),
    C("softmax", (x(2, 3, 4),), special.softmax, {"axis": (1, 2)}),
    C("softmax", (x(2, 3),), special.softmax, {"axis": None}),
    C("log_softmax", (x(2, 3),), lambda x: special.log_softmax(x, -1), dtypes=NUMBERS),
    C("log_softmax", (x(2, 3),), special.log_softmax, {"axis": 0}),
    C("sparsemax", (x(2, 5),), oracles.sparsemax),
    C("sparsemax", (x(5, 2),), oracles.sparsemax, {"axis": 0}),
]

CASES = [*REDUCTIONS]
