"""Element-wise ops: NumPy's, and the few others that formulas need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import float_type, is_float, is_integer, standardize_dtype
from cornu.base.errors import DTypeError, ShapeError
from cornu.core.op import Tensor, Untyped, op


def _unary(name: str, doc: str, promotion: str = "same", primitive: str | None = None) -> Callable[[Any], Array]:
    primitive = primitive or name

    def body(x: Tensor) -> Array:
        return getattr(B, primitive)(x)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = f"{doc}, element-wise; the shape of `x`."
    return op(promotion=promotion, primitive=primitive)(body)


def _binary(name: str, doc: str, promotion: str = "same", primitive: str | None = None) -> Callable[[Any, Any], Array]:
    primitive = primitive or name

    def body(x1: Tensor, x2: Tensor) -> Array:
        return getattr(B, primitive)(x1, x2)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = f"{doc}, element-wise; the shapes are broadcast together."
    return op(promotion=promotion, primitive=primitive)(body)


def _is_complex(x: Array) -> bool:
    return standardize_dtype(x.dtype).startswith("complex")


def _counted(x: Array) -> Array:
    """Truth values as the numbers 0 and 1."""
    return B.cast(x, "int32") if standardize_dtype(x.dtype) == "bool" else x


def _limits(dtype: str) -> tuple[float, float]:
    """The least and the largest finite value."""
    if dtype == "bool":
        return 0, 1
    if is_integer(dtype):
        info: Any = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
        return int(info.min), int(info.max)
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return float(info.min), float(info.max)


def _only(op_name: str, parameters: str, kinds: tuple[str, ...], wanted: str, repair: str) -> Callable[..., None]:
    """A check that the dtypes of the arguments begin with one of `kinds`."""
    names = parameters.split()
    passed: set[Any] = set()  # comparing names takes ten times as long

    def check(*args: Any) -> None:
        for parameter, x in zip(names, args, strict=False):
            given = getattr(x, "dtype", None)
            if given in passed:
                continue
            dtype = "int" if given is None else standardize_dtype(given)
            if not dtype.startswith(kinds):
                raise DTypeError(f"{op_name}: {parameter} should hold {wanted}, got {dtype}{repair}.")
            passed.add(given)

    return check


def _integers(op_name: str, parameters: str, bools: bool = True) -> Callable[..., None]:
    wanted = "integers or truth values" if bools else "integers"
    kinds = ("int", "uint", "bool") if bools else ("int", "uint")
    return _only(op_name, parameters, kinds, wanted, "; convert it with `ops.cast(x, 'int32')`")


def _reals(op_name: str, parameters: str = "x") -> Callable[..., None]:
    kinds = ("int", "uint", "bool", "float", "bfloat")
    return _only(op_name, parameters, kinds, "real numbers", "; take its `ops.real`, `ops.imag` or `ops.abs`")


absolute = _unary("absolute", "|x|", primitive="abs")
arccos = _unary("arccos", "The inverse cosine, in radians", "float")
arccosh = _unary("arccosh", "The inverse hyperbolic cosine", "float")
arcsin = _unary("arcsin", "The inverse sine, in radians", "float")
arcsinh = _unary("arcsinh", "The inverse hyperbolic sine", "float")
arctan = _unary("arctan", "The inverse tangent, in radians", "float")
arctanh = _unary("arctanh", "The inverse hyperbolic tangent", "float")
cbrt = _unary("cbrt", "∛x", "float")
ceil = _unary("ceil", "The least integer not below x", "float")
cos = _unary("cos", "The cosine of x in radians", "float")
cosh = _unary("cosh", "The hyperbolic cosine", "float")
erf = _unary("erf", "The error function, 2/√π ∫₀ˣ exp(-t²) dt", "float")
erfc = _unary("erfc", "1 - erf(x), exact where that is near 0", "float")
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
nextafter = _binary("nextafter", "The number of the dtype that follows x1 in the direction of x2", "float")
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


@op(check=_integers("bitwise_and", "x y"))
def bitwise_and(x: Tensor, y: Tensor) -> Array:
    """The bits that both have, element-wise; the shapes are broadcast together."""
    return B.bitwise_and(x, y)


@op(check=_integers("bitwise_or", "x y"))
def bitwise_or(x: Tensor, y: Tensor) -> Array:
    """The bits that either has, element-wise; the shapes are broadcast together."""
    return B.bitwise_or(x, y)


@op(check=_integers("bitwise_xor", "x y"))
def bitwise_xor(x: Tensor, y: Tensor) -> Array:
    """The bits that exactly one has, element-wise; the shapes are broadcast together."""
    return B.bitwise_xor(x, y)


@op(check=_integers("bitwise_not", "x"))
def bitwise_not(x: Tensor) -> Array:
    """Every bit turned over, element-wise; of truth values the opposite."""
    return B.bitwise_not(x)


@op(check=_integers("bitwise_left_shift", "x y"))
def bitwise_left_shift(x: Tensor, y: Tensor) -> Array:
    """x · 2ʸ, bits beyond the dtype's width being lost, element-wise."""
    return B.left_shift(_counted(x), _counted(y))


@op(check=_integers("bitwise_right_shift", "x y"))
def bitwise_right_shift(x: Tensor, y: Tensor) -> Array:
    """⌊x / 2ʸ⌋, element-wise."""
    return B.right_shift(_counted(x), _counted(y))


@op
def stop_gradient(variable: Tensor) -> Array:
    """x, through which no gradient flows."""
    return B.stop_gradient(variable)


@op
def square(x: Tensor) -> Array:
    """x², element-wise; the shape of `x`."""
    x = _counted(x)
    return x * x


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


def _log_of_sum(x1: Array, x2: Array, unit: float) -> Array:
    # By one choice for both, so that the gradient of equals is 1/2 each; equal infinities have no difference.
    second = x2 > x1
    larger, smaller = B.where(second, x2, x1), B.where(second, x1, x2)
    gap = B.where(B.isfinite(larger), smaller - larger, 0)
    both = B.logical_and(x1 == x2, B.logical_not(B.isfinite(x1)))
    return B.where(both, larger, larger + B.log1p(B.exp(gap * unit)) / unit)


@op(promotion="float")
def logaddexp(x1: Tensor, x2: Tensor) -> Array:
    """ln(exp(x1) + exp(x2)) without overflow, element-wise."""
    return _log_of_sum(x1, x2, 1.0)


@op(promotion="float")
def logaddexp2(x1: Tensor, x2: Tensor) -> Array:
    """log₂(2^x1 + 2^x2) without overflow, element-wise."""
    return _log_of_sum(x1, x2, math.log(2))


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
    least, largest = _limits(dtype)
    x = B.where(B.isnan(x), B.convert(nan, dtype), x)
    x = B.where(x == float("inf"), B.convert(largest if posinf is None else posinf, dtype), x)
    return B.where(x == -float("inf"), B.convert(least if neginf is None else neginf, dtype), x)


@op(promotion=None)
def cast(x: Tensor, dtype: Any) -> Array:
    """x in another dtype; the shape of `x`."""
    return B.cast(x, standardize_dtype(dtype))


@op(promotion=None)
def saturate_cast(x: Tensor, dtype: Any) -> Array:
    """x in another dtype, what lies beyond its range becoming the nearest within; an integer for NaN is 0."""
    source, target = standardize_dtype(x.dtype), standardize_dtype(dtype)
    (low, high), (least, largest) = _limits(source), _limits(target)
    low, high = max(low, least), min(high, largest)
    above = B.greater_equal(x, B.full((), high, source))
    below = B.less_equal(x, B.full((), low, source))
    lost = B.logical_or(above, below) if is_float(target) else B.logical_or(B.logical_or(above, below), B.isnan(x))
    inside = B.cast(B.where(lost, B.zeros((), source), x), target)
    return B.where(above, B.full((), high, target), B.where(below, B.full((), low, target), inside))


@op(promotion=None)
def view(x: Tensor, dtype: Any = None) -> Array:
    """The same bytes read as another dtype; the last axis grows or shrinks with the size of an element."""
    return x if dtype is None else B.view(x, standardize_dtype(dtype))


# real numbers


@op(promotion="float", check=_reals("fabs"))
def fabs(x: Tensor) -> Array:
    """|x| as a floating-point number, element-wise; the shape of `x`."""
    return B.abs(x)


@op(promotion="float")
def exp2(x: Tensor) -> Array:
    """2ˣ, element-wise; the shape of `x`."""
    return B.power(B.full((), 2, standardize_dtype(x.dtype)), x)


@op(promotion="float")
def deg2rad(x: Tensor) -> Array:
    """Degrees to radians, element-wise; the shape of `x`."""
    return x * (math.pi / 180)


@op(promotion="float")
def rad2deg(x: Tensor) -> Array:
    """Radians to degrees, element-wise; the shape of `x`."""
    return x * (180 / math.pi)


@op(check=_reals("trunc"))
def trunc(x: Tensor) -> Array:
    """The nearest integer towards 0, element-wise; the shape of `x`."""
    return B.where(x < 0, B.ceil(x), B.floor(x)) if is_float(standardize_dtype(x.dtype)) else x


@op(promotion="float")
def sinc(x: Tensor) -> Array:
    """sin(πx) / (πx), and 1 at 0, element-wise; the shape of `x`."""
    angle = math.pi * x
    near = B.abs(angle) < 0.01  # where the first terms of the series are exact, and have derivatives
    far = B.where(near, B.full((), 1, standardize_dtype(x.dtype)), angle)
    return B.where(near, 1 - angle * angle / 6 * (1 - angle * angle / 20), B.sin(far) / far)


@op(promotion="float")
def i0(x: Tensor) -> Array:
    """The modified Bessel function of the first kind, of order 0, element-wise. https://dlmf.nist.gov/10.25"""
    half = B.exp(B.abs(x) / 2)  # in two steps, for exp(|x|) overflows earlier than the result
    return half * B.i0e(x) * half


@op(check=_reals("isneginf"))
def isneginf(x: Tensor) -> Array:
    """Whether x is -∞, element-wise; the shape of `x`."""
    return B.logical_and(B.isinf(x), B.less(x, 0))


@op(check=_reals("isposinf"))
def isposinf(x: Tensor) -> Array:
    """Whether x is ∞, element-wise; the shape of `x`."""
    return B.logical_and(B.isinf(x), B.greater(x, 0))


@op(check=_reals("signbit"))
def signbit(x: Tensor) -> Array:
    """Whether the sign of x is minus, -0.0 and NaN included, element-wise; the shape of `x`."""
    dtype = standardize_dtype(x.dtype)
    if dtype == "bool" or dtype.startswith("uint"):
        return B.zeros(x.shape, "bool")
    return (B.view(x, f"int{dtype[-2:]}") if is_float(dtype) else x) < 0


@op(promotion="float")
def divide_no_nan(x1: Tensor, x2: Tensor) -> Array:
    """x1 / x2, and 0 where x2 is 0, element-wise; the shapes are broadcast together."""
    dtype = standardize_dtype(x2.dtype)
    return B.where(x2 == 0, B.zeros((), dtype), x1 / B.where(x2 == 0, B.full((), 1, dtype), x2))


@op
def fmax(x1: Tensor, x2: Tensor) -> Array:
    """The larger of x1 and x2, a number rather than NaN, element-wise."""
    return B.where(B.isnan(x1), x2, B.where(B.isnan(x2), x1, B.maximum(x1, x2)))


@op
def fmin(x1: Tensor, x2: Tensor) -> Array:
    """The smaller of x1 and x2, a number rather than NaN, element-wise."""
    return B.where(B.isnan(x1), x2, B.where(B.isnan(x2), x1, B.minimum(x1, x2)))


@op(check=_reals("fmod", "x1 x2"))
def fmod(x1: Tensor, x2: Tensor) -> Array:
    """The remainder of x1 / x2, with the sign of x1, element-wise."""
    return B.fmod(_counted(x1), _counted(x2))


@op(promotion="float", check=_reals("heaviside", "x1 x2"))
def heaviside(x1: Tensor, x2: Tensor) -> Array:
    """0 where x1 is negative, 1 where positive, x2 where 0, element-wise."""
    return B.where(x1 == 0, x2, B.where(B.isnan(x1), x1, B.cast(x1 > 0, standardize_dtype(x1.dtype))))


@op(promotion="float", check=_reals("hypot", "x1 x2"))
def hypot(x1: Tensor, x2: Tensor) -> Array:
    """√(x1² + x2²) without overflow, element-wise; ∞ if either is infinite."""
    dtype = standardize_dtype(x1.dtype)
    one, infinite = B.full((), 1, dtype), B.full((), math.inf, dtype)
    larger, smaller = B.maximum(B.abs(x1), B.abs(x2)), B.minimum(B.abs(x1), B.abs(x2))
    ratio = smaller / B.where(larger == 0, one, larger)
    return B.where(B.logical_or(B.isinf(x1), B.isinf(x2)), infinite, larger * B.sqrt(1 + ratio * ratio))


@op(check=_integers("gcd", "x1 x2", bools=False))
def gcd(x1: Tensor, x2: Tensor) -> Array:
    """The greatest common divisor, element-wise; 0 of 0 and 0."""
    return B.gcd(x1, x2)


@op(check=_integers("lcm", "x1 x2", bools=False))
def lcm(x1: Tensor, x2: Tensor) -> Array:
    """The least common multiple, element-wise; 0 if either is 0."""
    divisor = B.maximum(B.gcd(x1, x2), B.full((), 1, standardize_dtype(x1.dtype)))
    return B.abs(x1 // divisor * x2)


_check_exponent = _integers("ldexp", "x2", bools=False)


@op(promotion="float", check=lambda x1, x2: _check_exponent(x2))
def ldexp(x1: Tensor, x2: Untyped) -> Array:
    """x1 · 2^x2 for integers x2, without overflow on the way, element-wise."""
    dtype = standardize_dtype(x1.dtype)
    two, limit = B.full((), 2, dtype), 3 * (math.frexp(_limits(dtype)[1])[1] - 1)
    exponent = B.minimum(B.maximum(B.cast(x2, "int32"), -limit), limit)
    for i in range(3):  # of a third each no power overflows
        x1 = x1 * B.power(two, B.cast((exponent + i) // 3, dtype))
    return x1


@op(promotion="float")
def isclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether |x1 - x2| ≤ atol + rtol · |x2|, infinities being close to themselves alone, element-wise."""
    near = B.logical_and(B.abs(x1 - x2) <= atol + rtol * B.abs(x2), B.isfinite(x2))
    close = B.logical_or(near, x1 == x2)
    return B.logical_or(close, B.logical_and(B.isnan(x1), B.isnan(x2))) if equal_nan else close


@op(promotion="float")
def allclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether `isclose` holds for every element: a scalar."""
    return B.all(isclose(x1, x2, rtol, atol, equal_nan))


# complex numbers


@op
def real(x: Tensor) -> Array:
    """The real part, element-wise; the shape of `x`."""
    return B.real(x) if _is_complex(x) else x


@op
def imag(x: Tensor) -> Array:
    """The imaginary part, element-wise; the shape of `x`."""
    return B.imag(x) if _is_complex(x) else B.zeros(x.shape, standardize_dtype(x.dtype))


@op
def conj(x: Tensor) -> Array:
    """The complex conjugate, element-wise; the shape of `x`."""
    return B.conj(x) if _is_complex(x) else x


@op
def isreal(x: Tensor) -> Array:
    """Whether the imaginary part is 0, element-wise; the shape of `x`."""
    return B.equal(imag(x), 0)


@op(promotion="float")
def angle(x: Tensor) -> Array:
    """The angle of x in the complex plane, in radians within [-π, π], element-wise; the shape of `x`."""
    return B.arctan2(imag(x), real(x))


@op(promotion="float", check=_reals("polar", "abs_ angle"))
def polar(abs_: Tensor, angle: Tensor) -> Array:
    """abs_ · (cos angle + i sin angle), a complex number, element-wise; 16-bit floats are widened."""
    abs_, angle = widen(abs_), widen(angle)
    return B.complex(abs_ * B.cos(angle), abs_ * B.sin(angle))


def _check_pairs(x: Any) -> None:
    _reals("view_as_complex")(x)
    if hasattr(x, "shape") and (not len(x.shape) or x.shape[-1] != 2):
        raise ShapeError(
            f"view_as_complex: x should have a last axis of 2, real and imaginary parts, got shape {tuple(x.shape)}."
        )


@op(promotion="float", check=_check_pairs)
def view_as_complex(x: Tensor) -> Array:
    """Complex numbers (…) from their real and imaginary parts (…, 2); 16-bit floats are widened."""
    x = widen(x)
    return B.complex(x[..., 0], x[..., 1])


@op
def view_as_real(x: Tensor) -> Array:
    """The real and imaginary parts (…, 2) of numbers (…)."""
    return B.stack([real(x), imag(x)], -1)


def widen(x: Array) -> Array:
    """`x` in floats of at least 32 bits."""
    dtype = float_type(x.dtype)
    return B.cast(x, "float32" if dtype in ("float16", "bfloat16") else dtype)


bitwise_invert = bitwise_not
conjugate = conj
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift
