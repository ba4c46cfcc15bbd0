"""`@op`: an op is written once, as its formula, and runs eagerly, under every compiler and symbolically."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast, overload

import numpy as np

from cornu.backend import current
from cornu.backend.contract import Array, Backend
from cornu.base import config, tree
from cornu.base.dtypes import float_type, is_float, result_type, standardize_dtype
from cornu.base.errors import ArgumentError, CornuError, DTypeError, OpError
from cornu.core.symbolic import KerasTensor, OpCall, any_symbolic, record
from cornu.core.variable import Variable

F = TypeVar("F", bound=Callable[..., Any])
Positions = tuple[int, ...]
Tensor = Any
"""Marks a parameter that becomes an array and takes part in dtype promotion."""
Untyped = Any
"""Marks a parameter that becomes an array and keeps its dtype: indices, conditions."""

natives = True
"""Whether ops may use their backend's native kernels; tests switch it off to run the bodies."""


@overload
def op(body: F) -> F: ...
@overload
def op(
    *,
    promotion: str | None = "same",
    check: Callable[..., None] | None = None,
    primitive: str | None = None,
    fuse: bool = True,
    sparse: str | None = None,
) -> Callable[[F], F]: ...


def op(
    body: Any = None,
    *,
    promotion: str | None = "same",
    check: Callable[..., None] | None = None,
    primitive: str | None = None,
    fuse: bool = True,
    sparse: str | None = None,
) -> Any:
    """Make an op of a function whose array parameters are annotated `Tensor`, `Untyped` or a `Sequence` of them.

    Array-likes among them are converted; those marked `Tensor` are promoted to one dtype (`promotion="same"`), to a
    floating one (`"float"`) or not at all (None). `check`, called first with the same arguments, raises for bad ones.
    Where the body is but a call of the backend's `primitive`, naming it saves the way through the body. On a backend
    that compiles, eager calls run the body as one program, unless it depends on values or has effects (`fuse=False`).
    Sparse matrices go to the backend's method `sparse`; all other ops make sparse arrays dense.
    With a symbolic tensor among the arguments the body is traced for its result's spec and a node is recorded.
    """
    if body is None:
        return functools.partial(op, promotion=promotion, check=check, primitive=primitive, fuse=fuse, sparse=sparse)
    name = body.__name__
    signature = inspect.signature(body)
    kinds = {
        i: ("Tensor" in str(p.annotation), "Sequence[" in str(p.annotation), p.name)
        for i, p in enumerate(signature.parameters.values())
        if "Tensor" in str(p.annotation) or "Untyped" in str(p.annotation)
    }
    array_names = {p for _, _, p in kinds.values()}
    lists = tuple(i for i, (_, many, _) in kinds.items() if many)
    several = [i for i, p in enumerate(signature.parameters.values()) if i in kinds and p.kind is p.VAR_POSITIONAL]
    rest = several[0] if several else None
    join = {"same": result_type, "float": float_type}.get(promotion or "")

    plain_only = rest is None and not any(many for _, many, _ in kinds.values())
    places = [(i, typed and join is not None) for i, (typed, _, _) in kinds.items()]
    wants_float = join is float_type
    lone = places[0][0] if plain_only and len(places) == 1 else None  # the only array parameter
    pair = plain_only and places == [(0, True), (1, True)]  # two arrays of one dtype and no other
    listed = places[0][0] if not plain_only and rest is None and len(places) == 1 and join is result_type else None
    fitting = (True,) if wants_float else (True, False)
    options = [(i, p) for i, p in enumerate(signature.parameters.values()) if i not in kinds]
    positions = tuple(i for i, p in options if p.kind is p.POSITIONAL_OR_KEYWORD)
    fuse = fuse and bool(kinds) and all(p.kind is not p.VAR_KEYWORD for _, p in options)
    direct = check is None and primitive is not None  # a call of the primitive, with nothing to save by a program

    def program(backend: Backend) -> Callable[..., Any]:
        """The call as one program of the backend, conversions and checks included."""
        if backend.programs_of != config.settings.version:  # bodies read settings, such as the default data format
            backend.programs, backend.programs_of = {}, config.settings.version
        found = backend.programs.get((call, natives))
        if found is None:
            found = backend.programs[call, natives] = backend.fused(call, positions, tuple(p.name for _, p in options))
        return found

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and not array_names.isdisjoint(kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        backend = current()
        # The usual case, decided cheaply: arrays of the backend, of one dtype where that matters, and numbers.
        known, count, ready = backend.known_arrays, len(args), plain_only
        dtype: Any
        if lone is not None:
            if lone < count and (value := args[lone]) is not None:
                ready = known.get((type(value), getattr(value, "dtype", None))) in fitting
        elif plain_only and not (
            pair
            and count > 1
            and known.get((type(args[0]), dtype := getattr(args[0], "dtype", None))) in fitting
            and type(args[1]) is type(args[0])
            and args[1].dtype == dtype
        ):
            dtype = None
            numbers: tuple[int, ...] = ()
            for i, takes_part in places:
                if i < count and (value := args[i]) is not None:
                    found = known.get((type(value), getattr(value, "dtype", None)))
                    if found is None:
                        if not takes_part or type(value) not in (float, int):
                            ready = False
                            break
                        numbers += (i,)
                    elif takes_part:
                        if wants_float and not found:
                            ready = False
                            break
                        if dtype is None:
                            dtype, floating = value.dtype, found
                        elif value.dtype != dtype:
                            ready = False
                            break
            if numbers and ready:
                ready = dtype is not None and floating
                if ready:
                    args = tuple(backend.scalar(a, dtype) if i in numbers else a for i, a in enumerate(args))
        if listed is not None and listed < count and type(items := args[listed]) is list and items:
            kinds_of = {(type(item), getattr(item, "dtype", None)) for item in items}
            ready = len(kinds_of) == 1 and kinds_of.pop() in known
        fused = fuse and not (ready and direct) and _fusible(backend.concrete, positions, lists, args, kwargs)
        if not ready and not fused:
            values = list(args)
            at = kinds if rest is None else kinds | dict.fromkeys(range(rest, len(values)), kinds[rest])
            for i, (_, many, parameter) in at.items():
                if i >= len(values):
                    break
                if many and not isinstance(values[i], list | tuple):
                    if not hasattr(values[i], "shape"):
                        raise DTypeError(f"{name}: {parameter} should be a list of tensors, got {values[i]!r}.")
                    values[i] = list(values[i])
                if many and not values[i]:
                    raise ArgumentError(f"{name}: {parameter} should hold at least one tensor, got {args[i]!r}.")
                for item in values[i] if many else (values[i],):
                    if isinstance(item, KerasTensor):
                        if check is not None:
                            check(*values, **kwargs)
                        return record(OpCall(call), call, tuple(values), kwargs, call)
            try:
                if sparse is not None and _are_sparse(backend, values):
                    return getattr(backend, sparse)(*values)
                _convert(backend, values, at, join)
            except (TypeError, ValueError) as error:
                if isinstance(error, CornuError):
                    raise
                raise OpError(f"{name}({_shown(args, kwargs)}): {error}{ragged_hint((args, kwargs))}") from error
            args = tuple(values)
        try:
            if fused:
                return program(backend)(*args, **kwargs)
            if check is not None:
                check(*args, **kwargs)
            if natives and backend.native and (native := backend.native.get(name)):
                found = native(*args, **kwargs)
                if found is not NotImplemented:
                    return found
            if primitive is not None:
                return getattr(backend, primitive)(*args, **kwargs)
            return body(*args, **kwargs)
        except CornuError:
            raise
        except backend.errors as error:
            if isinstance(error, backend.exhausted):
                error.add_note(f"Raised by {name}({_shown(args, kwargs)}).")
                raise
            hint = _repair(str(error)) + ragged_hint((args, kwargs))
            raise OpError(f"{name}({_shown(args, kwargs)}): {error}{hint}") from error

    call.primitive = primitive  # type: ignore[attr-defined]
    return call


def _repair(told: str) -> str:
    if not any(words in told for words in ("same device", "expected device", "incompatible devices")):
        return ""
    return " Bring one to the device of the other, or compute under `cornu.device(name)` from the first weight on."


_CONSTANTS = {int, bool, str, type(None)}
"""Types whose equal values are the same constant of a compiled program."""


def _fusible(
    concrete: type | None, positions: Positions, lists: Positions, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether there are arrays, all with values, and the arguments at the positions, or named, can be constants.

    Within the program its arrays have no values, so that the same call there is not fusible again.
    """
    if concrete is None:
        return False
    found = False
    for i, value in enumerate(args):
        if i in positions:
            if type(value) not in _CONSTANTS and not _is_constant(value):
                return False
        elif type(value) is concrete:
            found = True
        elif value is not None:
            if i not in lists or type(value) is not list or any(type(item) is not concrete for item in value):
                return False
            found = found or bool(value)
    return found and all(type(value) in _CONSTANTS or _is_constant(value) for value in kwargs.values())


def _is_constant(value: Any) -> bool:
    """Whether equal values of this kind are the same: not so 0.0 and -0.0, (1,) and (True,), NaN and itself."""
    if type(value) is float:
        return value == value and value != 0
    return type(value) is tuple and all(type(item) is int for item in value)


def structured_op(body: F) -> F:
    """Make an op of a function whose arguments are nests of tensors, with functions of them: nothing is converted.

    With a symbolic tensor among the leaves the body is traced for its result's spec and a node is recorded.
    """

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic((args, kwargs)):
            return record(OpCall(call), call, args, kwargs)
        return body(*args, **kwargs)

    return cast(F, call)


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
    dtype, beside = None, any(hasattr(v, "shape") for v in promoted)
    if join is not None and promoted:
        kinds_of: list[Any] = [type(v) if isinstance(v, int | float | bool | complex) else v.dtype for v in promoted]
        if join is float_type or len(kinds_of) > 1 or isinstance(kinds_of[0], type):
            dtype = _joined(join, config.floatx(), *kinds_of)
    for i, (typed, many, _) in kinds.items():
        if i >= len(values):
            break
        if many:
            values[i] = [_as_array(backend, item, dtype if typed else None, beside) for item in values[i]]
        elif values[i] is not None:
            values[i] = _as_array(backend, values[i], dtype if typed else None, beside)


@functools.cache
def _joined(join: Callable[..., str], floatx: str, *kinds: Any) -> str:
    """What the kinds promote to, which for Python numbers depends on `floatx`."""
    return join(*kinds)


def _array_or_scalar(backend: Backend, value: Any) -> Any:
    """An array of the backend, or a Python scalar, whose dtype is weak."""
    array_types: tuple[Any, ...] = backend.array_types
    if isinstance(value, backend.sparse_types):
        return backend.to_dense(value)
    if isinstance(value, array_types):
        backend.known_arrays[type(value), value.dtype] = is_float(standardize_dtype(value.dtype))
        return value
    if isinstance(value, bool | int | float | complex):
        return value
    return backend.convert(value.value if isinstance(value, Variable) else value)


def _are_sparse(backend: Backend, values: list[Any]) -> bool:
    """Whether the values are matrices of one dtype, some of them sparse; then the others become arrays."""
    if not any(isinstance(value, backend.sparse_types) for value in values):
        return False
    for i, value in enumerate(values):
        if not isinstance(value, backend.sparse_types):
            values[i] = backend.convert(value.value if isinstance(value, Variable) else value)
    return len({standardize_dtype(v.dtype) for v in values}) == 1 and all(len(v.shape) == 2 for v in values)


def _as_array(backend: Backend, value: Any, dtype: str | None, beside_array: bool) -> Array:
    if isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic):
        return backend.scalar(value, dtype) if beside_array and dtype else backend.convert(value, dtype)
    return value if dtype is None else backend.cast(value, dtype)


def ragged_hint(arguments: Any) -> str:
    """How to repair a call on rows of different length, if there are any among the arguments."""
    ragged = any(getattr(leaf, "ragged_rank", None) for leaf in tree.flatten(arguments))
    return " It was called on a ragged tensor: `x.to_tensor()` pads its rows to one length." if ragged else ""


def _shown(values: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """The arguments as an error shows them: arrays by shape and dtype."""

    def show(value: Any) -> str:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"{standardize_dtype(value.dtype)}{list(value.shape)}"
        if isinstance(value, list | tuple) and any(hasattr(item, "shape") for item in value):
            return f"[{', '.join(show(item) for item in value)}]"
        return repr(value)

    return ", ".join([*map(show, values), *(f"{key}={show(value)}" for key, value in kwargs.items())])
