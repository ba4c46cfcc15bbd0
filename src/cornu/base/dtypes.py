"""Dtype names, and the one table that decides what dtype comes out when several go in.

The table is the promotion lattice of JAX (https://docs.jax.dev/en/latest/jep/9407-type-promotion.html), which Keras
uses on every backend: an edge leads from a dtype to the next wider ones, and the result of a promotion is the lowest
dtype that all arguments reach. Python scalars are *weak*: `"int"` and `"float"` stand below the sized dtypes, so
they never widen an array of their own kind.
"""

from __future__ import annotations

import functools
from typing import Any

from cornu.base import config
from cornu.base.errors import DTypeError, did_you_mean

_WIDER = {
    "bool": ("int",),
    "int": ("uint8", "int8"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}
_WEAK = {"int": "int32", "float": "float32"}
_FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
FLOATS = ("bfloat16", "float16", "float32", "float64", *_FLOAT8)
INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
ALLOWED = frozenset({*(name for name in _WIDER if name not in _WEAK), *_FLOAT8, "string", "int4", "uint4"})
_PYTHON = {bool: "bool", int: "int", float: "float", complex: "complex64", str: "string"}


@functools.cache
def _reach(dtype: str) -> frozenset[str]:
    return frozenset({dtype}).union(*(_reach(wider) for wider in _WIDER[dtype]))


@functools.cache
def _join(dtypes: frozenset[str]) -> str:
    common = frozenset.intersection(*(_reach(dtype) for dtype in dtypes))
    return max(common, key=lambda dtype: len(_reach(dtype)))


@functools.cache
def _result_type(dtypes: tuple[str, ...]) -> str:
    for dtype in dtypes:
        if dtype not in _WIDER:
            raise DTypeError(f"No promotion is defined for dtype {dtype!r} (among {', '.join(dtypes)}); cast it first.")
    joined = _join(frozenset(dtypes))
    return _WEAK.get(joined, joined)


def result_type(*dtypes: Any) -> str:
    """The dtype that values of these dtypes have together; of none at all, `floatx`.

    A dtype is a name, a framework's dtype, None (`floatx`), or a Python type (`int`, `float`: weak).
    Raises DTypeError for a dtype that takes no part in promotion (strings, 8-bit floats).
    """
    if not dtypes:
        return config.floatx()
    return _result_type(tuple(_PYTHON.get(d) or standardize_dtype(d) for d in dtypes))


def float_type(*dtypes: Any) -> str:
    """`result_type`, with integers and booleans taken to `floatx`."""
    joined = result_type(*dtypes)
    return joined if is_float(joined) or joined.startswith("complex") else config.floatx()


_standard: dict[Any, str] = {name: name for name in ALLOWED}
_standard |= {float: "float32", int: "int32", bool: "bool", str: "string", complex: "complex64", "int": "int32"}


def standardize_dtype(dtype: Any) -> str:
    """The plain name of a dtype given as a name, a Python type or a framework's dtype object; None is `floatx`."""
    if dtype is None:
        return config.floatx()
    if dtype is float or (isinstance(dtype, str) and dtype == "float"):
        return config.floatx()
    try:
        return _standard[dtype]
    except (KeyError, TypeError):
        pass
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = name.rpartition(".")[2]
    if "str" in name or name in ("object", "bytes_"):
        name = "string"
    if name not in ALLOWED:
        raise DTypeError(f"Unknown dtype {dtype!r}.{did_you_mean(str(dtype), ALLOWED)}")
    try:
        _standard[dtype] = name
    except TypeError:  # an unhashable dtype is looked up anew each time
        return name
    return name


@functools.cache
def is_float(dtype: str) -> bool:
    """Whether the dtype name is a real floating-point one."""
    return "float" in dtype


@functools.cache
def is_integer(dtype: str) -> bool:
    """Whether the dtype name is a signed or unsigned integer (not bool)."""
    return dtype in INTEGERS or dtype in ("int4", "uint4")


def is_float_dtype(dtype: Any) -> bool:
    """Whether the dtype, a name or a framework's, is a floating-point one."""
    return is_float(standardize_dtype(dtype))


def is_int_dtype(dtype: Any) -> bool:
    """Whether the dtype, a name or a framework's, is an integer one."""
    return is_integer(standardize_dtype(dtype))
