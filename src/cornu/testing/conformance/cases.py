"""The table of cases: every op of `cornu.ops`, with its oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from cornu.testing.conformance import oracles
from cornu.testing.conformance.case import ALL, FLOATS, HALVES, NUMBERS, Case, bools, ints, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan


def _expit(x: Any) -> Any:
    return special.expit(np.asarray(x, "float64"))


def _unary(names: str, oracle: Callable[..., Any], low: float = -2, high: float = 2, **options: Any) -> list[Case]:
    """The ops called `names` on numbers within the domain."""
    options = {"dtypes": ALL, **options}

    def of_numbers(x: np.ndarray) -> Any:
        return oracle(x.astype("float64") if x.dtype == bool else x)  # NumPy's own sine of a bool has 16 bits

    return [C(name, (x(2, 3, low=low, high=high),), of_numbers, **options) for name in names.split()]


UNARY = [
    *_unary("abs absolute", np.abs),
    *_unary("arccos", np.arccos, -0.9, 0.9),
    *_unary("arccosh", np.arccosh, 1.1, 5),
    *_unary("arcsin", np.arcsin, -0.9, 0.9),
    *_unary("arcsinh", np.arcsinh),
    *_unary("arctan", np.arctan),
    *_unary("arctanh", np.arctanh, -0.9, 0.9, dtypes=FLOATS),
    *_unary("ceil", np.ceil),
    *_unary("cos", np.cos),
    *_unary("cosh", np.cosh),
    *_unary("erf", special.erf),
    *_unary("erfinv", special.erfinv, -0.9, 0.9, dtypes=FLOATS),
    *_unary("exp", np.exp),
    *_unary("expm1", np.expm1),
    *_unary("floor", np.floor),
    *_unary("isfinite", np.isfinite),
    *_unary("isinf", np.isinf),
    *_unary("isnan", np.isnan),
    *_unary("log", np.log, 0.1, 5, dtypes=NUMBERS),
    *_unary("log10", np.log10, 0.1, 5, dtypes=NUMBERS),
    *_unary("log1p", np.log1p, -0.5, 5),
    *_unary("log2", np.log2, 0.1, 5, dtypes=NUMBERS),
    *_unary("logical_not", np.logical_not, -1, 2),
    *_unary("negative", np.negative, dtypes=NUMBERS),
    *_unary("reciprocal", np.reciprocal, 0.5, 3, dtypes=FLOATS),
    *_unary("round", np.round, -3, 3, dtypes=NUMBERS),
    *_unary("rsqrt", lambda x: x**-0.5, 0.5, 5, dtypes=FLOATS),
    *_unary("sigmoid", _expit),
    *_unary("sign", np.sign, dtypes=NUMBERS),
    *_unary("sin", np.sin),
    *_unary("sinh", np.sinh),
    *_unary("sqrt", np.sqrt, 0.1, 5),
    *_unary("square", np.square, dtypes=NUMBERS),
    *_unary("stop_gradient", lambda x: x, gradient=False),
    *_unary("tan", np.tan, -1.2, 1.2),
    *_unary("tanh", np.tanh),
    # activations
    *_unary("celu", lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)), dtypes=NUMBERS),
    *_unary("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), dtypes=NUMBERS),
    *_unary("hard_shrink", lambda x: np.where(np.abs(x) > 0.5, x, 0), dtypes=FLOATS),
    *_unary("hard_sigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1), -5, 5, dtypes=FLOATS),
    *_unary("hard_silu", lambda x: x * np.clip(x / 6 + 0.5, 0, 1), -5, 5, dtypes=FLOATS),
    *_unary("hard_tanh", lambda x: np.clip(x, -1, 1), dtypes=NUMBERS),
    *_unary("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x), dtypes=FLOATS),
    *_unary("log_sigmoid", lambda x: -np.logaddexp(0, -np.asarray(x, float)), -5, 5, dtypes=NUMBERS),
    *_unary("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), -5, 5, dtypes=NUMBERS),
    *_unary("relu", lambda x: np.maximum(x, 0), dtypes=NUMBERS),
    *_unary("relu6", lambda x: np.clip(x, 0, 6), -2, 9, dtypes=NUMBERS),
    *_unary("selu", lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))),
    *_unary("silu", lambda x: x * _expit(x), -5, 5, dtypes=NUMBERS),
    *_unary("soft_shrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), dtypes=FLOATS),
    *_unary("softplus", lambda x: np.logaddexp(0, x), -5, 5, dtypes=NUMBERS),
    *_unary("softsign", lambda x: x / (1 + np.abs(x)), dtypes=NUMBERS),
    *_unary("sparse_plus", lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)), dtypes=FLOATS),
    *_unary("sparse_sigmoid", lambda x: np.clip((x + 1) / 2, 0, 1), dtypes=FLOATS),
    *_unary("squareplus", lambda x: (x + np.sqrt(x * x + 4)) / 2, dtypes=NUMBERS),
    *_unary("tanh_shrink", lambda x: x - np.tanh(x), dtypes=NUMBERS),
]


def _gelu(x: Any, approximate: bool = True) -> Any:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    return x / 2 * (1 + np.tanh(inner)) if approximate else x * special.ndtr(x)


def _threshold(x: Any, threshold: float, default_value: float) -> Any:
    return np.where(x > threshold, x, default_value)


UNARY_WITH_ARGUMENTS = [
    C("cast", (x(2, 3), "float16"), lambda x, dtype: x, dtypes=ALL),
    C("cast", (x(2, 3), "int32"), lambda x, dtype: np.trunc(x), dtypes=ALL),
    C("cast", (x(2, 3), "bool"), lambda x, dtype: x != 0, dtypes=ALL),
    C("celu", (x(2, 3),), lambda x, alpha: np.maximum(x, 0) + 2 * np.expm1(np.minimum(x, 0) / 2), {"alpha": 2.0}),
    C("clip", (x(2, 3), -1, 1), np.clip, dtypes=NUMBERS),
    C("clip", (x(2, 3), x(3, low=-1, high=0), 1), np.clip),
    C("elu", (x(2, 3),), lambda x, alpha: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0))), {"alpha": 0.5}),
    C("gelu", (x(2, 3),), _gelu, dtypes=NUMBERS),
    C("gelu", (x(2, 3),), _gelu, {"approximate": False}, dtypes=NUMBERS),
    C("glu", (x(2, 4),), lambda x: x[:, :2] * _expit(x[:, 2:])),
    C("glu", (x(4, 3),), lambda x, axis: x[:2] * _expit(x[2:]), {"axis": 0}, batch=False),
    C("hard_shrink", (x(2, 3), 1.0), lambda x, t: np.where(np.abs(x) > t, x, 0)),
    C("leaky_relu", (x(2, 3), 0.1), lambda x, slope: np.where(x > 0, x, slope * x)),
    C("nan_to_num", (v(1, nan, 2),), np.nan_to_num, gradient=False),
    C("nan_to_num", (v(nan, inf, -inf, 3), 1.0, 2.0, -2.0), lambda *a: np.array([1.0, 2, -2, 3]), gradient=False),
    C("nan_to_num", (v(inf, -inf),), lambda x: np.finfo("float32").max * np.sign(x), dtypes=ONE, gradient=False),
    C("round", (v(0.5, 1.5, -0.5, 2.5, 1.25),), np.round, gradient=False),
    C("round", (v(0.126, 1.5, -3.257), 2), np.round, dtypes=ONE),
    C("soft_shrink", (x(2, 3), 1.0), lambda x, t: np.sign(x) * np.maximum(np.abs(x) - t, 0)),
    C("squareplus", (x(2, 3), 1.0), lambda x, b: (x + np.sqrt(x * x + b)) / 2),
    C("threshold", (x(2, 3), 0.5, -1.0), _threshold),
]

# Where formulas written carelessly go wrong.
EDGES = [
    *(C(name, (x(0, 3),), getattr(np, name), dtypes=ONE, batch=False) for name in "exp negative isnan square".split()),
    *(C(name, (x(),), getattr(np, name), dtypes=ONE) for name in "exp negative isnan square".split()),
    C("erf", (v(1e-30, 1e-4, 0.5, 1, 2, 3.5, 6, -0.8, -inf, inf, nan),), special.erf, tolerance=0.1, gradient=False),
    C("erfinv", (v(1e-6, 0.5, 0.9, 0.999, -0.25, 1, -1),), special.erfinv, dtypes=ONE, gradient=False),
    C("exp", (v(-1e4, -inf, 0, inf, nan),), np.exp, gradient=False),
    C("expm1", (v(1e-20, 1e-7, -1e-7, -100.0),), np.expm1, dtypes=ONE, tolerance=1e-10),
    C("floor", (v(-0.0, -0.5, inf, nan),), np.floor, gradient=False),
    C("gelu", (v(-1e4, -30, 0, 30, 1e4),), _gelu),
    C("gelu", (v(-1e4, -30, 0, 30, 1e4),), _gelu, {"approximate": False}),
    C("isfinite", (v(nan, inf, -inf, 1),), np.isfinite),
    C("isinf", (v(nan, inf, -inf, 1),), np.isinf),
    C("isnan", (v(nan, inf, -inf, 1),), np.isnan),
    C("log", (v(0, -1, inf, nan, 1),), np.log, gradient=False),
    C("log1p", (v(1e-20, 1e-7, -1e-7),), np.log1p, dtypes=ONE, tolerance=1e-10),
    C("log_sigmoid", (v(-1e4, -100, 0, 100, 1e4),), lambda x: -np.logaddexp(0, -x)),
    C("logaddexp", (v(-inf, inf, -inf, 1e4, 3), v(-inf, inf, 1, 1e4, nan)), np.logaddexp, gradient=False),
    C("logsumexp", (v([1e4, 1e4, -1e4]),), special.logsumexp, dtypes=HALVES),
    C("logsumexp", (v([-inf, -inf]),), special.logsumexp, gradient=False),
    C("logsumexp", (v([inf, 1.0]),), special.logsumexp, gradient=False),
    C("logsumexp", (v([nan, 1.0]),), special.logsumexp, gradient=False),
    C("log_softmax", (v([[1e4, 0, -1e4]]),), lambda x: special.log_softmax(x, -1)),
    C("max", (v(1, nan, 2),), np.max, gradient=False),
    C("maximum", (v(nan, 1, -0.0), v(1, nan, 0.0)), np.maximum, gradient=False),
    C("mish", (v(-1e4, 0, 1e4),), lambda x: x * np.tanh(np.logaddexp(0, x)), dtypes=HALVES),
    C("mod", (v(5, -5, 5, -5, 5.5), v(3, 3, -3, -3, inf)), np.mod, gradient=False),
    C("multiply", (np.array([2**31 - 1], "int32"), np.array([2], "int32")), np.multiply, label="overflow wraps"),
    C("negative", (v(0.0, -0.0, inf),), np.negative, gradient=False),
    C("norm", (v([3e30, 4e30]),), lambda x: np.float64(5e30), dtypes=ONE, gradient=False),
    C("norm", (v([3e-30, 4e-30]),), lambda x: np.float64(5e-30), dtypes=ONE, tolerance=1e-30, gradient=False),
    C("norm", (v([0.0, 0.0]),), np.linalg.norm, gradient=False),
    C("norm", (v([inf, 1.0]),), np.linalg.norm, gradient=False),
    C("power", (v(0, 0, 2, -2, 4), v(0, 1, -1, 2, 0.5)), np.power, gradient=False),
    C("relu", (v(nan, -0.0, inf, -inf),), lambda x: np.maximum(x, 0), gradient=False),
    C("rsqrt", (v(0, inf, 1e-30),), lambda x: x**-0.5, dtypes=ONE, gradient=False),
    C("sigmoid", (v(-1e4, -80, 0, 80, 1e4),), _expit),
    C("sign", (v(nan, -0.0, inf, -inf),), np.sign, gradient=False),
    C("silu", (v(-1e4, -30, 0, 1e4),), lambda x: x * _expit(x)),
    C("softmax", (v([[1e4, 0, -1e4]]),), lambda x: special.softmax(x, -1), dtypes=HALVES),
    C("softmax", (v([[-inf, 0, 1]]),), lambda x: special.softmax(x, -1), gradient=False),
    C("softplus", (v(-1e4, -100, 0, 100, 1e4),), lambda x: np.logaddexp(0, x)),
    C("std", (v(1e4, 1e4 + 1, 1e4 + 2),), np.std, dtypes=ONE, gradient=False),
    C("sum", (x(0, 3),), np.sum, {"axis": 0}, dtypes=ALL, batch=False),
    C("tanh", (v(-1e4, 0, 1e4, 1e-20),), np.tanh),
    C("var", (v(1e4, 1e4 + 1, 1e4 + 2),), np.var, dtypes=ONE),
    C("var", (v([7e4, 7e4]),), np.var, dtypes=("float32", "bfloat16")),
    C("mean", (v([6e4, 6e4]),), np.mean, dtypes=HALVES),
    C("where", (np.array([True, False]), v(1, 2), v(nan, 3)), np.where, gradient=False),
]


def _binary(names: str, dtypes: tuple[str, ...] = ALL, low: float = -2, high: float = 2, **options: Any) -> list[Case]:
    """Two arrays of one shape, of shapes to be broadcast, and an array with a Python number."""
    found = []
    for name in names.split():
        oracle = options.get("oracle") or getattr(np, name)
        rest = {k: value for k, value in options.items() if k != "oracle"}
        one = x(2, 3, low=low, high=high)
        found += [
            C(name, (one, x(2, 3, low=low + 0.1, high=high)), oracle, dtypes=dtypes, **rest),
            C(name, (one, x(4, 1, 3, low=low, high=high)), oracle, dtypes=ONE, batch=False, **rest),
            C(name, (one, 2), oracle, dtypes=FLOATS, **rest),
        ]
    return found


BINARY = [
    *_binary("add multiply maximum minimum"),
    *_binary("subtract", NUMBERS),
    *_binary("equal not_equal greater greater_equal less less_equal", low=-1, high=1.5),
    *_binary("logical_and logical_or logical_xor", low=-1, high=2, gradient=False),
    *_binary("arctan2", FLOATS, 0.5, 2),
    *_binary("divide true_divide", NUMBERS, 1, 4),
    *_binary("floor_divide", NUMBERS, 1, 6, gradient=False),
    *_binary("mod", NUMBERS, 1, 6, gradient=False),
    *_binary("logaddexp", NUMBERS, oracle=lambda a, b: np.logaddexp(np.asarray(a, float), b)),
    *_binary("power", FLOATS, 0.5, 2),
    C("power", (ints(2, 3), 2), np.power, label="integers"),
    C("add", (x(2, 3), 0.5), np.add, dtypes=NUMBERS),
    C("multiply", (x(2, 3), True), np.multiply, dtypes=NUMBERS),
    C("where", (bools(2, 3), x(2, 3), x(2, 3)), np.where, dtypes=ALL),
    C("where", (bools(2, 1), x(3), 0.0), np.where, batch=False),
]


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


def _one_hot(x: Any, n: int, axis: int = -1, dtype: Any = None) -> Any:
    hot = (np.asarray(x)[..., None] == np.arange(n)).astype(float)
    return np.moveaxis(hot, -1, axis)


def _multi_hot(x: Any, n: int) -> Any:
    return (np.asarray(x)[..., None] == np.arange(n)).any(-2).astype(float)


def _batch_norm(x: Any, mean: Any, variance: Any, axis: int, offset: Any = 0.0, scale: Any = 1.0) -> Any:
    form = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    mean, variance, offset, scale = (
        np.broadcast_to(a, variance.shape).reshape(form) for a in (mean, variance, offset, scale)
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset


def _layer_norm(x: Any, gamma: Any = 1.0, beta: Any = 0.0, axis: Any = -1) -> Any:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-7) * gamma + beta


def _rms_norm(x: Any, scale: Any = 1.0, axis: Any = -1) -> Any:
    return x / np.sqrt((x * x).mean(axis, keepdims=True) + 1e-7) * scale


def _normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    return x / np.maximum(np.linalg.norm(x, order, axis, keepdims=True), 1e-7)


def _crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    logs = special.log_softmax(output, axis) if from_logits else np.log(output / output.sum(axis, keepdims=True))
    return -(target * np.clip(logs, np.log(1e-7), None) if not from_logits else target * logs).sum(axis)


def _sparse_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    target = target.squeeze(-1) if target.ndim == output.ndim else target
    hot = np.moveaxis(target[..., None] == np.arange(output.shape[axis]), -1, axis)
    return _crossentropy(hot, output, from_logits, axis)


def _binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    if from_logits:
        return np.logaddexp(0, output) - target * output
    output = np.clip(output, 1e-7, 1 - 1e-7)
    return -target * np.log(output) - (1 - target) * np.log1p(-output)


def _positive(*shape: int) -> Any:
    return x(*shape, low=0.1, high=0.9)


NETWORKS = [
    C("one_hot", (ints(2, 3), 4), _one_hot),
    C("one_hot", (ints(2, 3), 4), _one_hot, {"axis": 1, "dtype": "int32"}),
    C("one_hot", (np.array([-1, 0, 5]), 3), _one_hot, label="outside"),
    C("multi_hot", (ints(2, 3), 4), _multi_hot),
    C("multi_hot", (ints(3), 4), _multi_hot, batch=False),
    C("batch_normalization", (x(2, 3, 4), x(4), x(4, low=0.5), -1), _batch_norm),
    C("batch_normalization", (x(2, 3, 4), x(3), x(3, low=0.5), 1, x(3), x(3)), _batch_norm, tolerance=2),
    C("layer_normalization", (x(2, 3, 4),), _layer_norm, dtypes=HALVES),
    C("layer_normalization", (x(2, 3, 4), x(4), x(4)), _layer_norm, tolerance=2),
    C("layer_normalization", (x(2, 3, 4),), _layer_norm, {"axis": (1, 2)}),
    C("rms_normalization", (x(2, 3, 4),), _rms_norm),
    C("rms_normalization", (x(2, 3, 4), x(4)), _rms_norm),
    C("normalize", (x(2, 3),), _normalize),
    C("normalize", (x(2, 3),), _normalize, {"axis": 0, "order": 1}),
    C("normalize", (v([[0.0, 0.0]]),), _normalize, gradient=False, dtypes=HALVES),
    *(
        C("categorical_crossentropy", (_positive(2, 3), _positive(2, 3)), _crossentropy, {"from_logits": logits})
        for logits in (False, True)
    ),
    C("categorical_crossentropy", (_positive(2, 3, 4), _positive(2, 3, 4)), _crossentropy, {"axis": 1}),
    C("categorical_crossentropy", (v([[1.0, 0]]), v([[1e4, -1e4]])), _crossentropy, {"from_logits": True}),
    *(
        C("sparse_categorical_crossentropy", (ints(*s), _positive(2, 3)), _sparse_crossentropy, {"from_logits": logits})
        for s in ((2,), (2, 1))
        for logits in (False, True)
    ),
    C("sparse_categorical_crossentropy", (ints(2, 4), _positive(2, 3, 4)), _sparse_crossentropy, {"axis": 1}),
    C(
        "sparse_categorical_crossentropy",
        (np.array([3, -1]), _positive(2, 3)),
        lambda *a: np.array([nan, nan]),
        gradient=False,
        label="labels outside",
    ),
    C("binary_crossentropy", (_positive(2, 3), _positive(2, 3)), _binary_crossentropy),
    C("binary_crossentropy", (_positive(2, 3), x(2, 3)), _binary_crossentropy, {"from_logits": True}),
    C("binary_crossentropy", (v(0, 1, 1), v(-1e4, 1e4, -1e4)), _binary_crossentropy, {"from_logits": True}),
    C("dot_product_attention", (x(2, 3, 4, 5), x(2, 6, 4, 5), x(2, 6, 4, 5)), oracles.attention),
    C(
        "dot_product_attention",
        (x(2, 3, 4, 5), x(2, 3, 2, 5), x(2, 3, 2, 5), x(1, 4, 3, 3), bools(2, 1, 3, 3)),
        oracles.attention,
        {"is_causal": False, "scale": 0.3},
        label="grouped, bias, mask",
        batch=False,
    ),
    C(
        "dot_product_attention",
        (x(2, 3, 4, 5), x(2, 3, 4, 5), x(2, 3, 4, 5)),
        oracles.attention,
        {"is_causal": True, "attn_logits_soft_cap": 2.0},
    ),
]
CONVOLUTIONS = [
    *(
        C("conv", (x(4, *size, 4), x(*window, depth, 6)), oracles.conv, options, dtypes=ONE if options else FLOATS)
        for size, window, depth, options in (
            ((7,), (3,), 4, {}),
            ((7,), (3,), 4, {"padding": "causal", "dilation_rate": 2}),
            ((7,), (2,), 2, {"padding": "same", "strides": 2}),
            ((6, 5), (3, 2), 4, {"padding": "same"}),
            ((6, 5), (1, 1), 4, {"strides": 2}),
            ((6, 5), (3, 3), 2, {"strides": (2, 1), "padding": "same"}),
            ((7, 7), (3, 2), 4, {"dilation_rate": (2, 1), "padding": "same"}),
            ((3, 4, 3), (2, 2, 2), 4, {"padding": "same", "strides": (1, 2, 1)}),
        )
    ),
    C("conv", (x(2, 4, 6, 5), x(3, 2, 4, 3)), oracles.conv, {"data_format": "channels_first"}, dtypes=ONE),
    C("conv", (ints(2, 5, 5, 2), ints(3, 3, 2, 2)), oracles.conv),
    *(
        C("depthwise_conv", (x(4, *size, 3), x(*window, 3, 2)), oracles.depthwise_conv, options, dtypes=dtypes)
        for size, window, options, dtypes in (
            ((6,), (3,), {}, FLOATS),
            ((5, 5), (3, 3), {"padding": "same", "strides": 2}, ONE),
            ((6, 6), (2, 3), {"dilation_rate": (2, 1)}, ONE),
        )
    ),
    *(
        C("conv_transpose", (x(4, *size, 3), x(*window, 4, 3)), oracles.conv_transpose, options, dtypes=dtypes)
        for size, window, options, dtypes in (
            ((4,), (3,), {"strides": 2}, FLOATS),
            ((4,), (2,), {"strides": 3, "padding": "same"}, ONE),
            ((3, 4), (3, 3), {"strides": 2, "padding": "same"}, ONE),
            ((3, 4), (3, 3), {"strides": 2, "padding": "same", "output_padding": 1}, ONE),
            ((3, 3), (2, 2), {"dilation_rate": 2}, ONE),
            ((2, 2, 3), (2, 2, 2), {"strides": 2}, ONE),
        )
    ),
    *(
        C(name, (x(2, *size, 3), window), getattr(oracles, name), options, dtypes=dtypes)
        for name in ("max_pool", "average_pool")
        for size, window, options, dtypes in (
            ((6,), 2, {}, NUMBERS),
            ((5, 6), (3, 2), {"padding": "same"}, ONE),
            ((5, 6), 2, {"strides": (2, 1)}, ONE),
            ((4, 3, 4), 2, {"padding": "same"}, ONE),
            ((9, 8), 6, {"strides": 2}, ONE),
        )
    ),
    C("max_pool", (x(2, 3, 4, 4), 2), oracles.max_pool, {"data_format": "channels_first"}, dtypes=ONE),
]


def _sum_of_powers(ops: Any, x: Any) -> Any:
    return ops.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s + x**2), (0, ops.zeros_like(x)))[1]


CONTROL = [
    C(
        "cond",
        (x(2, 3),),
        np.abs,
        call=lambda ops, x: ops.cond(ops.sum(x) > 0, lambda: ops.abs(x), lambda: ops.abs(x)),
        symbolic=False,
    ),
    C(
        "cond",
        (v(1, 2), v(3, 4)),
        np.subtract,
        call=lambda ops, a, b: ops.cond(ops.sum(a) > 9, ops.add, ops.subtract, a, b),
        label="operands",
        symbolic=False,
    ),
    C("while_loop", (x(2, 3),), lambda x: 3 * x**2, call=_sum_of_powers, gradient=False, symbolic=False),
    C(
        "while_loop",
        (x(2),),
        lambda x: x + 2,
        call=lambda ops, x: ops.while_loop(lambda v: True, lambda v: v + 1, x, maximum_iterations=2),
        gradient=False,
        symbolic=False,
        label="at most 2",
    ),
    C(
        "fori_loop",
        (x(2, 3),),
        lambda x: x + 9,
        call=lambda ops, x: ops.fori_loop(2, 5, lambda i, v: v + ops.cast(i, v.dtype), x),
        gradient=False,
        symbolic=False,
    ),
    *(
        C(
            "scan",
            (x(4, 3),),
            lambda x, reverse: [x.sum(0), np.cumsum(x[::-1], 0)[::-1] if reverse else np.cumsum(x, 0)],
            {"reverse": reverse},
            call=lambda ops, x, reverse: ops.scan(
                lambda c, v: (c + v, c + v), ops.zeros_like(x[0]), x, reverse=reverse
            ),
            symbolic=False,
        )
        for reverse in (False, True)
    ),
]
# They differentiate, so a backend without gradients has no case of them to run.
DIFFERENTIATION = [
    C(
        "value_and_grad",
        (x(2, 3),),
        lambda x: [np.sum(x**3), 3 * x**2],
        call=lambda ops, x: ops.value_and_grad(lambda v: ops.sum(v**3))(x),
        symbolic=False,
        gradient=False,
    ),
    C(
        "grad",
        (x(2, 3),),
        np.cos,
        call=lambda ops, x: ops.grad(lambda v: ops.sum(ops.sin(v)))(x),
        symbolic=False,
        gradient=False,
    ),
]

CASES: list[Case] = [
    *UNARY,
    *UNARY_WITH_ARGUMENTS,
    *EDGES,
    *BINARY,
    *REDUCTIONS,
    *SHAPES,
    *CREATION,
    *PRODUCTS,
    *NETWORKS,
    *CONVOLUTIONS,
    *CONTROL,
    *DIFFERENTIATION,
]
