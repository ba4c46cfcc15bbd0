"""What an eager call of an op costs beyond the framework's own function: `python benchmarks/eager.py [ROUNDS]`.

Every op that has a function of the same name in JAX is called on (8, 8) arrays, in interleaved rounds of 1,000 calls;
the best rounds are compared, which other work on the machine disturbed least. Printed are µs a call: the slowest ones,
and the distribution. `--torch` compares a Dense layer without gradients with `torch.nn.functional.linear` instead.

JAX runs small products and the like in a thread of its own, which falls asleep when the next call is late: a pause of
3 µs between two calls costs a compiled product 4 µs more, whoever makes it. That is no cost of the call, so the thread
is off here, as Cornu has it; with `--async` it is on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch

import cornu
from cornu import ops

CALLS = 1000
SLOW = 100  # µs; functions that take longer are timed once
LIMIT = 3.0


def microseconds(fn: Callable[..., object], args: tuple[object, ...]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        fn(*args)
    return (time.perf_counter() - began) / CALLS * 1e6


def pairs() -> list[tuple[str, Callable[..., Any], Callable[..., Any], tuple[Any, ...]]]:
    """(name, ours, theirs, arguments) of ops that take the same arguments and return the same shape."""
    x, y = jnp.full((8, 8), 0.5), jnp.full((8, 8), 0.25)
    whole = jnp.ones((8, 8), "int32")
    forms: tuple[tuple[Any, ...], ...] = (
        (x,),
        (x, y),
        (x > 0, x, y),
        (whole,),
        (whole, whole),
        (x, 1),
        (x, 1, 2),
        ([x, y],),
        (x, (64,)),
        (x, whole),
    )
    found = []
    for name in sorted(ops.__all__):
        ours = getattr(ops, name)
        theirs = getattr(jnp, name, None) or getattr(jax.nn, name, None) or getattr(jnp.linalg, name, None)
        for args in forms if theirs else ():
            try:
                a, b = ours(*args), theirs(*args)
            except (TypeError, ValueError, IndexError, AttributeError):  # of another form
                continue
            if getattr(a, "shape", None) == getattr(b, "shape", ()):
                found.append((name, ours, theirs, args))
                break
    return found


def main(rounds: int) -> None:
    cases = pairs()
    best = {name: [float("inf"), float("inf")] for name, *_ in cases}
    for i in range(rounds):
        for name, ours, theirs, args in cases:
            if i == 0 or best[name][1] < SLOW:
                best[name] = [
                    min(best[name][0], microseconds(ours, args)),
                    min(best[name][1], microseconds(theirs, args)),
                ]
    beyond = sorted(((ours - theirs, name) for name, (ours, theirs) in best.items()), reverse=True)
    print(f"{'op':22}{'cornu':>9}{'jax':>9}{'beyond':>9}")
    for over, name in beyond[:15]:
        print(f"{name:22}{best[name][0]:9.2f}{best[name][1]:9.2f}{over:9.2f}")
    slow = sum(over > LIMIT for over, _ in beyond)
    print(f"\n{len(beyond)} ops, median {beyond[len(beyond) // 2][0]:.2f}; {slow} above {LIMIT:.0f} µs")


def dense(rounds: int) -> None:
    torch.set_num_threads(1)
    with cornu.config.backend_scope("torch"), torch.no_grad():
        layer, x = cornu.layers.Dense(16), torch.ones(4, 16)
        layer(x)
        kernel, bias = layer.kernel.value.t().contiguous(), layer.bias.value
        ours = min(microseconds(layer, (x,)) for _ in range(rounds))
        theirs = min(microseconds(torch.nn.functional.linear, (x, kernel, bias)) for _ in range(rounds))
    print(f"Dense {ours:.2f}, F.linear {theirs:.2f}, beyond {ours - theirs:.2f} µs")


if __name__ == "__main__":
    jax.config.update("jax_cpu_enable_async_dispatch", "--async" in sys.argv)
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    (dense if "--torch" in sys.argv else main)(numbers[0] if numbers else 9)
