"""`@op`: an op is written once, as its formula, and runs eagerly, under every compiler and symbolically."""

from __future__ import annotations

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from cornu.backend import current
from cornu.backend.contract import Array, Backend
from cornu.base.dtypes import float_type, is_float, result_type, standardize_dtype
from cornu.base.errors import CornuError, DTypeError, OpError
from cornu.core.symbolic import KerasTensor, OpCall, record
from cornu.core.variable import Variable

F = TypeVar("F", bound=Callable[..., Any])
Tensor = Any
"""Marks a parameter that becomes an array and takes part in dtype promotion."""
Untyped = Any
"""Marks a parameter that becomes an array and keeps its dtype: indices, conditions."""

natives = True
"""Whether ops may use their backend's native kernels; tests switch it off to run the bodies."""
_known_types: defaultdict[str, set[type]] = defaultdict(set)
"""By backend, the types that were seen to be its arrays."""


@overload
def op(body: F) -> F: ...
@overload
def op(*, promotion: str | None = "same", check: Callable[..., None] | None = None) -> Callable[[F], F]: ...


def op(body: Any = None, *, promotion: str | None = "same", check: Callable[..., None] | None = None) -> Any:
    """Make an op of a function whose array parameters are annotated `Tensor`, `Untyped` or a `Sequence` of them.

    Array-likes among them are converted; those marked `Tensor` are promoted to one dtype (`promotion="same"`), to a
    floating one (`"float"`) or not at all (None). `check`, called first with the same arguments, raises for bad ones.
    With a symbolic tensor among the arguments the body is traced for its result's spec and a node is recorded.
    """
    if body is None:
        return functools.partial(op, promotion=promotion, check=check)
    name = body.__name__
    signature = inspect.signature(body)
    kinds = {
        i: ("Tensor" in str(p.annotation), "Sequence[" in str(p.annotation), p.name)
        for i, p in enumerate(signature.parameters.values())
        if "Tensor" in str(p.annotation) or "Untyped" in str(p.annotation)
    }
    array_names = {p for _, _, p in kinds.values()}
    join = {"same": result_type, "float": float_type}.get(promotion or "")

    firsts = [i for i, (_, many, _) in kinds.items() if not many]
    typed_firsts = [i for i, (typed, many, _) in kinds.items() if typed and not many]
    plain_only = len(firsts) == len(kinds)
    wants_float = join is float_type

    def is_ready(backend: Backend, args: tuple[Any, ...]) -> bool:
        """Whether the arguments are arrays of the backend that need no promotion: the usual case, decided cheaply."""
        known, count = _known_types[backend.name], len(args)
        for i in firsts:
            if i < count and type(args[i]) not in known and args[i] is not None:
                return False
        if join is not None:
            dtype = None
            for i in typed_firsts:
                if i < count and args[i] is not None:
                    if dtype is None:
                        dtype = args[i].dtype
                    elif args[i].dtype != dtype:
                        return False
            return not wants_float or dtype is None or is_float(standardize_dtype(dtype))
        return True

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and not array_names.isdisjoint(kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        backend = current()
        if not plain_only or not is_ready(backend, args):
            values = list(args)
            for i, (_, many, parameter) in kinds.items():
                if i >= len(values):
                    break
                if many and not isinstance(values[i], list | tuple):
                    if not hasattr(values[i], "shape"):
                        raise DTypeError(f"{name}: {parameter} should be a list of tensors, got {values[i]!r}.")
                    values[i] = list(values[i])
                for item in values[i] if many else (values[i],):
                    if isinstance(item, KerasTensor):
                        if check is not None:
                            check(*values, **kwargs)
                        return record(OpCall(call), call, tuple(values), kwargs, call)
            try:
                _convert(backend, values, kinds, join)
            except (TypeError, ValueError) as error:
                if isinstance(error, CornuError):
                    raise
                raise OpError(f"{name}({_shown(args, kwargs)}): {error}") from error
            args = tuple(values)
        try:
            if check is not None:
                check(*args, **kwargs)
            return ((natives and backend.native.get(name)) or body)(*args, **kwargs)
        except CornuError:
            raise
        except (TypeError, ValueError, IndexError) as error:
            raise OpError(f"{name}({_shown(args, kwargs)}): {error}") from error

    return call


def _convert(
    backend: Backend, values: list[Any], kinds: dict[int, tuple[bool, bool, str]], join: Callable[..., str] | None
) -> None:
    """Replace the array arguments among `values` by arrays of the backend, of one dtype where `join` names it."""
    promoted: list[Any] = []
    for i, (typed, many, _) in kinds.items():
        if i >= len(values):
            break
        if many:
            values[i] = [_array_or_scalar(backend, item) for item in values[i]]
            promoted += values[i] if typed else ()
        elif values[i] is not None:
            values[i] = _array_or_scalar(backend, values[i])
            if typed:
                promoted.append(values[i])
    dtype = None
    if join is not None and promoted:
        kinds_of = [type(v) if isinstance(v, int | float | bool | complex) else v.dtype for v in promoted]
        if join is float_type or len(kinds_of) > 1 or isinstance(kinds_of[0], type):
            dtype = join(*kinds_of)
    for i, (typed, many, _) in kinds.items():
        if i >= len(values):
            break
        if many:
            values[i] = [_as_array(backend, item, dtype if typed else None) for item in values[i]]
        elif values[i] is not None:
            values[i] = _as_array(backend, values[i], dtype if typed else None)


def _array_or_scalar(backend: Backend, value: Any) -> Any:
    """An array of the backend, or a Python scalar, whose dtype is weak."""
    if type(value) in _known_types[backend.name] or isinstance(value, bool | int | float | complex):
        return value
    if isinstance(value, backend.array_types):
        _known_types[backend.name].add(type(value))
        return value
    return backend.convert(value.value if isinstance(value, Variable) else value)


def _as_array(backend: Backend, value: Any, dtype: str | None) -> Array:
    if isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic):
        return backend.convert(value, dtype)
    return value if dtype is None else backend.cast(value, dtype)


def _shown(values: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """The arguments as an error shows them: arrays by shape and dtype."""

    def show(value: Any) -> str:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"{standardize_dtype(value.dtype)}{list(value.shape)}"
        if isinstance(value, list | tuple) and any(hasattr(item, "shape") for item in value):
            return f"[{', '.join(show(item) for item in value)}]"
        return repr(value)

    return ", ".join([*map(show, values), *(f"{key}={show(value)}" for key, value in kwargs.items())])
