"""Symbols: what stands for an array while a function is traced."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import ml_dtypes
import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from cornu.backend import B
from cornu.base.dtypes import float_type, result_type
from cornu.base.errors import BackendError

STANDS_FOR = dict.fromkeys(("bfloat16", "float8_e4m3fn", "float8_e5m2"), "float32") | {"int4": "int8", "uint4": "uint8"}
"""What PyTensor computes in where it lacks a dtype: more precisely than asked, as XLA may do too."""


@functools.cache
def numpy_dtype(name: Any) -> np.dtype[Any]:
    """The NumPy dtype of a name, those of ml_dtypes too."""
    return np.dtype(getattr(ml_dtypes, str(name)) if str(name) in STANDS_FOR else name)


def stored(dtype: Any) -> str:
    """The dtype that PyTensor computes in for it."""
    return STANDS_FOR.get(str(dtype), str(dtype))


class Symbol:
    """A PyTensor variable of static shape, with the dtype that it stands for."""

    __array_ufunc__ = None  # `array * symbol` asks the symbol

    def __init__(self, var: Variable, dtype: Any = None) -> None:
        self.var, self.dtype = var, numpy_dtype(dtype or var.type.dtype)
        self.shape: tuple[int, ...] = var.type.shape
        if None in self.shape:
            raise BackendError(f"The backend 'pytensor' needs to know the shape of {var}, which depends on values.")

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    T = property(lambda self: B.transpose(self, tuple(reversed(range(self.ndim)))))

    def reshape(self, *shape: Any) -> Symbol:
        """In another shape."""
        return B.reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape)

    def astype(self, dtype: Any) -> Symbol:
        """In another dtype."""
        return B.cast(self, str(np.dtype(dtype)))

    def sum(self, axis: Any = None, keepdims: bool = False) -> Symbol:
        """Summed along axes."""
        return B.sum(self, axis, keepdims)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("A scalar has no length.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Symbol]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Symbol:
        parts = key if isinstance(key, tuple) else (key,)
        found = self.var[tuple(variable(p) if isinstance(p, list | np.ndarray | Symbol) else p for p in parts)]
        return Symbol(found, self.dtype)

    def _refuse(self, *_: Any) -> NoReturn:
        raise BackendError(
            f"The value of an array of shape {self.shape} was asked for while its function was traced: it is not known "
            "before the compiled program runs. Use ops.cond or ops.where in place of `if`, ops.while_loop in place of "
            "`while`."
        )

    __bool__ = __int__ = __float__ = __index__ = __array__ = _refuse
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Symbol shape={self.shape}, dtype={self.dtype}>"


def _operator(name: str, swapped: bool = False, join: Callable[..., str] = result_type) -> Callable[..., Any]:
    def call(self: Symbol, other: Any) -> Any:
        if not isinstance(other, Symbol | np.ndarray | np.generic | int | float | complex):
            return NotImplemented
        number = isinstance(other, int | float | complex) and not isinstance(other, np.generic)
        dtype = join(self.dtype, type(other) if number else other.dtype)
        pair = B.cast(self, dtype), B.convert(other, dtype)
        return getattr(B, name)(*(pair[::-1] if swapped else pair))

    return call


_OPERATORS = """
add:add sub:subtract mul:multiply truediv:divide floordiv:floor_divide mod:mod pow:power matmul:matmul
and:bitwise_and or:bitwise_or xor:bitwise_xor lshift:left_shift rshift:right_shift
lt:less le:less_equal gt:greater ge:greater_equal eq:equal ne:not_equal
"""
for _python, _name in (pair.split(":") for pair in _OPERATORS.split()):
    _join = float_type if _name == "divide" else result_type
    setattr(Symbol, f"__{_python}__", _operator(_name, join=_join))
    setattr(Symbol, f"__r{_python}__", _operator(_name, swapped=True, join=_join))
for _python, _name in (("neg", "negative"), ("abs", "abs"), ("invert", "bitwise_not")):
    setattr(Symbol, f"__{_python}__", lambda self, name=_name: getattr(B, name)(self))


def variable(x: Any) -> Any:
    """The PyTensor variable of a symbol or an array; of the entries of a list; other things as they are."""
    if isinstance(x, Symbol):
        return x.var
    if isinstance(x, np.ndarray | np.generic):
        return pt.as_tensor_variable(np.asarray(x, stored(x.dtype)))
    if isinstance(x, list | tuple) and any(isinstance(item, Symbol | np.ndarray | np.generic) for item in x):
        return [variable(item) for item in x]
    return x


def any_symbol(args: Any) -> bool:
    """Whether a symbol is among the arguments, or in a list among them."""
    return any(isinstance(a, Symbol) or (isinstance(a, list | tuple) and any_symbol(a)) for a in args)


def lifted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of PyTensor variables as one of symbols: results in float32 stand for the dtype of the arguments."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves = [leaf for a in args for leaf in (a if isinstance(a, list | tuple) else (a,))]
        dtypes = [str(leaf.dtype) for leaf in leaves if isinstance(leaf, Symbol | np.ndarray | np.generic)]
        special = next((d for d in dtypes if d in STANDS_FOR), None)

        def wrap(found: Any) -> Any:
            if isinstance(found, tuple):
                return tuple(map(wrap, found))
            if isinstance(found, Variable):
                own = found.type.dtype
                return Symbol(found, special if special and STANDS_FOR[special] == own else None)
            return found

        return wrap(fn(*map(variable, args), **{k: variable(v) for k, v in kwargs.items()}))

    return call
