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


def _reduction(names: str, few: bool = False, **options: Any) -> list[Case]:
    """Cases of reductions; `few` for those made of others that have them all."""
    found = []
    for name in names.split():
        oracle = options.get("oracle") or getattr(np, name)
        rest = {"dtypes": ALL, **{k: value for k, value in options.items() if k != "oracle"}}
        found += [
            C(name, (x(2, 3, 4),), oracle, {"axis": -1}, **rest),
            C(name, (x(2, 3, 4),), oracle, {"axis": (0, -1), "keepdims": True}, **rest | {"dtypes": ONE}),
        ]
        if few:
            continue
        found += [
            C(name, (x(2, 3, 4),), oracle, **rest),
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

INFINITE = np.array([[nan, -inf, -inf], [inf, nan, inf], [nan, inf, -inf]])
HOLES = np.array([[1.0, nan, 3, -2], [nan, nan, nan, nan], [0.5, -inf, inf, nan]])
SOME_HOLES = np.array([[1.0, nan, 3, -2, 0.5], [2, 1, nan, nan, 4]])


def _quantile(name: str) -> Callable[..., Any]:
    def oracle(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
        return getattr(np, name)(x, q, axis, method=method, keepdims=keepdims)

    return oracle


def _nan_arg(name: str) -> Callable[..., Any]:
    def oracle(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        filled = np.where(np.isnan(x), -inf if name == "argmax" else inf, np.clip(x, -1e300, 1e300))
        empty = np.isnan(x).all(axis, keepdims=keepdims)
        return np.where(empty, -1, getattr(np, name)(filled, axis, keepdims=keepdims))

    return oracle


def _segments(fn: Callable[..., Any], initial: float) -> Callable[..., Any]:
    """One segment at a time."""

    def oracle(data: Any, ids: Any, num_segments: int) -> Any:
        first = np.full((1, *data.shape[1:]), initial)
        return np.stack([fn(np.concatenate([first, data[ids == i]]), 0) for i in range(num_segments)])

    return oracle


def _cdist(x: Any, y: Any) -> Any:
    return np.sqrt(((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1))


def _average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    return np.average(x, axis, weights)


def _histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    counts, edges = np.histogram(x, bins, range)
    return counts.astype("float64"), edges


IDS = np.array([2, 0, 2, -1, 4, 2], "int32")
SAME_IDS = np.array([1, 1, 1, 1, 1, 1], "int32")

STATISTICS = [
    *_reduction("amax amin", few=True),
    *_reduction("ptp", few=True, dtypes=NUMBERS),
    *(
        C(name, (x(3, 0),), getattr(np, name), {"axis": axis}, dtypes=ONE)
        for name in ("mean", "var", "std", "median", "nanmean", "nanstd", "nansum", "nanprod")
        for axis in (0, 1)
    ),
    C("var", (v(1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3),), np.var, dtypes=ONE, gradient=False, label="large offset"),
    C("nanvar", (v(1e4, 1e4 + 1, nan, 1e4 + 3),), np.nanvar, dtypes=ONE, gradient=False, label="large offset"),
    *_reduction("nanmax nanmin nansum nanprod nanmean nanvar nanstd", few=True),
    *(
        C(name, (HOLES,), getattr(np, name), options, dtypes=ONE, gradient=False)
        for name in ("nanmax", "nanmin", "nansum", "nanprod", "nanmean", "nanvar")
        for options in ({"axis": 1}, {"axis": -1, "keepdims": True})
    ),
    *(
        C(name, (SOME_HOLES,), getattr(np, name), {"axis": 1}, label="some holes")
        for name in ("nanmax", "nanmin", "nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmedian")
    ),
    *(C(f"nan{n}", (x(2, 3, 4),), getattr(np, n), {"axis": 1}, dtypes=ALL) for n in ("argmax", "argmin")),
    *(
        C(f"nan{n}", (a,), _nan_arg(n), options, dtypes=ONE, label=f"{label} {options}")
        for n in ("argmax", "argmin")
        for a, label in ((HOLES, "holes"), (INFINITE, "infinities"))
        for options in ({}, {"axis": 1}, {"axis": 0, "keepdims": True})
    ),
    *(
        C(name, (a,), getattr(np, name), options, dtypes=d)
        for name in ("nancumsum", "nancumprod")
        for a, options, d in ((x(2, 3), {}, ALL), (SOME_HOLES, {"axis": 1}, FLOATS))
    ),
    *_reduction("median", few=True, oracle=np.median),
    *_reduction("nanmedian", few=True, oracle=np.nanmedian),
    C("median", (v(1, nan, 2),), np.median, gradient=False),
    C("median", (v(-inf, inf, inf, 1),), np.median, gradient=False),
    C("median", (v(3e38, 3e38),), np.median, dtypes=ONE, gradient=False),
    *(
        C(f"{nan_}{name}", (x(3, 5), q, axis), _quantile(f"{nan_}{name}"), options, dtypes=d)
        for nan_ in ("", "nan")
        for name, q, axis, options, d in (
            ("quantile", 0.3, None, {}, NUMBERS),
            ("quantile", [0.1, 0.5, 1.0], 1, {"keepdims": True}, FLOATS),
            ("quantile", [[0.0, 0.7]], (0, 1), {}, ONE),
            ("percentile", 30, 0, {}, NUMBERS),
            ("percentile", [10, 62.5], -1, {"method": "nearest"}, ONE),
        )
    ),
    *(
        C(name, (x(3, 6), [0.0, 0.1, 0.25, 0.5, 0.7, 0.9, 1.0], 1, m), _quantile(name), dtypes=("float32", "int32"))
        for name in ("quantile", "nanquantile")
        for m in ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")
    ),
    *(
        C(
            "quantile",
            (x(4), [0.1, 0.5, 0.9], 0, m),
            _quantile("quantile"),
            dtypes=ONE,
            label=f"{m} of four",
            batch=False,
        )
        for m in ("nearest", "inverted_cdf", "midpoint")
    ),
    C("nanquantile", (SOME_HOLES, [0.2, 0.5, 0.75], 1), _quantile("nanquantile"), label="some holes"),
    C(
        "quantile",
        (v(1, inf, -inf, 2, 2), [0.0, 0.5, 0.75, 0.9, 1.0]),
        lambda x, q: np.array([-inf, 2, 2, inf, inf]),
        dtypes=ONE,
        gradient=False,
    ),
    C("average", (x(2, 3),), _average, dtypes=ALL),
    C("average", (x(2, 3),), _average, {"axis": 1}),
    C("average", (x(2, 3), 1, x(3, low=0.5)), _average, label="along an axis"),
    C("average", (x(2, 3), None, x(2, 3, low=0.5)), _average, label="of all"),
    C("average", (x(2, 3, 4), (2, 0), x(4, 2, low=0.5)), _average, dtypes=ONE, label="along two axes", batch=False),
    C("corrcoef", (x(3, 6),), np.corrcoef, dtypes=NUMBERS),
    C("corrcoef", (v([1e4, 1e4 + 1, 1e4 + 3], [1, 2, 5]),), lambda x: np.corrcoef(x), dtypes=ONE, gradient=False),
    C("corrcoef", (v([1, 1, 1], [1, 2, 5]),), np.corrcoef, dtypes=ONE, gradient=False, label="constant row"),
    C("corrcoef", (x(5),), np.corrcoef, dtypes=ONE, gradient=False, batch=False),
    C("trapezoid", (x(2, 5),), np.trapezoid, dtypes=NUMBERS),
    C("trapezoid", (x(3, 2), None, 0.5, 0), np.trapezoid, dtypes=ONE),
    C("trapezoid", (x(2, 4), x(4)), np.trapezoid),
    C("trapezoid", (x(4, 2), x(4, 2), 1.0, 0), np.trapezoid, dtypes=ONE, batch=False),
    C("cdist", (x(3, 4), x(5, 4)), _cdist, dtypes=NUMBERS),
    C("cdist", (x(2, 3, 4), x(2, 5, 4)), _cdist),
    C("cdist", (x(2, 3, 4), x(1, 5, 4)), _cdist, dtypes=ONE),
    C("cdist", (v([1e4, 1], [1e4, 2]), v([1e4 + 0.5, 1])[None]), _cdist, dtypes=ONE, gradient=False, batch=False),
    *(
        C("bincount", args, np.bincount, options, compiled=False, symbolic=False, gradient=False, dtypes=ONE)
        for args, options in (
            ((ints(8, high=5),), {}),
            ((ints(8, high=5),), {"minlength": 9}),
            ((ints(8, high=5), x(8)), {}),
            ((ints(0),), {"minlength": 2}),
        )
    ),
    C(
        "bincount",
        (ints(8, high=5),),
        np.bincount,
        call=lambda ops, x: ops.bincount(x, sparse=True),
        compiled=False,
        symbolic=False,
        dtypes=ONE,
        label="sparse",
    ),
    C(
        "bincount",
        (ints(2, 6, high=5),),
        lambda x, minlength: np.stack([np.bincount(row, minlength=minlength) for row in x]),
        {"minlength": 6},
        compiled=False,
        symbolic=False,
        dtypes=ONE,
    ),
    C("digitize", (x(2, 5), v(-1.5, 0, 0.25, 1)), np.digitize, dtypes=NUMBERS, batch=False),
    C("digitize", (v(1, 2, nan, -inf, inf, 3), v(3, 2, 1)), np.digitize, dtypes=ONE, batch=False),
    C("digitize", (v(1, 2, nan, -inf, inf, 3), v(1, 2, 3)), np.digitize, dtypes=FLOATS, batch=False),
    C("digitize", (x(2, 5), np.array([-1, 0, 1], "int32")), np.digitize, dtypes=NUMBERS, batch=False),
    C("histogram", (v(1, 2, 2.5, 4, 3, 3, 1.25),), _histogram, {"bins": 4}, gradient=False, batch=False),
    C("histogram", (x(4, 5), 6), _histogram, dtypes=ONE, gradient=False, batch=False),
    C("histogram", (v(1, 2, 3, 4, 5), 2, (2, 4)), _histogram, dtypes=NUMBERS, gradient=False, batch=False),
    C("histogram", (v(1, 1, 1), 3), _histogram, dtypes=NUMBERS, gradient=False, batch=False),
    C("histogram", (x(0), 3), _histogram, dtypes=ONE, batch=False),
    *(
        C(f"segment_{name}", (x(6, 2), ids, 4), _segments(fn, initial), dtypes=d, label=label, batch=False)
        for name, fn, initial in (("sum", np.sum, 0), ("prod", np.prod, 1))
        for ids, label, d in ((IDS, "some", NUMBERS), (SAME_IDS, "one", ONE))
    ),
    *(
        C(f"segment_{name}", (x(6, 2), ids, 4), _segments(getattr(np, name), initial), label=label, **options)
        for name, initial in (("max", -inf), ("min", inf))
        for ids, label, options in (
            (IDS, "some", {"batch": False, "gradient": False}),
            (np.array([1, 0, 1, 2, 3, 1], "int32"), "each", {"batch": False, "dtypes": ONE}),
        )
    ),
    *(
        C(f"segment_{name}", (x(6),), oracle, call=call, batch=False, dtypes=("int32", "bool"))
        for name, oracle, call in (
            ("max", lambda x: np.max(x, keepdims=True), lambda ops, x: ops.segment_max(x, 0 * IDS, 1)),
            ("min", lambda x: np.min(x, keepdims=True), lambda ops, x: ops.segment_min(x, 0 * IDS, 1)),
        )
    ),
    C("segment_prod", (v(2, 0, 3, 0, 5, 1), IDS, 3), _segments(np.prod, 1), batch=False, label="zeros"),
    C("segment_sum", (x(0, 2), ints(0), 3), _segments(np.sum, 0), batch=False, dtypes=ONE),
    C("segment_prod", (x(0, 2), ints(0), 3), _segments(np.prod, 1), batch=False, dtypes=ONE),
]

CASES = [*REDUCTIONS, *STATISTICS]
