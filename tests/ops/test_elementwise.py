"""Element-wise ops where the conformance suite does not look: accuracy in ulps, complex numbers, limits, errors."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from scipy import special

import cornu.ops as ops
from cornu.backend import B
from cornu.base import config
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import DTypeError, ShapeError
from cornu.core.symbolic import KerasTensor


@pytest.fixture(params=["jax", "numpy"], autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with config.backend_scope(request.param):
        yield request.param


# Relative errors in float32: the op, its oracle, the domain, and the largest error allowed.
ACCURATE = {
    "cbrt": (np.cbrt, np.geomspace(1e-37, 1e38, 999), 3e-7),
    "erfc": (special.erfc, np.linspace(-5, 9, 999), 5e-6),
    "exp2": (np.exp2, np.linspace(-120, 127, 999), 3e-7),
    "i0": (special.i0, np.linspace(-91, 91, 999), 1e-6),
    "sinc": (np.sinc, np.linspace(-0.9, 0.9, 999), 1e-6),
}


@pytest.mark.parametrize("name", ACCURATE)
def test_accuracy(name: str) -> None:
    oracle, domain, limit = ACCURATE[name]
    x = domain.astype("float32")
    expected = oracle(x.astype("float64"))
    np.testing.assert_allclose(B.to_numpy(getattr(ops, name)(x)), expected, rtol=limit)


def test_hypot_neither_overflows_nor_vanishes() -> None:
    x = np.geomspace(1e-36, 1e38, 75, dtype="float32")
    found = B.to_numpy(ops.hypot(x[:, None], x[None, :]))
    np.testing.assert_allclose(found, np.hypot(*np.meshgrid(x.astype(float), x)), rtol=3e-7)


Z = np.array([1 + 2j, -3j, -1, 0, 2.5], "complex64")
# The op's result of Z and its dtype.
COMPLEX = {
    "abs": (np.abs(Z), "float32"),
    "angle": (np.angle(Z), "float32"),
    "conj": (np.conj(Z), "complex64"),
    "imag": (Z.imag, "float32"),
    "real": (Z.real, "float32"),
    "isreal": (np.isreal(Z), "bool"),
    "square": (Z * Z, "complex64"),
    "exp2": (2**Z, "complex64"),
    "sinc": (np.sinc(Z), "complex64"),
    "view_as_real": (np.stack([Z.real, Z.imag], -1), "float32"),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers(name: str) -> None:
    expected, dtype = COMPLEX[name]
    fn = getattr(ops, name)
    for found in (fn(Z), B.compile(fn)(B.convert(Z))):
        assert standardize_dtype(found.dtype) == dtype
        np.testing.assert_allclose(B.to_numpy(found), expected, rtol=1e-5, atol=1e-6)
    symbol = fn(KerasTensor((None,), "complex64"))
    assert (symbol.shape, symbol.dtype) == ((None, *expected.shape[1:]), dtype)


def test_python_complex_numbers_become_complex64() -> None:
    assert standardize_dtype(ops.conj([1j, 2]).dtype) == "complex64"
    assert B.to_numpy(ops.view_as_complex(ops.view_as_real(Z))).tolist() == Z.tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_nextafter_is_the_next_of_the_dtype(dtype: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x, y = (np.array(values, kind) for values in ([1, 1, -1, 0, 2, np.nan], [2, 0, 0, 1, 2, 1]))
    found = B.to_numpy(ops.nextafter(x, y))
    assert found.dtype == kind
    np.testing.assert_array_equal(found.view("int16" if kind.itemsize == 2 else "int32")[:5], bits(x, y)[:5])
    assert np.isnan(found[5])


def bits(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The next number is the next in the order of the bits, away from 0 or towards it."""
    whole = x.view("int16" if x.dtype.itemsize == 2 else "int32")
    away = (y > x) == (x >= 0)
    return whole + np.where(x == y, 0, np.where(away, 1, -1))


@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "uint8", "int32", "bool"])
@pytest.mark.parametrize("target", ["float16", "bfloat16", "int8", "uint32", "bool"])
def test_saturate_cast_stays_within_both_ranges(source: str, target: str) -> None:
    x = np.array([0, 1, 127, 100, 2.5, -2.5, 3e4, 7e4, 1e30, -1e30, np.inf, -np.inf]).clip(*limits(source))
    x = x.astype(np.dtype(getattr(ml_dtypes, source, source)))
    expected = x.astype("float64").clip(*limits(source)).clip(*limits(target))
    with np.errstate(all="raise"):
        found = ops.saturate_cast(x, target)
    assert standardize_dtype(found.dtype) == target
    if "float" in target:
        expected = expected.astype("float32").astype(np.dtype(getattr(ml_dtypes, target, target)))
    np.testing.assert_array_equal(B.to_numpy(found).astype(float), np.trunc(expected) if "int" in target else expected)


def limits(dtype: str) -> tuple[float, float]:
    if dtype == "bool":
        return 0, 1
    info = ml_dtypes.finfo(dtype) if "float" in dtype else np.iinfo(dtype)
    return float(info.min), float(info.max)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
@pytest.mark.parametrize("name", "bitwise_and bitwise_or bitwise_xor gcd lcm left_shift right_shift fmod".split())
def test_integers_are_those_of_numpy(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    low = 0 if dtype.startswith("u") else -9
    x, y = (rng.integers(bottom, 10, (4, 5)).astype(dtype) for bottom in (low, 0 if "shift" in name else low))
    y = np.where(y == 0, 1, y) if name == "fmod" else y
    found = B.to_numpy(getattr(ops, name)(x, y))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, getattr(np, name)(x, y))


def test_aliases() -> None:
    assert ops.conjugate is ops.conj
    assert ops.bitwise_invert is ops.bitwise_not
    assert ops.left_shift is ops.bitwise_left_shift
    assert ops.right_shift is ops.bitwise_right_shift
    assert ops.nn.swish is ops.swish is ops.silu
    assert ops.nn.hard_swish is ops.hard_swish is ops.hard_silu
    assert ops.nn.polar is ops.polar


def real(*shape: int | None) -> KerasTensor:
    return KerasTensor(shape)


# The call with x and what the error says.
BAD = {
    "floats have no bits": (
        lambda: ops.bitwise_and([1.5], [2]),
        DTypeError,
        r"bitwise_and: x should hold integers or truth values, got float32; convert it with `ops\.cast",
    ),
    "symbolic floats neither": (
        lambda: ops.right_shift(KerasTensor((2,), "int32"), real(2)),
        DTypeError,
        "bitwise_right_shift: y should hold integers or truth values, got float32",
    ),
    "divisors of truth values": (
        lambda: ops.gcd([4], [True]) and ops.gcd([True], [True]),
        DTypeError,
        "gcd: x1 .*bool",
    ),
    "multiples of floats": (lambda: ops.lcm(real(2), real(2)), DTypeError, "lcm: x1 should hold integers"),
    "a fractional exponent": (lambda: ops.ldexp([1.0], [0.5]), DTypeError, "ldexp: x2 should hold integers"),
    "the magnitude of complex": (lambda: ops.fabs(Z), DTypeError, r"fabs: x should hold real numbers, got complex64"),
    "the order of complex": (lambda: ops.isposinf(Z), DTypeError, "isposinf: x .*take its `ops.real`"),
    "a complex radius": (lambda: ops.polar(Z, 1.0), DTypeError, "polar: abs_ should hold real numbers"),
    "three parts": (
        lambda: ops.view_as_complex(np.ones((4, 3), "float32")),
        ShapeError,
        r"view_as_complex: x should have a last axis of 2, real and imaginary parts, got shape \(4, 3\)",
    ),
    "no parts": (lambda: ops.view_as_complex(real()), ShapeError, r"got shape \(\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
