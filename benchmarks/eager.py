"""What an eager call of an op costs beyond the framework's own function: `python benchmarks/eager.py [ROUNDS]`.

Printed are the medians of interleaved rounds of 2,000 calls on (8, 8) arrays, in µs a call, the median of the
differences, and the difference of the best rounds, which other work on the machine disturbed least.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from cornu import ops

CALLS = 2000


def microseconds(fn: Callable[..., object], args: tuple[object, ...]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        fn(*args)
    return (time.perf_counter() - began) / CALLS * 1e6


def main(rounds: int) -> None:
    x, y = jnp.ones((8, 8)), jnp.ones((8, 8))
    table: dict[str, tuple[Callable[..., object], Callable[..., object], tuple[object, ...]]] = {
        "exp(x)": (ops.exp, jnp.exp, (x,)),
        "tanh(x)": (ops.tanh, jnp.tanh, (x,)),
        "add(x, y)": (ops.add, jnp.add, (x, y)),
        "multiply(x, 2.0)": (ops.multiply, jnp.multiply, (x, 2.0)),
        "matmul(x, y)": (ops.matmul, jnp.matmul, (x, y)),
        "maximum(x, y)": (ops.maximum, jnp.maximum, (x, y)),
        "sum(x, 1)": (ops.sum, jnp.sum, (x, 1)),
        "reshape(x, (64,))": (ops.reshape, jnp.reshape, (x, (64,))),
        "relu(x)": (ops.relu, jax.nn.relu, (x,)),
        "where(x > 0, x, y)": (ops.where, jnp.where, (x > 0, x, y)),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in table}
    for _ in range(rounds + 1):
        for name, (ours, theirs, args) in table.items():
            times[name].append((microseconds(ours, args), microseconds(theirs, args)))
    print(f"{'call':20}{'cornu':>8}{'jnp':>8}{'beyond':>8}{'at best':>9}")
    for name, taken in times.items():
        ours, theirs = (statistics.median(column) for column in zip(*taken[1:], strict=True))
        beyond = statistics.median(a - b for a, b in taken[1:])
        best = min(a for a, _ in taken) - min(b for _, b in taken)
        print(f"{name:20}{ours:8.2f}{theirs:8.2f}{beyond:8.2f}{best:9.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
