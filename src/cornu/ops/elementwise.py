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


def _example(name: str, arguments: str, result: str) -> str:
    return f">>> print(ops.{name}({arguments}))\n{result}"


def _unary(
    name: str, doc: str, example: tuple[str, str], promotion: str = "same", primitive: str | None = None
) -> Callable[[Any], Array]:
    primitive = primitive or name

    def body(x: Tensor) -> Array:
        return getattr(B, primitive)(x)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = f"{doc}, element-wise; the shape of `x`.\n\n{_example(name, *example)}"
    return op(promotion=promotion, primitive=primitive)(body)


def _binary(
    name: str, doc: str, example: tuple[str, str], promotion: str = "same", primitive: str | None = None
) -> Callable[[Any, Any], Array]:
    primitive = primitive or name

    def body(x1: Tensor, x2: Tensor) -> Array:
        return getattr(B, primitive)(x1, x2)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = f"{doc}, element-wise; the shapes are broadcast together.\n\n{_example(name, *example)}"
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


absolute = _unary("absolute", "|x|", ("[-2, 3]", "[2 3]"), primitive="abs")
arccos = _unary("arccos", "The inverse cosine, in radians", ("[1, 2]", "[ 0. nan]"), "float")
arccosh = _unary("arccosh", "The inverse hyperbolic cosine", ("[1, 0]", "[ 0. nan]"), "float")
arcsin = _unary("arcsin", "The inverse sine, in radians", ("[0, 2]", "[ 0. nan]"), "float")
arcsinh = _unary("arcsinh", "The inverse hyperbolic sine", ("[0, -np.inf]", "[  0. -inf]"), "float")
arctan = _unary("arctan", "The inverse tangent, in radians", ("[0, np.inf]", "[0.        1.5707964]"), "float")
arctanh = _unary("arctanh", "The inverse hyperbolic tangent", ("[0, 1, 2]", "[ 0. inf nan]"), "float")
cbrt = _unary("cbrt", "∛x", ("[-8, 0]", "[-2.  0.]"), "float")
ceil = _unary("ceil", "The least integer not below x", ("[1.2, -1.2]", "[ 2. -1.]"), "float")
cos = _unary("cos", "The cosine of x in radians", ("[0, np.pi]", "[ 1. -1.]"), "float")
cosh = _unary("cosh", "The hyperbolic cosine", ("[0, -99]", "[ 1. inf]"), "float")
erf = _unary("erf", "The error function, 2/√π ∫₀ˣ exp(-t²) dt", ("[0, 9, -9]", "[ 0.  1. -1.]"), "float")
erfc = _unary("erfc", "1 - erf(x), exact where that is near 0", ("[0, np.inf, -np.inf]", "[1. 0. 2.]"), "float")
erfinv = _unary("erfinv", "The inverse error function", ("[0, 1, 2]", "[ 0. inf nan]"), "float")
exp = _unary("exp", "eˣ", ("[0, 99, -np.inf]", "[ 1. inf  0.]"), "float")
expm1 = _unary("expm1", "eˣ - 1, exact near 0", ("1e-10", "1e-10"), "float")
floor = _unary("floor", "The greatest integer not above x", ("[1.2, -1.2]", "[ 1. -2.]"), "float")
isfinite = _unary("isfinite", "Whether x is neither NaN nor infinite", ("[1, np.inf, np.nan]", "[ True False False]"))
isinf = _unary("isinf", "Whether x is infinite", ("[1, -np.inf, np.nan]", "[False  True False]"))
isnan = _unary("isnan", "Whether x is NaN", ("[1, np.inf, np.nan]", "[False False  True]"))
log = _unary("log", "The natural logarithm", ("[1, 0, -1]", "[  0. -inf  nan]"), "float")
log1p = _unary("log1p", "ln(1 + x), exact near 0", ("1e-10", "1e-10"), "float")
negative = _unary("negative", "-x", ("[2, -3]", "[-2  3]"))
rsqrt = _unary("rsqrt", "1/√x", ("[4, 0]", "[0.5 inf]"), "float")
sigmoid = _unary("sigmoid", "1 / (1 + e⁻ˣ)", ("[0, np.inf, -np.inf]", "[0.5 1.  0. ]"), "float")
sign = _unary("sign", "-1, 0 or 1 as x is negative, zero or positive", ("[-7, 0, 2]", "[-1  0  1]"))
sin = _unary("sin", "The sine of x in radians", ("[0, np.pi / 2]", "[0. 1.]"), "float")
sinh = _unary("sinh", "The hyperbolic sine", ("[0, -99]", "[  0. -inf]"), "float")
sqrt = _unary("sqrt", "√x", ("[9, -1]", "[ 3. nan]"), "float")
tan = _unary("tan", "The tangent of x in radians", ("[0, np.inf]", "[ 0. nan]"), "float")
tanh = _unary("tanh", "The hyperbolic tangent", ("[0, 99, -99]", "[ 0.  1. -1.]"), "float")

add = _binary("add", "x1 + x2", ("[1, 2, 3], 10", "[11 12 13]"))
arctan2 = _binary("arctan2", "The angle of the point (x2, x1), in radians", ("0, -1", "3.1415927"), "float")
divide = _binary("divide", "x1 / x2", ("[3, -1, 0], [2, 0, 0]", "[ 1.5 -inf  nan]"), "float")
equal = _binary("equal", "Whether x1 = x2", ("[1, np.nan], [1, np.nan]", "[ True False]"))
floor_divide = _binary("floor_divide", "⌊x1 / x2⌋", ("[7, -7], 2", "[ 3 -4]"))
greater = _binary("greater", "Whether x1 > x2", ("[1, 2, 3], 2", "[False False  True]"))
greater_equal = _binary("greater_equal", "Whether x1 ≥ x2", ("[1, 2, 3], 2", "[False  True  True]"))
less = _binary("less", "Whether x1 < x2", ("[1, 2, 3], 2", "[ True False False]"))
less_equal = _binary("less_equal", "Whether x1 ≤ x2", ("[1, 2, 3], 2", "[ True  True False]"))
maximum = _binary("maximum", "The larger of x1 and x2", ("[1, 5, np.nan], 3", "[ 3.  5. nan]"))
minimum = _binary("minimum", "The smaller of x1 and x2", ("[1, 5, np.nan], 3", "[ 1.  3. nan]"))
mod = _binary("mod", "The remainder of x1 / x2, with the sign of x2", ("[7, -7], 3", "[1 2]"))
multiply = _binary("multiply", "x1 · x2", ("[1, 2, 3], 10", "[10 20 30]"))
nextafter = _binary(
    "nextafter", "The number of the dtype that follows x1 in the direction of x2", ("1, 2", "1.0000001"), "float"
)
not_equal = _binary("not_equal", "Whether x1 ≠ x2", ("[1, np.nan], [1, np.nan]", "[False  True]"))
power = _binary("power", "x1 to the power x2", ("[2, 0, -2], [3, 0, 3]", "[ 8  1 -8]"))
subtract = _binary("subtract", "x1 - x2", ("[1, 2, 3], 10", "[-9 -8 -7]"))
true_divide = divide


@op(promotion=None)
def logical_and(x1: Tensor, x2: Tensor) -> Array:
    """Whether both are true, element-wise.

    >>> print(ops.logical_and([0, 2], [1, 3]))
    [False  True]
    """
    return B.logical_and(B.cast(x1, "bool"), B.cast(x2, "bool"))


@op(promotion=None)
def logical_or(x1: Tensor, x2: Tensor) -> Array:
    """Whether either is true, element-wise.

    >>> print(ops.logical_or([0, 0], [0, 0.5]))
    [False  True]
    """
    return B.logical_or(B.cast(x1, "bool"), B.cast(x2, "bool"))


@op(promotion=None)
def logical_xor(x1: Tensor, x2: Tensor) -> Array:
    """Whether exactly one is true, element-wise.

    >>> print(ops.logical_xor([True, True], [True, False]))
    [False  True]
    """
    return B.logical_xor(B.cast(x1, "bool"), B.cast(x2, "bool"))


@op(promotion=None)
def logical_not(x: Tensor) -> Array:
    """Whether x is false, element-wise.

    >>> print(ops.logical_not([0, 3]))
    [ True False]
    """
    return B.logical_not(B.cast(x, "bool"))


@op(check=_integers("bitwise_and", "x y"))
def bitwise_and(x: Tensor, y: Tensor) -> Array:
    """The bits that both have, element-wise; the shapes are broadcast together.

    >>> bin(ops.bitwise_and(0b1100, 0b1010))
    '0b1000'
    """
    return B.bitwise_and(x, y)


@op(check=_integers("bitwise_or", "x y"))
def bitwise_or(x: Tensor, y: Tensor) -> Array:
    """The bits that either has, element-wise; the shapes are broadcast together.

    >>> bin(ops.bitwise_or(0b1100, 0b1010))
    '0b1110'
    """
    return B.bitwise_or(x, y)


@op(check=_integers("bitwise_xor", "x y"))
def bitwise_xor(x: Tensor, y: Tensor) -> Array:
    """The bits that exactly one has, element-wise; the shapes are broadcast together.

    >>> bin(ops.bitwise_xor(0b1100, 0b1010))
    '0b110'
    """
    return B.bitwise_xor(x, y)


@op(check=_integers("bitwise_not", "x"))
def bitwise_not(x: Tensor) -> Array:
    """Every bit turned over, element-wise; of truth values the opposite.

    >>> print(ops.bitwise_not([0, 5]), ops.bitwise_not([True, False]))
    [-1 -6] [False  True]
    """
    return B.bitwise_not(x)


@op(check=_integers("bitwise_left_shift", "x y"))
def bitwise_left_shift(x: Tensor, y: Tensor) -> Array:
    """x · 2ʸ, bits beyond the dtype's width being lost, element-wise.

    >>> print(ops.bitwise_left_shift(ops.array([1, 255], "uint8"), 4))
    [ 16 240]
    """
    return B.left_shift(_counted(x), _counted(y))


@op(check=_integers("bitwise_right_shift", "x y"))
def bitwise_right_shift(x: Tensor, y: Tensor) -> Array:
    """⌊x / 2ʸ⌋, element-wise.

    >>> print(ops.bitwise_right_shift([5, -5], 1))
    [ 2 -3]
    """
    return B.right_shift(_counted(x), _counted(y))


@op
def stop_gradient(variable: Tensor) -> Array:
    """x, through which no gradient flows.

    >>> print(ops.grad(lambda x: x * ops.stop_gradient(x))(3.0))
    3.0
    """
    return B.stop_gradient(variable)


@op
def square(x: Tensor) -> Array:
    """x², element-wise; the shape of `x`.

    >>> print(ops.square([-3, 4]))
    [ 9 16]
    """
    x = _counted(x)
    return x * x


@op(promotion="float")
def reciprocal(x: Tensor) -> Array:
    """1/x, element-wise; the shape of `x`.

    >>> print(ops.reciprocal([4, 0]))
    [0.25  inf]
    """
    return 1 / x


@op(promotion="float")
def log2(x: Tensor) -> Array:
    """The logarithm to base 2, element-wise; the shape of `x`.

    >>> print(ops.log2([8, 0.25]).round(2))
    [ 3. -2.]
    """
    return B.log(x) / 0.6931471805599453


@op(promotion="float")
def log10(x: Tensor) -> Array:
    """The logarithm to base 10, element-wise; the shape of `x`.

    >>> print(ops.log10([1000, 0]).round(2))
    [  3. -inf]
    """
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
    """ln(exp(x1) + exp(x2)) without overflow, element-wise.

    >>> print(ops.logaddexp(1000, 0))
    1000.0
    """
    return _log_of_sum(x1, x2, 1.0)


@op(promotion="float")
def logaddexp2(x1: Tensor, x2: Tensor) -> Array:
    """log₂(2^x1 + 2^x2) without overflow, element-wise.

    >>> print(ops.logaddexp2(200, 200))
    201.0
    """
    return _log_of_sum(x1, x2, math.log(2))


@op
def round(x: Tensor, decimals: int = 0) -> Array:
    """To the nearest multiple of 10^-decimals, halves to even, element-wise; the shape of `x`.

    >>> print(ops.round([0.5, 1.5, 2.5]), ops.round(1234.5, -2))
    [0. 2. 2.] 1200.0
    """
    if not is_float(standardize_dtype(x.dtype)):
        return x
    return B.rint(x) if decimals == 0 else B.rint(x * 10.0**decimals) / 10.0**decimals


@op
def clip(x: Tensor, x_min: Tensor, x_max: Tensor) -> Array:
    """x limited to [x_min, x_max], element-wise.

    >>> print(ops.clip([-2, 5, 12], 0, 9))
    [0 5 9]
    """
    return B.minimum(B.maximum(x, x_min), x_max)


@op
def where(condition: Untyped, x1: Tensor = None, x2: Tensor = None) -> Array:
    """x1 where `condition` is true, else x2, element-wise; the shapes are broadcast together.

    >>> print(ops.where([True, False, True], [1, 2, 3], 0))
    [1 0 3]
    """
    return B.where(B.cast(condition, "bool"), x1, x2)


@op
def nan_to_num(x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """x with NaN replaced by `nan` and the infinities by the given or the largest finite values, element-wise.

    >>> print(ops.nan_to_num([np.nan, np.inf, 2], posinf=9))
    [0. 9. 2.]
    """
    dtype = standardize_dtype(x.dtype)
    if not is_float(dtype):
        return x
    least, largest = _limits(dtype)
    x = B.where(B.isnan(x), B.convert(nan, dtype), x)
    x = B.where(x == float("inf"), B.convert(largest if posinf is None else posinf, dtype), x)
    return B.where(x == -float("inf"), B.convert(least if neginf is None else neginf, dtype), x)


@op(promotion=None)
def cast(x: Tensor, dtype: Any) -> Array:
    """x in another dtype; the shape of `x`.

    >>> print(ops.cast([-1.7, 1.7], "int32"))
    [-1  1]
    """
    return B.cast(x, standardize_dtype(dtype))


@op(promotion=None)
def saturate_cast(x: Tensor, dtype: Any) -> Array:
    """x in another dtype, what lies beyond its range becoming the nearest within; an integer for NaN is 0.

    >>> print(ops.saturate_cast([-5, 300, np.nan], "uint8"))
    [  0 255   0]
    """
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
    """The same bytes read as another dtype; the last axis grows or shrinks with the size of an element.

    >>> print(ops.view(ops.array([1, 256], "int32"), "uint8"))
    [1 0 0 0 0 1 0 0]
    """
    return x if dtype is None else B.view(x, standardize_dtype(dtype))


# real numbers


@op(promotion="float", check=_reals("fabs"))
def fabs(x: Tensor) -> Array:
    """|x| as a floating-point number, element-wise; the shape of `x`.

    >>> print(ops.fabs([-2, 3]))
    [2. 3.]
    """
    return B.abs(x)


@op(promotion="float")
def exp2(x: Tensor) -> Array:
    """2ˣ, element-wise; the shape of `x`.

    >>> print(ops.exp2([3, -1]).round(2))
    [8.  0.5]
    """
    return B.power(B.full((), 2, standardize_dtype(x.dtype)), x)


@op(promotion="float")
def deg2rad(x: Tensor) -> Array:
    """Degrees to radians, element-wise; the shape of `x`.

    >>> f"{ops.deg2rad(180):.4f}"
    '3.1416'
    """
    return x * (math.pi / 180)


@op(promotion="float")
def rad2deg(x: Tensor) -> Array:
    """Radians to degrees, element-wise; the shape of `x`.

    >>> print(ops.rad2deg([0, np.pi]))
    [  0. 180.]
    """
    return x * (180 / math.pi)


@op(check=_reals("trunc"))
def trunc(x: Tensor) -> Array:
    """The nearest integer towards 0, element-wise; the shape of `x`.

    >>> print(ops.trunc([1.7, -1.7]))
    [ 1. -1.]
    """
    return B.where(x < 0, B.ceil(x), B.floor(x)) if is_float(standardize_dtype(x.dtype)) else x


@op(promotion="float")
def sinc(x: Tensor) -> Array:
    """sin(πx) / (πx), and 1 at 0, element-wise; the shape of `x`.

    >>> print(ops.sinc([0, 0.5]).round(3))
    [1.    0.637]
    """
    angle = math.pi * x
    near = B.abs(angle) < 0.01  # where the first terms of the series are exact, and have derivatives
    far = B.where(near, B.full((), 1, standardize_dtype(x.dtype)), angle)
    return B.where(near, 1 - angle * angle / 6 * (1 - angle * angle / 20), B.sin(far) / far)


@op(promotion="float")
def i0(x: Tensor) -> Array:
    """The modified Bessel function of the first kind, of order 0, element-wise. https://dlmf.nist.gov/10.25

    >>> print(ops.i0([0, 1]).round(3))
    [1.    1.266]
    """
    half = B.exp(B.abs(x) / 2)  # in two steps, for exp(|x|) overflows earlier than the result
    return half * B.i0e(x) * half


@op(check=_reals("isneginf"))
def isneginf(x: Tensor) -> Array:
    """Whether x is -∞, element-wise; the shape of `x`.

    >>> print(ops.isneginf([-np.inf, np.inf, 0]))
    [ True False False]
    """
    return B.logical_and(B.isinf(x), B.less(x, 0))


@op(check=_reals("isposinf"))
def isposinf(x: Tensor) -> Array:
    """Whether x is ∞, element-wise; the shape of `x`.

    >>> print(ops.isposinf([-np.inf, np.inf, 0]))
    [False  True False]
    """
    return B.logical_and(B.isinf(x), B.greater(x, 0))


@op(check=_reals("signbit"))
def signbit(x: Tensor) -> Array:
    """Whether the sign of x is minus, -0.0 and NaN included, element-wise; the shape of `x`.

    >>> print(ops.signbit([-1.0, -0.0, 0.0]))
    [ True  True False]
    """
    dtype = standardize_dtype(x.dtype)
    if dtype == "bool" or dtype.startswith("uint"):
        return B.zeros(x.shape, "bool")
    return (B.view(x, f"int{dtype[-2:]}") if is_float(dtype) else x) < 0


@op(promotion="float")
def divide_no_nan(x1: Tensor, x2: Tensor) -> Array:
    """x1 / x2, and 0 where x2 is 0, element-wise; the shapes are broadcast together.

    >>> print(ops.divide_no_nan([1, 2], [0, 4]))
    [0.  0.5]
    """
    dtype = standardize_dtype(x2.dtype)
    return B.where(x2 == 0, B.zeros((), dtype), x1 / B.where(x2 == 0, B.full((), 1, dtype), x2))


@op
def fmax(x1: Tensor, x2: Tensor) -> Array:
    """The larger of x1 and x2, a number rather than NaN, element-wise.

    >>> print(ops.fmax([1, np.nan], [3, 2]))
    [3. 2.]
    """
    return B.where(B.isnan(x1), x2, B.where(B.isnan(x2), x1, B.maximum(x1, x2)))


@op
def fmin(x1: Tensor, x2: Tensor) -> Array:
    """The smaller of x1 and x2, a number rather than NaN, element-wise.

    >>> print(ops.fmin([1, np.nan], [3, 2]))
    [1. 2.]
    """
    return B.where(B.isnan(x1), x2, B.where(B.isnan(x2), x1, B.minimum(x1, x2)))


@op(check=_reals("fmod", "x1 x2"))
def fmod(x1: Tensor, x2: Tensor) -> Array:
    """The remainder of x1 / x2, with the sign of x1, element-wise.

    >>> print(ops.fmod([7, -7], 3), ops.mod([7, -7], 3))
    [ 1 -1] [1 2]
    """
    return B.fmod(_counted(x1), _counted(x2))


@op(promotion="float", check=_reals("heaviside", "x1 x2"))
def heaviside(x1: Tensor, x2: Tensor) -> Array:
    """0 where x1 is negative, 1 where positive, x2 where 0, element-wise.

    >>> print(ops.heaviside([-2, 0, 2], 0.5))
    [0.  0.5 1. ]
    """
    return B.where(x1 == 0, x2, B.where(B.isnan(x1), x1, B.cast(x1 > 0, standardize_dtype(x1.dtype))))


@op(promotion="float", check=_reals("hypot", "x1 x2"))
def hypot(x1: Tensor, x2: Tensor) -> Array:
    """√(x1² + x2²) without overflow, element-wise; ∞ if either is infinite.

    >>> print(ops.hypot(3e30, 4e30))
    5e+30
    """
    dtype = standardize_dtype(x1.dtype)
    one, infinite = B.full((), 1, dtype), B.full((), math.inf, dtype)
    a, b = B.abs(x1), B.abs(x2)
    order = a >= b  # by which both are chosen, as backends share the gradient of a tie differently
    larger, smaller = B.where(order, a, b), B.where(order, b, a)
    ratio = smaller / B.where(larger == 0, one, larger)
    return B.where(B.logical_or(B.isinf(x1), B.isinf(x2)), infinite, larger * B.sqrt(1 + ratio * ratio))


@op(check=_integers("gcd", "x1 x2", bools=False))
def gcd(x1: Tensor, x2: Tensor) -> Array:
    """The greatest common divisor, element-wise; 0 of 0 and 0.

    >>> print(ops.gcd([12, 0], [18, 5]))
    [6 5]
    """
    return B.gcd(x1, x2)


@op(check=_integers("lcm", "x1 x2", bools=False))
def lcm(x1: Tensor, x2: Tensor) -> Array:
    """The least common multiple, element-wise; 0 if either is 0.

    >>> print(ops.lcm([4, 0], [6, 5]))
    [12  0]
    """
    divisor = B.maximum(B.gcd(x1, x2), B.full((), 1, standardize_dtype(x1.dtype)))
    return B.abs(x1 // divisor * x2)


_check_exponent = _integers("ldexp", "x2", bools=False)


@op(promotion="float", check=lambda x1, x2: _check_exponent(x2))
def ldexp(x1: Tensor, x2: Untyped) -> Array:
    """x1 · 2^x2 for integers x2, without overflow on the way, element-wise.

    >>> print(ops.ldexp([0.75, 1], [4, -1]))
    [12.   0.5]
    """
    dtype = standardize_dtype(x1.dtype)
    two, limit = B.full((), 2, dtype), 3 * (math.frexp(_limits(dtype)[1])[1] - 1)
    exponent = B.minimum(B.maximum(B.cast(x2, "int32"), -limit), limit)
    for i in range(3):  # of a third each no power overflows
        x1 = x1 * B.power(two, B.cast((exponent + i) // 3, dtype))
    return x1


@op(promotion="float")
def isclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether |x1 - x2| ≤ atol + rtol · |x2|, infinities being close to themselves alone, element-wise.

    >>> print(ops.isclose([1, 2, np.nan], [1.000001, 2.1, np.nan]))
    [ True False False]
    """
    near = B.logical_and(B.abs(x1 - x2) <= atol + rtol * B.abs(x2), B.isfinite(x2))
    close = B.logical_or(near, x1 == x2)
    return B.logical_or(close, B.logical_and(B.isnan(x1), B.isnan(x2))) if equal_nan else close


@op(promotion="float")
def allclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether `isclose` holds for every element: a scalar.

    >>> print(ops.allclose([1, np.nan], [1, np.nan], equal_nan=True))
    True
    """
    return B.all(isclose(x1, x2, rtol, atol, equal_nan))


# complex numbers


@op
def real(x: Tensor) -> Array:
    """The real part, element-wise; the shape of `x`.

    >>> print(ops.real(ops.array([1 + 2j, 3j])))
    [1. 0.]
    """
    return B.real(x) if _is_complex(x) else x


@op
def imag(x: Tensor) -> Array:
    """The imaginary part, element-wise; the shape of `x`.

    >>> print(ops.imag(ops.array([1 + 2j, 3])))
    [2. 0.]
    """
    return B.imag(x) if _is_complex(x) else B.zeros(x.shape, standardize_dtype(x.dtype))


@op
def conj(x: Tensor) -> Array:
    """The complex conjugate, element-wise; the shape of `x`.

    >>> print(ops.conj(ops.array([1 + 2j, 3j])))
    [1.-2.j 0.-3.j]
    """
    return B.conj(x) if _is_complex(x) else x


@op
def isreal(x: Tensor) -> Array:
    """Whether the imaginary part is 0, element-wise; the shape of `x`.

    >>> print(ops.isreal(ops.array([1 + 2j, 3])))
    [False  True]
    """
    return B.equal(imag(x), 0)


@op(promotion="float")
def angle(x: Tensor) -> Array:
    """The angle of x in the complex plane, in radians within [-π, π], element-wise; the shape of `x`.

    >>> print(ops.angle(ops.array([2, 1j, -1])))
    [0.        1.5707964 3.1415927]
    """
    return B.arctan2(imag(x), real(x))


@op(promotion="float", check=_reals("polar", "abs_ angle"))
def polar(abs_: Tensor, angle: Tensor) -> Array:
    """abs_ · (cos angle + i sin angle), a complex number, element-wise; 16-bit floats are widened.

    >>> print(ops.polar([2, 3], 0))
    [2.+0.j 3.+0.j]
    """
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
    """Complex numbers (…) from their real and imaginary parts (…, 2); 16-bit floats are widened.

    >>> print(ops.view_as_complex([[1, 2], [3, 4]]))
    [1.+2.j 3.+4.j]
    """
    x = widen(x)
    return B.complex(x[..., 0], x[..., 1])


@op
def view_as_real(x: Tensor) -> Array:
    """The real and imaginary parts (…, 2) of numbers (…).

    >>> print(ops.view_as_real(ops.array([1 + 2j, 3])))
    [[1. 2.]
     [3. 0.]]
    """
    return B.stack([real(x), imag(x)], -1)


def widen(x: Array) -> Array:
    """`x` in floats of at least 32 bits."""
    dtype = float_type(x.dtype)
    return B.cast(x, "float32" if dtype in ("float16", "bfloat16") else dtype)


bitwise_invert = bitwise_not
conjugate = conj
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift
