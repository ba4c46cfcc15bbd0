"""Control flow, and differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cornu.backend import B
from cornu.base import tree
from cornu.core.state import value_and_grad

__all__ = ["cond", "fori_loop", "grad", "scan", "value_and_grad", "while_loop"]


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """`true_fn(*operands)` if `pred`, else `false_fn(*operands)`; both return the same nest of shapes and dtypes."""
    return B.cond(B.convert(pred, "bool"), true_fn, false_fn, *operands)


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """`loop_vars = body(*loop_vars)` while `cond(*loop_vars)`, at most `maximum_iterations` times."""
    several = isinstance(loop_vars, list | tuple)
    state = tuple(loop_vars) if several else (loop_vars,)
    state = tree.map_structure(B.convert, state)

    def step(carry: Any) -> Any:
        count, values = carry
        new = body(*values)
        return count + 1, tuple(new) if several else (new,)

    def more(carry: Any) -> Any:
        count, values = carry
        go_on = B.convert(cond(*values), "bool")
        return go_on if maximum_iterations is None else B.logical_and(go_on, count < maximum_iterations)

    _, values = B.while_loop(more, step, (B.convert(0, "int32"), state))
    return tuple(values) if several else values[0]


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """`value = body_fun(i, value)` for i from `lower` to below `upper`."""
    lower, upper = B.convert(lower, "int32"), B.convert(upper, "int32")
    state = tree.map_structure(B.convert, init_val)
    return B.loop(B.maximum(upper - lower, 0), lambda i, value: body_fun(lower + i, value), state)


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """`carry, y = f(carry, x)` over the leading axis of `xs`: the last carry and the stacked ys."""
    xs = tree.map_structure(lambda x: None if x is None else B.convert(x), xs)
    if length is None:
        length = next(leaf for leaf in tree.flatten(xs) if leaf is not None).shape[0]
    steps = length if unroll is True else max(int(unroll), 1)
    return B.scan(f, tree.map_structure(B.convert, init), xs, length, reverse, steps)


def grad(fn: Callable[..., Any], variables: Sequence[Any] | None = None, has_aux: bool = False) -> Callable[..., Any]:
    """As `value_and_grad`, without the value: the gradients, and `aux` with `has_aux`."""
    both = value_and_grad(fn, variables, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return wrapped
