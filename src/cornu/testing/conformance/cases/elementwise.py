"""Element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from cornu.testing.conformance.case import ALL, FLOATS, HALVES, NUMBERS, Case, bools, ints, v, x

C = Case
ONE = ("float32",)
EDGE: dict[str, Any] = {"dtypes": ONE, "gradient": False}
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
    *_unary("angle", np.angle),
    *_unary("arccos", np.arccos, -0.9, 0.9),
    *_unary("arccosh", np.arccosh, 1.1, 5),
    *_unary("arcsin", np.arcsin, -0.9, 0.9),
    *_unary("arcsinh", np.arcsinh),
    *_unary("arctan", np.arctan),
    *_unary("arctanh", np.arctanh, -0.9, 0.9, dtypes=FLOATS),
    *(
        C(name, (d(2, 3),), np.invert, label=d.__name__)
        for name in ("bitwise_invert", "bitwise_not")
        for d in (ints, bools)
    ),
    *_unary("cbrt", np.cbrt, 0.1, 5),
    *_unary("ceil", np.ceil),
    *_unary("conj conjugate real", lambda x: x),
    *_unary("cos", np.cos),
    *_unary("cosh", np.cosh),
    *_unary("deg2rad", np.deg2rad, -300, 300),
    *_unary("erf", special.erf),
    *_unary("erfc", special.erfc),
    *_unary("erfinv", special.erfinv, -0.9, 0.9, dtypes=FLOATS),
    *_unary("exp", np.exp),
    *_unary("exp2", np.exp2),
    *_unary("expm1", np.expm1),
    *_unary("fabs", np.fabs),
    *_unary("floor", np.floor),
    *_unary("i0", special.i0),
    *_unary("imag", lambda x: 0 * x),
    *_unary("isfinite", np.isfinite),
    *_unary("isinf", np.isinf),
    *_unary("isnan", np.isnan),
    *_unary("isneginf", np.isneginf),
    *_unary("isposinf", np.isposinf),
    *_unary("isreal", np.isreal),
    *_unary("log", np.log, 0.1, 5, dtypes=NUMBERS),
    *_unary("log10", np.log10, 0.1, 5, dtypes=NUMBERS),
    *_unary("log1p", np.log1p, -0.5, 5),
    *_unary("log2", np.log2, 0.1, 5, dtypes=NUMBERS),
    *_unary("logical_not", np.logical_not, -1, 2),
    *_unary("negative", np.negative, dtypes=NUMBERS),
    *_unary("rad2deg", np.rad2deg),
    *_unary("reciprocal", np.reciprocal, 0.5, 3, dtypes=FLOATS),
    *_unary("round", np.round, -3, 3, dtypes=NUMBERS),
    *_unary("rsqrt", lambda x: x**-0.5, 0.5, 5, dtypes=FLOATS),
    *_unary("sigmoid", _expit),
    *_unary("sign", np.sign, dtypes=NUMBERS),
    *_unary("signbit", np.signbit, dtypes=(*NUMBERS, "float16")),
    *_unary("sin", np.sin),
    *_unary("sinc", np.sinc),
    *_unary("sinh", np.sinh),
    *_unary("sqrt", np.sqrt, 0.1, 5),
    *_unary("square", np.square, dtypes=NUMBERS),
    *_unary("stop_gradient", lambda x: x, gradient=False),
    *_unary("tan", np.tan, -1.2, 1.2),
    *_unary("tanh", np.tanh),
    *_unary("trunc", np.trunc, dtypes=NUMBERS),
    # activations
    *_unary("celu", lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)), dtypes=NUMBERS),
    *_unary("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), dtypes=NUMBERS),
    *_unary("hard_shrink", lambda x: np.where(np.abs(x) > 0.5, x, 0), dtypes=FLOATS),
    *_unary("hard_sigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1), -5, 5, dtypes=FLOATS),
    *_unary("hard_silu hard_swish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1), -5, 5, dtypes=FLOATS),
    *_unary("hard_tanh", lambda x: np.clip(x, -1, 1), dtypes=NUMBERS),
    *_unary("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x), dtypes=FLOATS),
    *_unary("log_sigmoid", lambda x: -np.logaddexp(0, -np.asarray(x, float)), -5, 5, dtypes=NUMBERS),
    *_unary("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), -5, 5, dtypes=NUMBERS),
    *_unary("relu", lambda x: np.maximum(x, 0), dtypes=NUMBERS),
    *_unary("relu6", lambda x: np.clip(x, 0, 6), -2, 9, dtypes=NUMBERS),
    *_unary("selu", lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))),
    *_unary("silu swish", lambda x: x * _expit(x), -5, 5, dtypes=NUMBERS),
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


def _saturated(x: Any, dtype: str) -> Any:
    limits = np.iinfo(dtype)
    return np.trunc(np.clip(x, limits.min, limits.max))


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
    C("saturate_cast", (x(2, 3, low=-300, high=300), "int8"), _saturated, dtypes=NUMBERS),
    C("saturate_cast", (x(2, 3, low=-9, high=9), "uint8"), _saturated, dtypes=ALL),
    C("saturate_cast", (x(2, 3), "bool"), lambda x, dtype: np.trunc(np.clip(x, 0, 1) + 0.999), dtypes=ONE),
    C("saturate_cast", (v(1e9, -inf, 2.5), "float16"), lambda x, dtype: x.clip(-65504, 65504), **EDGE),
    C("soft_shrink", (x(2, 3), 1.0), lambda x, t: np.sign(x) * np.maximum(np.abs(x) - t, 0)),
    C("squareplus", (x(2, 3), 1.0), lambda x, b: (x + np.sqrt(x * x + b)) / 2),
    C("threshold", (x(2, 3), 0.5, -1.0), _threshold),
    C("view", (x(2, 4), "int32"), lambda x, dtype: x.astype("float32").view(dtype), dtypes=ONE),
    C("view", (x(2, 4), "uint16"), lambda x, dtype: x.astype("float32").view(dtype), dtypes=ONE),
    C("view", (ints(2, 4, high=9), "float32"), lambda x, dtype: x.view(dtype)),
]


def _infinite(names: str, low: float, high: float, **options: Any) -> list[Case]:
    """The limits at -∞ and ∞."""
    limits = np.array([low, high])
    return [C(n, (v(-inf, inf),), lambda x, **_: limits, options, gradient=False) for n in names.split()]


def _squareplus(x: Any) -> Any:
    return np.where(x < 0, 2 / (np.hypot(x, 2) - x), (x + np.hypot(x, 2)) / 2)


def _inverse(name: str) -> dict[str, Any]:
    """1 / op(x), which tells 0 from -0."""
    return {"call": lambda ops, x: 1 / getattr(ops, name)(x), "gradient": False, "label": "inverse"}


# Where formulas written carelessly go wrong.
EDGES = [
    *(C(name, (x(0, 3),), getattr(np, name), dtypes=ONE, batch=False) for name in "exp negative isnan square".split()),
    *(C(name, (x(),), getattr(np, name), dtypes=ONE) for name in "exp negative isnan square".split()),
    C("erf", (v(1e-30, 1e-4, 0.5, 1, 2, 3.5, 6, -0.8, -inf, inf, nan),), special.erf, tolerance=0.1, gradient=False),
    C("erfc", (v(-3, 0.5, 2, 5, 9),), special.erfc, dtypes=ONE, tolerance=1e-40, gradient=False),
    C("erfc", (v(-inf, inf, nan, 1e4),), special.erfc, gradient=False),
    C("erfinv", (v(1e-6, 0.5, 0.9, 0.999, -0.25, 1, -1),), special.erfinv, dtypes=ONE, gradient=False),
    C("cbrt", (v(-8, 0, -0.0, 27e18, inf, nan),), np.cbrt, gradient=False),
    C("divide_no_nan", (v(1, 0, nan, inf, 6), v(0, 0, 0, 0, 3)), lambda x, y: np.array([0.0, 0, 0, 0, 2]), **EDGE),
    C("exp2", (v(-126, -3, 0, 10, 127, inf, -inf),), np.exp2, dtypes=ONE, tolerance=1e-40, gradient=False),
    C("fmax", (v(nan, 1, nan, inf, 2), v(1, nan, nan, -inf, 3)), np.fmax, gradient=False),
    C("fmin", (v(nan, 1, nan, inf, 2), v(1, nan, nan, -inf, 3)), np.fmin, gradient=False),
    C("fmod", (v(5, -5, 5, -5, 5.5, 3, inf), v(3, 3, -3, -3, inf, 0, 2)), np.fmod, gradient=False),
    C("hard_shrink", (v(-0.3, 0.3, nan, -2),), lambda x: np.array([inf, inf, nan, -0.5]), **_inverse("hard_shrink")),
    C("heaviside", (v(-1, -0.0, 0, 2, nan), 0.5), np.heaviside, gradient=False),
    C("hypot", (v(3e30, 3e-30, inf, 0), v(4e30, 4e-30, nan, 0)), np.hypot, dtypes=ONE, gradient=False, tolerance=1e-30),
    C("i0", (v(0, 1e-3, 20, -85, 90),), special.i0, dtypes=ONE, gradient=False),
    *_infinite("mish silu gelu hard_silu squareplus softplus relu", 0, inf),
    *_infinite("gelu", 0, inf, approximate=False),
    *_infinite("softsign", -1, 1),
    C("isclose", (v(1, 1, inf, -inf, nan, inf), v(1 + 1e-6, 1.1, inf, inf, nan, 1)), np.isclose, dtypes=ONE),
    C("isclose", (v(nan, 1), v(nan, nan)), np.isclose, {"equal_nan": True}),
    C("isneginf", (v(inf, -inf, nan, 0),), np.isneginf),
    C("isposinf", (v(inf, -inf, nan, 0),), np.isposinf),
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
    C("logaddexp2", (v(-inf, inf, -inf, 1e4, 3), v(-inf, inf, 1, 1e4, nan)), np.logaddexp2, gradient=False),
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
    C("signbit", (v(0.0, -0.0, inf, -inf, nan),), np.signbit),
    C("sinc", (v(0, 1e-4, -1e-3, 0.003, 0.004, 1, 100.5),), np.sinc),
    C("silu", (v(-1e4, -30, 0, 1e4),), lambda x: x * _expit(x)),
    C("softmax", (v([[1e4, 0, -1e4]]),), lambda x: special.softmax(x, -1), dtypes=HALVES),
    C("softmax", (v([[-inf, 0, 1]]),), lambda x: special.softmax(x, -1), gradient=False),
    C("sparse_plus", (v(-2, -1, nan, 2),), lambda x: np.array([inf, inf, nan, 0.5]), **_inverse("sparse_plus")),
    C("softplus", (v(-1e4, -100, 0, 100, 1e4),), lambda x: np.logaddexp(0, x)),
    C("squareplus", (v(-3e4, -300, -1, 0, 300),), _squareplus, dtypes=HALVES, tolerance=1e-4),
    C("squareplus", (v(-1e5, 1e20, -1e20, 1e-20, nan),), _squareplus, dtypes=ONE, tolerance=1e-25, gradient=False),
    C("squareplus", (v(-2, 0, 2), 0.0), lambda x, b: np.maximum(x, 0), dtypes=ONE, gradient=False),
    C("std", (v(1e4, 1e4 + 1, 1e4 + 2),), np.std, dtypes=ONE, gradient=False),
    C("sum", (x(0, 3),), np.sum, {"axis": 0}, dtypes=ALL, batch=False),
    C("tanh", (v(-1e4, 0, 1e4, 1e-20),), np.tanh),
    C("var", (v(1e4, 1e4 + 1, 1e4 + 2),), np.var, dtypes=ONE),
    C("var", (v([7e4, 7e4]),), np.var, dtypes=("float32", "bfloat16")),
    C("mean", (v([6e4, 6e4]),), np.mean, dtypes=HALVES),
    C("trunc", (v(-0.5, -0.0, 2.7, -2.7, inf, nan),), np.trunc, gradient=False),
    C("where", (np.array([True, False]), v(1, 2), v(nan, 3)), np.where, gradient=False),
]


def _ulps(x1: Any, x2: Any) -> Any:
    x1, x2 = x1.astype("float32"), x2.astype("float32")
    return np.nextafter(x1, x2) - x1


def _whole(names: str) -> list[Case]:
    """Integers, equal and broadcast, and with a Python number."""
    drawn = ints(2, 3, low=-30, high=30)
    return [
        C(name, (drawn, other), getattr(np, name), batch=False)
        for name in names.split()
        for other in (ints(2, 3, low=-30, high=30), ints(4, 1, 3, low=-9, high=9), 6)
    ]


def _shifts(names: str, oracle: Callable[..., Any]) -> list[Case]:
    far = np.array([31, 32, 40], "int32")
    return [
        case
        for name in names.split()
        for case in (
            C(name, (ints(2, 3, low=-9, high=9), ints(2, 3, high=8)), oracle),
            C(name, (ints(2, 3, low=-9, high=9), far), oracle, batch=False),
        )
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
    *_whole("bitwise_and bitwise_or bitwise_xor gcd lcm"),
    *(C(name, (bools(2, 3), bools(3)), getattr(np, name), batch=False) for name in ("bitwise_and", "bitwise_xor")),
    *_shifts("bitwise_left_shift left_shift", np.left_shift),
    *_shifts("bitwise_right_shift right_shift", np.right_shift),
    C("left_shift", (bools(2, 3), bools(3)), lambda x, y: np.left_shift(x.astype(int), y), batch=False),
    *_binary("hypot", ALL),
    C("hypot", (v(1, -2, 3), v(1, 2, -3)), np.hypot, dtypes=ONE),  # the gradient of equal ones
    *_binary("fmax fmin"),
    *_binary("fmod", NUMBERS, 1, 6, gradient=False),
    C("fmod", (v(5.5, -5.5, 7), v(2, 2, -4)), np.fmod),
    *_binary("heaviside", NUMBERS, oracle=lambda a, b: np.heaviside(a, np.asarray(b, float))),
    *_binary("isclose allclose", NUMBERS),
    *_binary("divide_no_nan", NUMBERS, 1, 4, oracle=np.divide),
    *_binary("logaddexp2", NUMBERS, oracle=lambda a, b: np.logaddexp2(np.asarray(a, float), b)),
    C("isclose", (x(2, 3), x(3), 0.5, 0.1), np.isclose, batch=False),
    C("allclose", (x(0, 3), x(0, 3)), np.allclose, batch=False),
    C("allclose", (x(2, 3), x(2, 3)), np.allclose, {"atol": 9.0}),
    C("ldexp", (x(2, 3), ints(2, 3, low=-5, high=6)), np.ldexp, dtypes=FLOATS),
    C("ldexp", (v(2e-38, 1e38, 1, 0), np.array([250, -250, -126, 300])), np.ldexp, tolerance=1e-40, **EDGE),
    C(
        "nextafter",
        (v(1, 1, -1, 2), v(2, 0, 0, 2)),
        _ulps,
        call=lambda ops, a, b: ops.nextafter(a, b) - a,
        tolerance=1e-9,
        **EDGE,
    ),
    *_binary("arctan2", FLOATS, 0.5, 2),
    *_binary("divide true_divide", NUMBERS, 1, 4),
    *_binary("floor_divide", NUMBERS, 1, 6, gradient=False),
    *_binary("mod", NUMBERS, 1, 6, gradient=False),
    *(
        C(name, (np.array([7, 0, 9], d), np.array(by, d)), getattr(np, name), batch=False, label=f"{d} by {by}")
        for name in ("floor_divide", "fmod", "mod")
        for d, by in (("int32", [0, 0, 2]), ("int8", 0), ("uint8", [0]))
    ),
    *(C(name, (-7, 0), getattr(np, name)) for name in ("floor_divide", "fmod", "mod")),
    *_binary("logaddexp", NUMBERS, oracle=lambda a, b: np.logaddexp(np.asarray(a, float), b)),
    *_binary("power", FLOATS, 0.5, 2),
    C("power", (ints(2, 3), 2), np.power, label="integers"),
    C("add", (x(2, 3), 0.5), np.add, dtypes=NUMBERS),
    C("multiply", (x(2, 3), True), np.multiply, dtypes=NUMBERS),
    C("where", (bools(2, 3), x(2, 3), x(2, 3)), np.where, dtypes=ALL),
    C("where", (bools(2, 1), x(3), 0.0), np.where, batch=False),
]

Z = np.array([[1 + 2j, -1, 2j], [-3j, 0, -1 - 1j]], "complex64")
COMPLEX = [
    *(
        C(name, (Z,), getattr(np, name), dtypes=ONE, label="complex")
        for name in "abs angle conj conjugate imag isfinite isreal real square exp".split()
    ),
    C("multiply", (Z, 2j), np.multiply, dtypes=ONE),
    C("isclose", (Z, Z + 1e-7j), np.isclose, dtypes=ONE, label="complex"),
    C("polar", (x(2, 3, low=0, high=2), x(3)), lambda r, phi: r * np.exp(1j * phi), dtypes=FLOATS, batch=False),
    C("view_as_complex", (v([inf, 1], [2, -inf]),), lambda x: x.view(complex)[:, 0], dtypes=ONE),
    C("view_as_complex", (x(2, 3, 2),), lambda x: x[..., 0] + 1j * x[..., 1], dtypes=NUMBERS),
    C("view_as_real", (Z,), label="complex", oracle=lambda z: np.stack([z.real, z.imag], -1), dtypes=ONE),
    C("view_as_real", (x(2, 3),), lambda x: np.stack([x, 0 * x], -1), dtypes=ALL),
    C(
        "view_as_real",
        (x(2, 3, low=0.1, high=2), x(2, 3)),
        lambda r, phi: np.stack([r * np.cos(phi), r * np.sin(phi)], -1),
        call=lambda ops, r, phi: ops.view_as_real(ops.conj(ops.conj(ops.polar(r, phi)))),
        label="of polar",
    ),
    C("real", (x(2, 3, 2),), lambda x: x[..., 0], call=lambda ops, x: ops.real(ops.view_as_complex(x)), label="part"),
    C("imag", (x(2, 3, 2),), lambda x: x[..., 1], call=lambda ops, x: ops.imag(ops.view_as_complex(x)), label="part"),
]

CASES = [*COMPLEX, *UNARY, *UNARY_WITH_ARGUMENTS, *EDGES, *BINARY]
