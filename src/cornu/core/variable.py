"""The one mutable thing."""

from __future__ import annotations

import copy
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from cornu.backend import B, current, load
from cornu.backend.contract import Array, Backend, UserFunctions
from cornu.base import config, tree
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, BackendMismatchError, DTypeError, ShapeError, StateError, plain
from cornu.base.spec import standardize_shape
from cornu.core import configurable
from cornu.core.context import context
from cornu.core.names import auto_name
from cornu.core.operators import Operators
from cornu.core.tracking import changed


class Variable(Operators):
    """A value that may change: weights, optimizer slots, metrics, seeds.

    `initializer` is a value, or a function of `(shape, dtype)` that is called when the value is first needed; then
    `shape` is required. `dtype` defaults to that of the value, or `floatx`. With `autocast`, a layer that computes in
    another float dtype reads the variable in it. A variable belongs to the backend on which it was made.
    """

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
        layout: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise ArgumentError(f"Variable has no argument {', '.join(map(repr, kwargs))}.")
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ArgumentError(f"A variable's name should be a string without '/', got {name!r}.")
        if aggregation not in ("none", "mean", "sum", "only_first_replica", None):
            raise ArgumentError(
                f"aggregation should be 'none', 'mean', 'sum' or 'only_first_replica', got {aggregation!r}."
            )
        self.name = name or auto_name("variable")
        self.path = "/".join((*context.names, self.name))
        self._trainable = bool(trainable)
        changed()
        self.aggregation, self.synchronization, self.layout = aggregation or "none", synchronization, layout
        self.regularizer: Any = None
        self.constraint: Any = None
        self.overwrite_with_gradient = False
        self._autocast = autocast
        self._backend = config.backend()
        self._value: Array | None = None
        self._shared = False  # whether someone outside may hold the array, so that it must not be donated
        self._cells: dict[str, Any] = {}  # by backend: see `_live_in`
        self._initializer: Callable[..., Any] | None = None
        if isinstance(initializer, str):
            initializer = configurable.package("keras.initializers").get(initializer)
        if callable(initializer):
            if shape is None:
                raise ArgumentError(f"Variable {self.name!r}: an initializer needs the argument `shape`.")
            sizes = standardize_shape(shape, f"shape of variable {self.name!r}")
            self.shape = tuple(size for size in sizes if size is not None)
            if len(self.shape) < len(sizes):
                raise ShapeError(f"Variable {self.name!r}: every size must be known, got shape {sizes}.")
            self.dtype = B.canonical_dtype(standardize_dtype(dtype))
            # Initializers with a seed to draw do so now, so that results do not depend on when values are needed.
            self._initializer = initializer.bound() if hasattr(initializer, "bound") else initializer
        else:
            value = initializer._read() if isinstance(initializer, Variable) else initializer
            value = B.convert(value, None if dtype is None else standardize_dtype(dtype))
            self.shape, self.dtype = tuple(value.shape), standardize_dtype(value.dtype)
            theirs = isinstance(initializer, np.ndarray | Variable) or value is initializer
            self._value = B.copy(value) if theirs else value
            if shape is not None and standardize_shape(shape) != self.shape:
                raise ShapeError(f"Variable {self.name!r}: shape {tuple(shape)} asked, the value has {self.shape}.")

    @property
    def trainable(self) -> bool:
        """Whether the optimizer may update it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        changed()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def backend(self) -> str:
        """Name of the backend it belongs to."""
        return self._backend

    @property
    def value(self) -> Array:
        """The current value, as an array of the backend; computed now if it was not before."""
        if context.scope is None:
            self._shared = True
        value = self._read()
        cast_to = context.autocast
        if cast_to is not None and self._autocast and cast_to != self.dtype and is_float(self.dtype):
            return B.cast(value, cast_to)
        return value

    def _read(self) -> Array:
        backend = current()
        if self._backend != backend.name:
            raise self._mismatch(backend)
        functions = backend.user_functions
        if functions is None:
            return self._found(None)
        value = self._found(functions)
        functions.tell_tapes(self)
        return value

    def _found(self, functions: UserFunctions | None) -> Array:
        """The value here, in a function that the user compiles as well."""
        function = functions and functions.current()
        scope = context.scope
        while scope is not None and (function is None or scope.function is function):
            if self in scope.values:
                return scope.values[self]
            scope.read[self] = None
            if self._value is None and scope.abstract and not (functions and functions.is_recorded()):
                return B.zeros(self.shape, self.dtype)
            scope = scope.parent
        if functions and function is not None and (scope is not None or not isinstance(self, _Held)):
            return functions.late(self, function)
        if self._value is None:
            initialize([self])
        return self._value

    def _live_in(self, cell: Any) -> None:
        """Let the value be what the cell holds: `cell.read_value()`, changed by `cell.assign(value)`.

        While the variable belongs to another backend the cell waits.
        """
        self.__dict__.pop("_value", None)
        self._cells, self.__class__ = self._cells | {self._backend: cell}, _Held

    def _mismatch(self, backend: Backend) -> BackendMismatchError:
        return BackendMismatchError(
            f"Variable {self.path!r} belongs to the backend {self._backend!r}, the current one is "
            f"{backend.name!r}. Work with it under `cornu.config.backend_scope({self._backend!r})`."
        )

    _should_act_as_resource_variable = True

    @property
    def handle(self) -> Any:
        """What TensorFlow's tapes know it by."""
        return self._found(current().user_functions)

    def numpy(self) -> Any:
        """A copy of the value as a NumPy array."""
        backend = load(self._backend)
        with config.backend_scope(self._backend):
            return backend.to_numpy(self._read()).copy()

    def to_backend(self, name: str) -> None:
        """Belong to another backend from now on, with the same value."""
        if name == self._backend:
            return
        value = None if self._value is None else self.numpy()
        self.__dict__.pop("_value", None)
        self._backend, self.__class__ = name, _Held if name in self._cells else Variable
        with config.backend_scope(name):
            self.dtype = B.canonical_dtype(self.dtype)
            self._value, self._shared = None if value is None else B.convert(value, self.dtype), False
        changed()

    def assign(self, value: Any) -> Array:
        """Set the value; its shape must be the variable's. Returns the new value."""
        value = self._fitting(value)
        scope, backend = context.scope, current()
        functions = backend.user_functions
        if scope is not None:
            function = functions and functions.current()
            if function is not None and scope.function is not function:
                raise StateError(
                    f"Variable {self.path!r} is assigned within a model by a function that is compiled on its own: "
                    "leave its decorator out, for the model's steps are compiled as a whole."
                )
            scope.values[self] = value
            scope.written[self] = None
            return value
        if self._backend != backend.name:
            raise self._mismatch(backend)
        if backend.is_tracing(value) and not (functions and isinstance(self, _Held)):
            if (cell := functions and functions.cell(self)) is None:
                raise StateError(
                    f"Variable {self.path!r} was assigned a traced value outside of any state scope. Assign it inside "
                    "a layer's or model's call, or return the value from the compiled function."
                )
            self._live_in(cell)
        self._value, self._shared = value, True
        return value

    def _fitting(self, value: Any) -> Array:
        """`value` in the variable's dtype; ShapeError or DTypeError where it cannot be the variable's."""
        value = _plain(value)
        try:
            if isinstance(value, np.ndarray):  # copied, as the device may work on the very memory it is handed
                value = value.astype(float) if value.dtype.kind in "OSU" else value.copy()
            array = B.convert(value, self.dtype)
        except (TypeError, ValueError) as error:
            raise DTypeError(
                f"Variable {self.path!r} needs numbers of shape {self.shape}, got {plain(repr(value))}: {error}"
            ) from error
        if tuple(array.shape) != self.shape:
            raise ShapeError(
                f"Variable {self.path!r} has shape {self.shape}; a value of shape {tuple(array.shape)} does not fit."
            )
        return array

    def assign_add(self, value: Any) -> Array:
        """Increase by `value`."""
        return self.assign(self._read() + _plain(value))

    def assign_sub(self, value: Any) -> Array:
        """Decrease by `value`."""
        return self.assign(self._read() - _plain(value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        value = self.numpy()
        return value if dtype is None else value.astype(dtype)

    def __jax_array__(self) -> Array:
        return self.value

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Array:
        return self.value if dtype is None else B.cast(self.value, standardize_dtype(dtype))

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree.map_structure(_plain, (args, kwargs or {}))
        return func(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value.__index__())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"Variable {self.path!r} is a scalar and has no length.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return iter(self.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(self.__dict__, _cells=copy.deepcopy(self._cells, memo))
        if (value := self.__dict__.get("_value")) is not None:
            twin._value, twin._shared = load(self._backend).copy(value), False
        return twin

    def __repr__(self) -> str:
        value = "not initialised" if self._value is None else f"value={self.numpy()}"
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, {value}>"


class _Held(Variable):
    """One whose value a cell holds. A class of its own: elsewhere `_value` is a plain attribute, read on every call."""

    _value = property(lambda self: self._cell.read_value(), lambda self, value: self._cell.assign(value))
    _shared = property(lambda self: True, lambda self, value: None)
    """Always: whoever holds what was in the cell keeps it when `fit` writes."""

    @property
    def _cell(self) -> Any:
        return self._cells[self._backend]

    @property
    def handle(self) -> Any:
        """What TensorFlow's tapes know it by."""
        return self._cell.handle if context.scope is None else super().handle

    def __repr__(self) -> str:
        with load(self._backend).untraced():
            return super().__repr__()


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Variable) else value


def initialize(variables: Iterable[Variable]) -> None:
    """Give every variable that has none its first value; what comes from the host goes to the device in one go."""
    variables = dict.fromkeys(variables)
    if any(v._value is None for v in variables):
        with _drawing:
            _initialize([v for v in variables if v._value is None])


_drawing = threading.RLock()  # of several threads that need a variable at first one draws its value


def _initialize(waiting: list[Variable]) -> None:
    backend = current()
    for variable in waiting:
        if variable._backend != backend.name:
            raise variable._mismatch(backend)
    scope, context.scope = context.scope, None
    cast_to, context.autocast = context.autocast, None
    try:
        with B.untraced():
            drawn = _drawn(waiting)
            host = [i for i, value in enumerate(drawn) if isinstance(value, np.ndarray)]
            for i, array in zip(host, B.transfer([drawn[i] for i in host]), strict=True):
                drawn[i] = array
            for variable, value in zip(waiting, drawn, strict=True):
                value = B.convert(value, variable.dtype)
                if tuple(value.shape) != variable.shape:
                    raise ShapeError(
                        f"The initializer of variable {variable.path!r} returned shape {tuple(value.shape)}, "
                        f"expected {variable.shape}."
                    )
                variable._value, variable._initializer = value, None
    finally:
        context.scope, context.autocast = scope, cast_to


def _drawn(variables: list[Variable]) -> list[Any]:
    """The first values: those of our own initializers are drawn by NumPy, which lets several threads work at once."""

    def draw(variable: Variable) -> Any:
        initializer = variable._initializer
        return None if initializer is None else initializer(variable.shape, dtype=variable.dtype)

    ours = [v for v in variables if getattr(v._initializer, "on_host", False)]
    if sum(math.prod(v.shape) for v in ours) < 1 << 20:
        return [draw(v) for v in variables]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        largest_first = sorted(ours, key=lambda v: -math.prod(v.shape))
        ready = dict(zip(largest_first, pool.map(draw, largest_first), strict=True))
    return [ready[v] if v in ready else draw(v) for v in variables]
