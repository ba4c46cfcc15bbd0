"""Functions made from functions: derivatives, recomputation, compilation.

They see variables that the function reads or assigns as well as its arguments, may be nested in each other and in
control flow, and work on every backend that differentiates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B, current
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError
from cornu.base.spec import Spec
from cornu.core.op import structured_op
from cornu.core.state import Differentiable, StateScope, carried, seen, value_and_grad
from cornu.core.variable import Variable


def grad(fn: Callable[..., Any], variables: Sequence[Any] | None = None, has_aux: bool = False) -> Callable[..., Any]:
    """As `value_and_grad`, without the value: the gradients, and `aux` with `has_aux`.

    >>> print(ops.grad(lambda x: ops.sum(x**3))(ops.array([1.0, 2.0])))
    [ 3. 12.]
    """
    both = value_and_grad(fn, variables, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return structured_op(wrapped)


def vjp(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """`(fn(*primals), pullback)`: the pullback takes a gradient of the result to a tuple of those of the primals.

    Primals are nests of float tensors and variables; a variable is passed on as it is, and differentiated by. With
    `has_aux`, `fn` returns `(result, aux)` and `aux` comes third.

    >>> result, pullback = ops.vjp(ops.square, ops.array([1.0, 2.0]))
    >>> print(pullback(ops.array([1.0, 10.0]))[0])
    [ 2. 40.]
    """
    call = Differentiable("vjp", fn, primals, has_aux)
    leaves, pull, rest = B.vjp(call.pure, call.values)
    aux = call.finish(rest)

    def pullback(gradient: Any) -> Any:
        given = _like("vjp", "the gradient", gradient, leaves)
        return call.like_primals(pull(given))

    result = call.like_result(leaves)
    return (result, pullback, aux) if has_aux else (result, pullback)


@structured_op
def jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """`(fun(*primals), its derivative along the tangents)`, forward in one pass.

    `primals` is a list or tuple of nests of float tensors and variables, `tangents` alike. With `has_aux`, `fun`
    returns `(result, aux)` and `aux` comes third.

    >>> print(*ops.jvp(lambda x: x**3, [2.0], [1.0]))
    8.0 12.0
    """
    if not isinstance(primals, list | tuple) or not isinstance(tangents, list | tuple):
        raise ArgumentError("jvp: primals and tangents should be lists or tuples, one entry for each argument of fun.")
    call = Differentiable("jvp", fun, tuple(primals), has_aux)
    leaves, derivatives, rest = B.jvp(call.pure, call.values, _like("jvp", "tangents", tangents, call.values))
    aux = call.finish(rest)
    found = call.like_result(leaves), call.like_result(derivatives)
    return (*found, aux) if has_aux else found


@structured_op
def hessian_vector_product(fn: Callable[..., Any], primals: Any, vectors: Any) -> Any:
    """The derivative of `fn`'s gradient along `vectors`, in the form of `primals`, without forming the Hessian.

    `fn(*primals)` is a scalar; `primals` is a list or tuple of nests of float tensors and variables, `vectors` alike.
    One forward pass over one backward pass. https://doi.org/10.1162/neco.1994.6.1.147

    >>> x = ops.array([1.0, 2.0])
    >>> print(ops.hessian_vector_product(lambda x: ops.sum(x**4), [x], [ops.ones_like(x)])[0])
    [12. 48.]
    """
    if not isinstance(primals, list | tuple) or not isinstance(vectors, list | tuple):
        raise ArgumentError("hessian_vector_product: primals and vectors should be lists or tuples, one entry each.")
    call = Differentiable("hessian_vector_product", fn, tuple(primals), False)

    def gradient(values: list[Array]) -> tuple[list[Array], Any]:
        (_, rest), gradients = B.value_and_grad(call.scalar, values)
        return gradients, rest

    _, product, rest = B.jvp(gradient, call.values, _like("hessian_vector_product", "vectors", vectors, call.values))
    call.finish(rest)
    return type(primals)(call.like_primals(product))


def _like(name: str, what: str, given: Any, leaves: list[Array]) -> list[Array]:
    """The leaves of `given` as arrays with the shapes and dtypes of `leaves`."""
    found = [B.convert(leaf.value if isinstance(leaf, Variable) else leaf) for leaf in tree.flatten(given)]
    shapes, wanted = ([tuple(leaf.shape) for leaf in part] for part in (found, leaves))
    if shapes != wanted:
        raise ShapeError(f"{name}: {what} should have the shapes {wanted}, got {shapes}.")
    return [B.cast(a, standardize_dtype(b.dtype)) for a, b in zip(found, leaves, strict=True)]


def checkpoint(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, whose gradient computes intermediate values again instead of keeping them: less memory, more time.

    https://arxiv.org/abs/1604.06174

    >>> print(ops.grad(ops.checkpoint(lambda x: x**3))(2.0))
    12.0
    """

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments, arrays = _separated((args, kwargs))
        call = _Call(fn, arguments)
        leaves = carried(lambda values, pure: B.checkpoint(pure(call.flat))(values, arrays))
        return call.result(leaves)

    return structured_op(wrapped)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function of tensors whose result and gradient `f(*args)` returns as `(result, gradient function)`.

    `gradient function(*gradients of the result)` returns those of the arguments, one or a tuple, None for zeros; it may
    also take the keyword `upstream`. It runs `f` again, so that it may use what `f` has computed.

    >>> @ops.custom_gradient
    ... def clipped(x):
    ...     return x, lambda upstream: ops.clip(upstream, -1, 1)
    >>> print(ops.grad(lambda x: 5 * clipped(x))(2.0))
    1.0
    """

    @functools.wraps(f)
    def wrapped(*args: Any) -> Any:
        arrays = [B.convert(a.value if isinstance(a, Variable) else a) for a in args]
        form: list[Any] = []

        def forward(*values: Array) -> tuple[Any, Any]:
            result, _ = _pair(f(*values))
            form[:] = [result]
            return tree.flatten(result), values

        def backward(values: Any, gradients: Any) -> tuple[Array, ...]:
            found = _pair(f(*values))[1](*gradients)
            found = list(found) if isinstance(found, list | tuple) else [found]
            for i, value in enumerate(values[: len(found)]):
                found[i] = B.zeros(value.shape, standardize_dtype(value.dtype)) if found[i] is None else found[i]
            return tuple(_like("custom_gradient", "the gradients", found, list(values)))

        leaves = B.custom_gradient(forward, backward)(*arrays)
        return tree.pack_sequence_as(form[0], leaves)

    return structured_op(wrapped)


def _pair(returned: Any) -> Any:
    if not isinstance(returned, tuple) or len(returned) != 2 or not callable(returned[1]):
        raise ArgumentError("custom_gradient: the function should return (result, gradient function).")
    return returned


def jit(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` compiled, once for each combination of shapes, dtypes and other arguments.

    Tensors and NumPy arrays are inputs of the compiled program; numbers, strings and other objects belong to it, so a
    number that changes is better passed as a tensor. Variables that `fn` reads or assigns are read and assigned at each
    call. What else `fn` does happens once, when it is compiled.

    >>> print(ops.jit(lambda x, power: ops.sum(x**power))(ops.array([1.0, 2.0]), 3))
    9.0
    """
    programs: dict[Any, Callable[[list[Array]], Any]] = {}

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments, arrays = _separated((args, kwargs))
        key = (current().name, tuple(Spec.of(a) for a in arrays), _fixed(arguments))
        if key not in programs:
            programs[key] = _program(_Call(fn, arguments), arrays)
        return programs[key](arrays)

    return structured_op(wrapped)


def _program(call: _Call, arrays: list[Array]) -> Callable[[list[Array]], Any]:
    """The compiled call, as a function of arrays like these."""
    probe = seen(call.flat, arrays)
    variables, written = list(probe.read), list(probe.written)

    def pure(values: list[Array], arrays: list[Array]) -> tuple[list[Array], list[Array]]:
        with StateScope(zip(variables, values, strict=True)) as scope:
            leaves = call.flat(arrays)
            return [scope.values[v] for v in written], leaves

    compiled = B.compile(pure)

    def run(arrays: list[Array]) -> Any:
        updates, leaves = (pure if B.pushing else compiled)([v._read() for v in variables], arrays)
        for variable, value in zip(written, updates, strict=True):
            variable.assign(value)
        return call.result(leaves)

    return run


class _Frame:
    """What is left of a nest without its arrays."""

    def __init__(self, leaves: list[Any], are_arrays: list[bool], form: Any) -> None:
        self._are_arrays, self.form = are_arrays, form
        self.others = tuple(None if is_array else leaf for leaf, is_array in zip(leaves, are_arrays, strict=True))

    def filled(self, arrays: list[Array]) -> Any:
        """The nest with these arrays."""
        given = iter(arrays)
        return self.form.unflatten(
            [next(given) if is_array else leaf for leaf, is_array in zip(self.others, self._are_arrays, strict=True)]
        )


def _separated(nest: Any) -> tuple[_Frame, list[Array]]:
    """A nest without its arrays, and the arrays, NumPy's as those of the backend."""
    leaves = tree.flatten(nest)
    types = (*current().array_types, np.ndarray)
    are_arrays = [isinstance(leaf, types) for leaf in leaves]
    arrays = [B.convert(leaf) for leaf, is_array in zip(leaves, are_arrays, strict=True) if is_array]
    return _Frame(leaves, are_arrays, tree.structure(nest)), arrays


class _Call:
    """A call as a function of the arrays among its arguments, of which it keeps none."""

    def __init__(self, fn: Callable[..., Any], arguments: _Frame) -> None:
        self._fn, self._arguments = fn, arguments
        self._result: Any = None

    def flat(self, arrays: list[Array]) -> list[Array]:
        """The arrays among the leaves of the result."""
        args, kwargs = self._arguments.filled(arrays)
        self._result, found = _separated(self._fn(*args, **kwargs))
        return found

    def result(self, arrays: list[Array]) -> Any:
        """The result with these arrays among its leaves."""
        return self._result.filled(arrays)


def _fixed(arguments: _Frame) -> Any:
    """What is not an array, as a key."""
    try:
        hash(arguments.others)
    except TypeError:
        types = [type(leaf).__name__ for leaf in arguments.others]
        raise ArgumentError(
            f"jit: arguments that are no tensors should be hashable, got {types}. Pass numbers that change as tensors."
        ) from None
    return arguments.others, tuple(map(type, arguments.others)), arguments.form
