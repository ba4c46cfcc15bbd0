"""The state scope: within it, any code that reads and assigns variables is a pure function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.errors import CornuError, StateError
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
        self.abstract = abstract
        self.parent: StateScope | None = None

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


def functional(fn: Callable[..., Any], variables: Sequence[Variable]) -> Callable[..., tuple[list[Array], Any]]:
    """`fn` as a pure function: `(values, *args) -> (new values, result)`, with the values of `variables` in order."""

    known = set(variables)

    def pure(values: list[Array], *args: Any) -> tuple[list[Array], Any]:
        with StateScope(zip(variables, values, strict=True)) as scope:
            result = fn(*args)
            stray = [v.path for v in scope.written if v not in known]
            if stray:
                raise StateError(
                    f"Variables {', '.join(map(repr, stray))} were assigned in a compiled step they are no part "
                    "of. Make "
                    "them attributes of the model, of one of its layers or of a metric."
                )
            return [scope.values[v] for v in variables], result

    return pure


def value_and_grad(
    fn: Callable[..., Any], variables: Sequence[Variable] | None = None, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns `fn`'s result and its gradient.

    With `variables`, the gradients are a list, one for each; without, they have the form of `fn`'s first argument.
    `fn` returns a scalar, or `(scalar, aux)` with `has_aux`; it may assign variables. NumPy has no gradients.
    """

    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        written: list[Variable] = []

        def pure(values: list[Array]) -> tuple[Array, Any]:
            with StateScope(zip(variables or (), values, strict=False)) as scope:
                if variables is None:
                    out = fn(tree.pack_sequence_as(args[0], values), *args[1:], **kwargs)
                else:
                    out = fn(*args, **kwargs)
                loss, aux = out if has_aux else (out, None)
                written[:] = scope.written
                return loss, (aux, [scope.values[v] for v in scope.written])

        if variables is None:
            values = [B.convert(leaf) for leaf in tree.flatten(args[0])]
        else:
            initialize(variables)
            values = [v._read() for v in variables]
        (loss, (aux, updates)), grads = B.value_and_grad(pure, values)
        for variable, value in zip(written, updates, strict=True):
            variable.assign(value)
        result = (loss, aux) if has_aux else loss
        return result, tree.pack_sequence_as(args[0], grads) if variables is None else grads

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
