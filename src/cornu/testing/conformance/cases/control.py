"""Control flow and differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cornu.testing.conformance.case import Case, ints, v, x

C = Case


def _sum_of_powers(ops: Any, x: Any) -> Any:
    return ops.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s + x**2), (0, ops.zeros_like(x)))[1]


def _doubled(ops: Any, x: Any) -> Any:
    return ops.while_loop(lambda v: ops.max(ops.abs(v)) < 9, lambda v: 2 * v, x, maximum_iterations=2)


def _sign_aware(ops: Any, a: Any, b: Any) -> Any:
    return ops.cond(ops.sum(a) > 9, ops.add, ops.subtract, a, b)


def _branch(ops: Any, index: Any, x: Any) -> Any:
    return ops.switch(ops.sum(index), [lambda x: x, lambda x: 2 * x, lambda x: x**2], x)


def _cumulated(ops: Any, x: Any, reverse: bool) -> Any:
    return ops.scan(lambda c, v: (c + v, c + v), ops.zeros_like(x[0]), x, reverse=reverse)


def _sum_of_none(ops: Any, x: Any) -> Any:
    return ops.scan(lambda c, v: (c + v, c + v), ops.zeros(x.shape[1:], x.dtype), x)


def _sums(x: np.ndarray, reverse: bool) -> list[np.ndarray]:
    return [x.sum(0), np.cumsum(x[::-1], 0)[::-1] if reverse else np.cumsum(x, 0)]


def _affine(ops: Any, a: Any, b: Any) -> Any:
    """The states of s ← a s + b, for all times at once."""
    return ops.associative_scan(lambda f, g: (f[0] * g[0], g[0] * f[1] + g[1]), (a, b))[1]


def _affine_oracle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    state, states = np.zeros_like(a[0]), []
    for factor, term in zip(a, b, strict=True):
        state = factor * state + term
        states.append(state)
    return np.stack(states)


def _running(**options: Any) -> Callable[..., Any]:
    return lambda ops, x: ops.associative_scan(lambda a, b: ops.maximum(a, b), x, **options)


def _inner(ops: Any, a: Any, b: Any) -> Any:
    return ops.vectorize(lambda a, b: ops.sum(a * b), signature="(n),(n)->()")(a, b)


def _clipped(ops: Any, x: Any) -> Any:
    """x², with the derivative of x³ / 3."""

    def square(x: Any) -> Any:
        return x**2, lambda upstream: upstream * x**2

    return ops.custom_gradient(square)(x)


CONTROL = [
    C("cond", (x(2, 3),), np.abs, call=lambda ops, x: ops.cond(ops.sum(x) > 0, ops.abs, ops.abs, x)),
    C("cond", (v(1, 2), v(3, 4)), np.subtract, call=_sign_aware, label="operands", batch=False),
    C("cond", (v(9, 2), v(3, 4)), np.add, call=_sign_aware, label="true", batch=False),
    *(
        C("switch", (np.array([i]), x(3)), lambda i, x, y=y: y(x), call=_branch, label=str(i), batch=False)
        for i, y in (
            (-1, lambda x: x),
            (0, lambda x: x),
            (1, lambda x: 2 * x),
            (2, np.square),
            (9, np.square),
        )
    ),
    C("while_loop", (x(2, 3),), lambda x: 3 * x**2, call=_sum_of_powers, gradient=False, batch=False, symbolic=False),
    C("while_loop", (x(2, low=1),), lambda x: 4 * x, call=_doubled, label="at most 2"),
    C(
        "fori_loop",
        (x(2, 3),),
        lambda x: 120 * x,
        call=lambda ops, x: ops.fori_loop(2, 6, lambda i, v: v * ops.cast(i, v.dtype), x),
    ),
    C(
        "fori_loop",
        (ints(1, low=2, high=3), x(2, 3)),
        lambda n, x: 4 * x,
        call=lambda ops, n, x: ops.fori_loop(0, n[0], lambda i, v: v + v, x),
        gradient=False,
        batch=False,
        label="computed bound",
    ),
    *(C("scan", (x(4, 3),), _sums, {"reverse": reverse}, call=_cumulated) for reverse in (False, True)),
    C("scan", (x(0, 3),), lambda x: [np.zeros(3), x], call=_sum_of_none, label="empty", batch=False),
    C("map", (x(4, 3),), lambda x: x.sum(1), call=lambda ops, x: ops.map(ops.sum, x)),
    C(
        "map",
        (x(4, 3), x(4)),
        lambda x, y: x * y[:, None],
        call=lambda ops, x, y: ops.map(lambda pair: pair["x"] * pair["y"], {"x": x, "y": y}),
        label="nest",
    ),
    C("vectorized_map", (x(4, 3),), lambda x: x.sum(1), call=lambda ops, x: ops.vectorized_map(ops.sum, x)),
    C(
        "vectorized_map",
        (x(4, 2, 3), x(4, 3)),
        lambda x, y: [np.einsum("bij,bj->bi", x, y), y],
        call=lambda ops, x, y: ops.vectorized_map(lambda pair: (ops.matmul(*pair), pair[1]), (x, y)),
        label="nest",
    ),
    C("vectorize", (x(3, 1, 4), x(2, 4)), lambda a, b: (a * b).sum(-1), call=_inner, batch=False),
    C(
        "vectorize",
        (x(3, 1), x(2)),
        np.maximum,
        call=lambda ops, a, b: ops.vectorize(lambda a, b: ops.where(a > b, a, b))(a, b),
        label="scalars",
        batch=False,
    ),
    C("associative_scan", (x(7, 2, low=0.5), x(7, 2)), _affine_oracle, call=_affine, batch=False, label="affine"),
    C("associative_scan", (x(2, 5),), lambda x: np.maximum.accumulate(x, 1), call=_running(axis=1), label="axis"),
    C(
        "associative_scan",
        (x(6, 2),),
        lambda x: np.maximum.accumulate(x[::-1])[::-1],
        call=_running(reverse=True),
        batch=False,
        label="reverse",
    ),
    C("associative_scan", (x(1, 2),), lambda x: x, call=_running(), batch=False, label="one"),
    C("jit", (x(2, 3),), np.sin, call=lambda ops, x: ops.jit(ops.sin)(x)),
    C(
        "checkpoint",
        (x(2, 3),),
        lambda x: np.sin(x) ** 2,
        call=lambda ops, x: ops.checkpoint(lambda x: ops.sin(x) ** 2)(x),
    ),
    C("custom_gradient", (x(2, 3),), np.square, call=_clipped, gradient=False),
]
# They differentiate, so a backend without gradients has no case of them to run.
DIFFERENTIATION = [
    C(
        "value_and_grad",
        (x(2, 3),),
        lambda x: [np.sum(x**3), 3 * x**2],
        call=lambda ops, x: ops.value_and_grad(lambda v: ops.sum(v**3))(x),
        symbolic=False,
        gradient=False,
    ),
    C("grad", (x(2, 3),), np.cos, call=lambda ops, x: ops.grad(lambda v: ops.sum(ops.sin(v)))(x)),
    C(
        "grad",
        (x(2, 3),),
        lambda x: x**2,
        call=lambda ops, x: ops.grad(lambda v: ops.sum(_clipped(ops, v)))(x),
        label="custom",
    ),
    C(
        "vjp",
        (x(2, 3), x(2, 3)),
        lambda x, g: [np.sin(x), g * np.cos(x)],
        call=lambda ops, x, g: (lambda out, pull: [out, *pull(g)])(*ops.vjp(ops.sin, x)),
        symbolic=False,
    ),
    C(
        "jvp",
        (x(2, 3), x(2, 3)),
        lambda x, t: [np.sin(x), t * np.cos(x)],
        call=lambda ops, x, t: list(ops.jvp(ops.sin, [x], [t])),
    ),
    C(
        "hessian_vector_product",
        (x(2, 3), x(2, 3)),
        lambda x, t: 12 * x**2 * t,
        call=lambda ops, x, t: ops.hessian_vector_product(lambda x: ops.sum(x**4), [x], [t])[0],
    ),
]

CASES = [*CONTROL, *DIFFERENTIATION]
