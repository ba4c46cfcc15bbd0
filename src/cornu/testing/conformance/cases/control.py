"""Control flow and differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np

from cornu.testing.conformance.case import Case, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan


def _sum_of_powers(ops: Any, x: Any) -> Any:
    return ops.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s + x**2), (0, ops.zeros_like(x)))[1]


CONTROL = [
    C(
        "cond",
        (x(2, 3),),
        np.abs,
        call=lambda ops, x: ops.cond(ops.sum(x) > 0, lambda: ops.abs(x), lambda: ops.abs(x)),
        symbolic=False,
    ),
    C(
        "cond",
        (v(1, 2), v(3, 4)),
        np.subtract,
        call=lambda ops, a, b: ops.cond(ops.sum(a) > 9, ops.add, ops.subtract, a, b),
        label="operands",
        symbolic=False,
    ),
    C("while_loop", (x(2, 3),), lambda x: 3 * x**2, call=_sum_of_powers, gradient=False, symbolic=False),
    C(
        "while_loop",
        (x(2),),
        lambda x: x + 2,
        call=lambda ops, x: ops.while_loop(lambda v: True, lambda v: v + 1, x, maximum_iterations=2),
        gradient=False,
        symbolic=False,
        label="at most 2",
    ),
    C(
        "fori_loop",
        (x(2, 3),),
        lambda x: x + 9,
        call=lambda ops, x: ops.fori_loop(2, 5, lambda i, v: v + ops.cast(i, v.dtype), x),
        gradient=False,
        symbolic=False,
    ),
    *(
        C(
            "scan",
            (x(4, 3),),
            lambda x, reverse: [x.sum(0), np.cumsum(x[::-1], 0)[::-1] if reverse else np.cumsum(x, 0)],
            {"reverse": reverse},
            call=lambda ops, x, reverse: ops.scan(
                lambda c, v: (c + v, c + v), ops.zeros_like(x[0]), x, reverse=reverse
            ),
            symbolic=False,
        )
        for reverse in (False, True)
    ),
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
    C(
        "grad",
        (x(2, 3),),
        np.cos,
        call=lambda ops, x: ops.grad(lambda v: ops.sum(ops.sin(v)))(x),
        symbolic=False,
        gradient=False,
    ),
]

CASES = [*CONTROL, *DIFFERENTIATION]
