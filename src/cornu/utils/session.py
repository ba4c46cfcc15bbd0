"""What holds for the whole process: the seed of the run, and names."""

from __future__ import annotations

import gc
import random

import numpy as np

from cornu.base.errors import ArgumentError
from cornu.core.names import next_count, reset_names
from cornu.random.seed import set_run_seed


def set_random_seed(seed: int) -> None:
    """Begin a run in which every random choice, also Python's and NumPy's, follows from `seed`, an int below 2³²."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ArgumentError(f"The seed should be an int of at least 0 and below 2³², got {seed!r}.")
    random.seed(int(seed))
    np.random.seed(int(seed))
    set_run_seed(int(seed))


def clear_session(free_memory: bool = True) -> None:
    """Begin counting automatic names anew, and collect what nobody uses any more."""
    reset_names()
    if free_memory:
        gc.collect()


def get_uid(prefix: str = "") -> int:
    """How many times this prefix has been asked for, from 1."""
    return next_count(prefix)
