"""Python's operators for variables and symbolic tensors, by way of the ops that a higher floor registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu.base.errors import DTypeError

ops: dict[str, Callable[..., Any]] = {}
"""The ops behind the operators, filled in by `cornu.ops`."""

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "power",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "logical_not"}


class Operators:
    """Mixin: each operator calls the op of the same meaning."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc.__name__ not in ops:
            raise DTypeError(
                f"numpy.{ufunc.__name__} was called on {self!r}. NumPy cannot take part in a Cornu graph or trace: use "
                f"cornu.ops.{ufunc.__name__}, or wrap the code in a Layer or Lambda."
            )
        return ops[ufunc.__name__](*inputs)

    def __round__(self, ndigits: int = 0) -> Any:
        return ops["round"](self, ndigits)

    def __getitem__(self, key: Any) -> Any:
        return ops["get_item"](self, key)


def _forward(name: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: ops[name](self, other)


def _backward(name: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: ops[name](other, self)


def _unary(name: str) -> Callable[[Any], Any]:
    return lambda self: ops[name](self)


for _python, _op in _BINARY.items():
    setattr(Operators, f"__{_python}__", _forward(_op))
    setattr(Operators, f"__r{_python}__", _backward(_op))
for _python, _op in _COMPARISONS.items():
    setattr(Operators, f"__{_python}__", _forward(_op))
for _python, _op in _UNARY.items():
    setattr(Operators, f"__{_python}__", _unary(_op))
Operators.__hash__ = object.__hash__  # type: ignore[method-assign]  # equality is element-wise, identity hashes
