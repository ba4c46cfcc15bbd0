"""The state scope: within it, any code that reads and assigns variables is a pure function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, CornuError, DTypeError, StateError
from cornu.base.spec import Shape, Spec
from cornu.core.context import context
from cornu.core.variable import Variable, initialize


class StateScope:
    """Binds variables to values within a `with` block: reads see them, `assign` records new ones.

    Scopes nest; a read looks outwards, a write stays in the innermost. An `abstract` scope gives variables that have
    no value yet one of the right shape and dtype, for inferring shapes.
    """

    def __init__(self, bound: Iterable[tuple[Variable, Array]] = (), abstract: bool = False) -> None:
        self.values: dict[Variable, Array] = dict(bound)
        self.written: dict[Variable, None] = {}
        self.read: dict[Variable, None] = {}  # from outside
        self.abstract = abstract
        self.parent: StateScope | None = None
        functions = B.user_functions  # within the current one the values are those of the scope
        self.function = None if functions is None else functions.current()

    def __enter__(self) -> StateScope:
        self.parent, context.scope = context.scope, self
        if self.parent is not None:
            self.abstract = self.abstract or self.parent.abstract
        return self

    def __exit__(self, *exc: object) -> None:
        context.scope = self.parent

    def get(self, variable: Variable) -> Array:
        """The value bound or written last, else the variable's own."""
        return self.values[variable] if variable in self.values else variable._read()


def pairs(groups: Iterable[Any], values: Iterable[Any]) -> list[tuple[Variable, Array]]:
    """The variables of all groups with their values; ValueError where the numbers of a group differ."""
    return [pair for group, given in zip(groups, values, strict=True) for pair in zip(group, given, strict=True)]


def functional(fn: Callable[..., Any], variables: Sequence[Variable]) -> Callable[..., tuple[list[Array], Any]]:
    """`fn` as a pure function: `(values, *args) -> (new values, result)`, with the values of `variables` in order."""

    known = set(variables)

    def pure(values: list[Array], *args: Any) -> tuple[list[Array], Any]:
        with StateScope(zip(variables, values, strict=True)) as scope:
            result = fn(*args)
            stray = [v.path for v in scope.written if v not in known]
            if stray:
                raise StateError(
                    f"Variables {', '.join(map(repr, stray))} were assigned in a compiled step they are no part of. "
                    "Make them attributes of the model, of one of its layers or of a metric."
                )
            return [scope.values[v] for v in variables], result

    return pure


def carried(
    run: Callable[[list[Array], Callable[..., Any]], tuple[list[Array], Any]], variables: Sequence[Variable] = ()
) -> Any:
    """The result of `run(values, pure)`, a loop or branch whose functions may assign variables.

    `run` threads `values` through its functions, each wrapped as `pure(fn)`: `(values, *args) -> (new values, result)`.
    Which variables those are is known after a first run; where others than `variables` are assigned it is repeated.
    """
    if B.loops_in_python:
        return run([], lambda fn: lambda values, *args: (values, fn(*args)))[1]
    variables = list(variables)
    written: dict[Variable, None] = {}

    def pure(fn: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(values: list[Array], *args: Any) -> tuple[list[Array], Any]:
            with StateScope(zip(variables, values, strict=True)) as scope:
                result = fn(*args)
                written.update(scope.written)
                return [scope.values[v] for v in variables], result

        return wrapped

    while True:
        values, result = run([v._read() for v in variables], pure)
        missing = [v for v in written if v not in variables]
        if not missing:
            break
        variables += missing
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return result


def seen(fn: Callable[[list[Array]], Any], arrays: list[Array]) -> StateScope:
    """A scope that tells which variables `fn(arrays)` reads and assigns; nothing is computed or assigned."""
    probe = StateScope(abstract=True)

    def look(arrays: list[Array]) -> Any:
        with probe:
            return fn(arrays)

    infer(look, [Spec.of(a) for a in arrays])
    return probe


class Differentiable:
    """`fn(*primals)` as a pure function of the leaves of `primals`: arrays, or variables that `fn` reads.

    `pure(values)` returns `([leaves of the result], (aux, new values))`, which `finish` takes to assign variables.
    """

    def __init__(self, name: str, fn: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool) -> None:
        self._name, self._fn, self._primals, self._has_aux = name, fn, primals, has_aux
        self._leaves = tree.flatten(primals)
        self._written: list[Variable] = []
        self._result: Any = None
        initialize(leaf for leaf in self._leaves if isinstance(leaf, Variable))
        self.values = [leaf._read() if isinstance(leaf, Variable) else B.convert(leaf) for leaf in self._leaves]
        for value in self.values:
            if not is_float(standardize_dtype(value.dtype)):
                raise DTypeError(
                    f"{name}: only floats can be differentiated, got {standardize_dtype(value.dtype)} of shape "
                    f"{tuple(value.shape)}. Cast it, or pass it to the function in another way."
                )

    def pure(self, values: list[Array]) -> tuple[list[Array], Any]:
        bound = [(leaf, value) for leaf, value in zip(self._leaves, values, strict=True) if isinstance(leaf, Variable)]
        given = [leaf if isinstance(leaf, Variable) else v for leaf, v in zip(self._leaves, values, strict=True)]
        with StateScope(bound) as scope:
            result = self._fn(*tree.pack_sequence_as(self._primals, given))
            if self._has_aux and not (isinstance(result, tuple) and len(result) == 2):
                raise ArgumentError(f"{self._name}: with has_aux=True the function should return (result, aux).")
            self._result, aux = result if self._has_aux else (result, None)
            self._written = list(scope.written)
            updates = [scope.values[v] for v in self._written]
            return [B.convert(leaf) for leaf in tree.flatten(self._result)], (aux, updates)

    def scalar(self, values: list[Array]) -> tuple[Array, Any]:
        """As `pure`, for a function whose result is one number."""
        leaves, rest = self.pure(values)
        if [tuple(leaf.shape) for leaf in leaves] != [()]:
            raise ArgumentError(
                f"{self._name}: the function should return a scalar, got "
                f"{', '.join(str(tuple(leaf.shape)) for leaf in leaves) or 'nothing'}. Take the sum or the mean."
            )
        return leaves[0], rest

    def finish(self, rest: Any) -> Any:
        """Assign what `fn` assigned; returns its `aux`."""
        aux, updates = rest
        for variable, value in zip(self._written, updates, strict=True):
            variable.assign(value)
        return aux

    def like_result(self, leaves: list[Array]) -> Any:
        """Leaves in the form of the result."""
        return tree.pack_sequence_as(self._result, leaves)

    def like_primals(self, leaves: list[Array]) -> Any:
        """Leaves in the form of the primals."""
        return tree.pack_sequence_as(self._primals, leaves)


def value_and_grad(
    fn: Callable[..., Any], variables: Sequence[Variable] | None = None, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns `fn`'s result and its gradient.

    With `variables`, the gradients are a list, one for each; without, they have the form of `fn`'s first argument.
    `fn` returns a scalar, or `(scalar, aux)` with `has_aux`; it may assign variables. NumPy has no gradients.

    >>> print(*ops.value_and_grad(lambda x: x**2)(3.0))
    9.0 6.0
    """

    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if variables is None:
            if not args:
                raise ArgumentError("value_and_grad: the function was called without the argument to differentiate by.")
            call = Differentiable("value_and_grad", lambda first: fn(first, *args[1:], **kwargs), args[:1], has_aux)
        else:
            call = Differentiable("value_and_grad", lambda *_: fn(*args, **kwargs), tuple(variables), has_aux)
        (loss, rest), leaves = B.value_and_grad(call.scalar, call.values)
        aux, gradients = call.finish(rest), call.like_primals(leaves)
        return (loss, aux) if has_aux else loss, gradients[0] if variables is None else list(gradients)

    return wrapped


def infer(fn: Callable[[list[Array]], Any], specs: list[Spec], variables: Sequence[Variable] = ()) -> Any:
    """The nest of Specs that `fn(arrays)` returns, without computing, drawing or assigning anything.

    Naming the `variables` that `fn` reads makes it faster.
    """
    count = len(specs)

    def within_scope(arrays: list[Array]) -> Any:
        with StateScope(zip(variables, arrays[count:], strict=True), abstract=True):
            return fn(arrays[:count])

    try:
        return B.infer(within_scope, [*specs, *(Spec(v.shape, v.dtype) for v in variables)])
    except CornuError as error:
        low, high = B.probe_sizes
        shown = re.sub(rf"\b({low}|{high})\b", "None", str(error)) if low > 1000 else str(error)
        if shown == str(error):
            raise
        told = type(error)(shown)
        told.__dict__.update(error.__dict__)
        raise told from error  # in the user's sizes, not in those that stood for unknown ones


def known_shape(x: Any) -> Shape | None:
    """The shape of `x`, None where a size stands for an unknown one during inference; None for no array."""
    if not hasattr(x, "shape"):
        return None
    shape = tuple(x.shape)
    if context.scope is not None and context.scope.abstract:
        low, high = B.probe_sizes
        return tuple(None if s in (low, high) and (i == 0 or low > 1000) else s for i, s in enumerate(shape))
    return shape
