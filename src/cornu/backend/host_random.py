"""Random numbers drawn on the host, by NumPy, for backends without their own. Keys are two uint32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

Numbers = np.ndarray[Any, Any]


def _generator(key: Any) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.asarray(key, np.uint64)))


def uniform(key: Any, shape: Sequence[int]) -> Numbers:
    """float32 in [0, 1)."""
    return _generator(key).random(tuple(shape), np.float32)


def normal(key: Any, shape: Sequence[int]) -> Numbers:
    """Standard normal float32."""
    return _generator(key).standard_normal(tuple(shape), np.float32)


def truncated_normal(key: Any, shape: Sequence[int]) -> Numbers:
    """Standard normal numbers within [-2, 2]."""
    low, high = special.ndtr([-2.0, 2.0])
    drawn: Numbers = np.clip(special.ndtri(_generator(key).uniform(low, high, tuple(shape))), -2, 2)
    return drawn


def integers(key: Any, shape: Sequence[int], low: Any, high: Any) -> Numbers:
    """int64 in [low, high)."""
    return _generator(key).integers(low, high, tuple(shape))


def gamma(key: Any, shape: Sequence[int], alpha: Any) -> Numbers:
    """Gamma-distributed numbers of unit scale."""
    return _generator(key).standard_gamma(alpha, tuple(shape))


def permutation(key: Any, size: int) -> Numbers:
    """The ints below `size`, shuffled."""
    return _generator(key).permutation(size)
