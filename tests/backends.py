"""The backends, and which rows of a table run on which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

BACKENDS = ("jax", "torch", "tensorflow", "numpy")
TRAINING = BACKENDS[:3]
"""Those that compute gradients."""
LOW_PRECISION = [  # NumPy makes float32 of bfloat16 and a Python float
    (dtype, backend)
    for dtype in ("float16", "bfloat16")
    for backend in BACKENDS
    if (dtype, backend) != ("bfloat16", "numpy")
]


def spread(cases: Iterable[tuple[Any, ...]], everywhere: Sequence[str], others: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows, each with a backend at its end: all of them on `everywhere`, the first of each name on `others`."""
    found, seen = [], set()
    for case in cases:
        found += [(*case, backend) for backend in (*everywhere, *(others if case[0] not in seen else ()))]
        seen.add(case[0])
    return found
