"""Element-wise ops: NumPy's, and the few others that formulas need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.core.op import Tensor, Untyped, op


def _unary(name: str, doc: str, promotion: str = "same", primitive: str | None = None) -> Callable[[Any], Array]:
    primitive = primitive or name

    def body(x: Tensor) -> Array:
        return getattr(B, primitive)(x)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = f"{doc}, element-wise; the shape of `x`."
    return op(promotion=promotion)(body)


def _binary(name: str, doc: str, promotion: str = "same", primitive: str | None = None) -> Callable[[Any, Any], Array]:
    primitive = primitive or name

    def body(x1: Tensor, x2: Tensor) -> Array:
        return getattr(B, primitive)(x1, x2)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = f"{doc}, element-wise; the shapes are broadcast together."
    return op(promotion=promotion)(body)


absolute = _unary("absolute", "|x|", primitive="abs")
arccos = _unary("arccos", "The inverse cosine, in radians", "float")
arccosh = _unary("arccosh", "The inverse hyperbolic cosine", "float")
arcsin = _unary("arcsin", "The inverse sine, in radians", "float")
arcsinh = _unary("arcsinh", "The inverse hyperbolic sine", "float")
arctan = _unary("arctan", "The inverse tangent, in radians", "float")
arctanh = _unary("arctanh", "The inverse hyperbolic tangent", "float")
ceil = _unary("ceil", "The least integer not below x", "float")
cos = _unary("cos", "The cosine of x in radians", "float")
cosh = _unary("cosh", "The hyperbolic cosine", "float")
erf = _unary("erf", "The error function, 2/√π ∫₀ˣ exp(-t²) dt", "float")
erfinv = _unary("erfinv", "The inverse error function", "float")
exp = _unary("exp", "eˣ", "float")
expm1 = _unary("expm1", "eˣ - 1, exact near 0", "float")
floor = _unary("floor", "The greatest integer not above x", "float")
isfinite = _unary("isfinite", "Whether x is neither NaN nor infinite")
isinf = _unary("isinf", "Whether x is infinite")
isnan = _unary("isnan", "Whether x is NaN")
log = _unary("log", "The natural logarithm", "float")
log1p = _unary("log1p", "ln(1 + x), exact near 0", "float")
negative = _unary("negative", "-x")
rsqrt = _unary("rsqrt", "1/√x", "float")
sigmoid = _unary("sigmoid", "1 / (1 + e⁻ˣ)", "float")
sign = _unary("sign", "-1, 0 or 1 as x is negative, zero or positive")
sin = _unary("sin", "The sine of x in radians", "float")
sinh = _unary("sinh", "The hyperbolic sine", "float")
sqrt = _unary("sqrt", "√x", "float")
tan = _unary("tan", "The tangent of x in radians", "float")
tanh = _unary("tanh", "The hyperbolic tangent", "float")

add = _binary("add", "x1 + x2")
arctan2 = _binary("arctan2", "The angle of the point (x2, x1), in radians", "float")
divide = _binary("divide", "x1 / x2", "float")
equal = _binary("equal", "Whether x1 = x2")
floor_divide = _binary("floor_divide", "⌊x1 / x2⌋")
greater = _binary("greater", "Whether x1 > x2")
greater_equal = _binary("greater_equal", "Whether x1 ≥ x2")
less = _binary("less", "Whether x1 < x2")
less_equal = _binary("less_equal", "Whether x1 ≤ x2")
maximum = _binary("maximum", "The larger of x1 and x2")
minimum = _binary("minimum", "The smaller of x1 and x2")
mod = _binary("mod", "The remainder of x1 / x2, with the sign of x2")
multiply = _binary("multiply", "x1 · x2")
not_equal = _binary("not_equal", "Whether x1 ≠ x2")
power = _binary("power", "x1 to the power x2")
subtract = _binary("subtract", "x1 - x2")
true_divide = divide


@op(promotion=None)
def logical_and(x1: Tensor, x2: Tensor) -> Array:
    """Whether both are true, element-wise."""
    return B.logical_and(B.cast(x1, "bool"), B.cast(x2, "bool"))


@op(promotion=None)
def logical_or(x1: Tensor, x2: Tensor) -> Array:
    """Whether either is true, element-wise."""
    return B.logical_or(B.cast(x1, "bool"), B.cast(x2, "bool"))


@op(promotion=None)
def logical_xor(x1: Tensor, x2: Tensor) -> Array:
    """Whether exactly one is true, element-wise."""
    return B.logical_xor(B.cast(x1, "bool"), B.cast(x2, "bool"))


@op(promotion=None)
def logical_not(x: Tensor) -> Array:
    """Whether x is false, element-wise."""
    return B.logical_not(B.cast(x, "bool"))


@op
def stop_gradient(variable: Tensor) -> Array:
    """x, through which no gradient flows."""
    return B.stop_gradient(variable)


@op
def square(x: Tensor) -> Array:
    """x², element-wise; the shape of `x`."""
    return B.cast(x, "int32") ** 2 if standardize_dtype(x.dtype) == "bool" else x * x


@op(promotion="float")
def reciprocal(x: Tensor) -> Array:
    """1/x, element-wise; the shape of `x`."""
    return 1 / x


@op(promotion="float")
def log2(x: Tensor) -> Array:
    """The logarithm to base 2, element-wise; the shape of `x`."""
    return B.log(x) / 0.6931471805599453


@op(promotion="float")
def log10(x: Tensor) -> Array:
    """The logarithm to base 10, element-wise; the shape of `x`."""
    return B.log(x) / 2.302585092994046


@op(promotion="float")
def logaddexp(x1: Tensor, x2: Tensor) -> Array:
    """ln(exp(x1) + exp(x2)) without overflow, element-wise."""
    larger = B.maximum(x1, x2)
    gap = B.where(B.isfinite(larger), -B.abs(x1 - x2), 0)  # equal infinities have no difference
    both = B.logical_and(x1 == x2, B.logical_not(B.isfinite(x1)))
    return B.where(both, larger, larger + B.log1p(B.exp(gap)))


@op
def round(x: Tensor, decimals: int = 0) -> Array:
    """To the nearest multiple of 10^-decimals, halves to even, element-wise; the shape of `x`."""
    if not is_float(standardize_dtype(x.dtype)):
        return x
    return B.rint(x) if decimals == 0 else B.rint(x * 10.0**decimals) / 10.0**decimals


@op
def clip(x: Tensor, x_min: Tensor, x_max: Tensor) -> Array:
    """x limited to [x_min, x_max], element-wise."""
    return B.minimum(B.maximum(x, x_min), x_max)


@op
def where(condition: Untyped, x1: Tensor = None, x2: Tensor = None) -> Array:
    """x1 where `condition` is true, else x2, element-wise; the shapes are broadcast together."""
    return B.where(B.cast(condition, "bool"), x1, x2)


@op
def nan_to_num(x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """x with NaN replaced by `nan` and the infinities by the given or the largest finite values, element-wise."""
    dtype = standardize_dtype(x.dtype)
    if not is_float(dtype):
        return x
    import ml_dtypes

    limits: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    x = B.where(B.isnan(x), B.convert(nan, dtype), x)
    x = B.where(x == float("inf"), B.convert(float(limits.max) if posinf is None else posinf, dtype), x)
    return B.where(x == -float("inf"), B.convert(float(limits.min) if neginf is None else neginf, dtype), x)


@op(promotion=None)
def cast(x: Tensor, dtype: Any) -> Array:
    """x in another dtype; the shape of `x`."""
    return B.cast(x, standardize_dtype(dtype))
