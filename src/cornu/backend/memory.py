"""Memory: what was freed is kept, arrays lie where programs take them, and what lasts is not searched for garbage."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import mmap
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

_KEPT = 1 << 30  # bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of glibc's mallopt
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
_HUGE = 1 << 21
_SMALL, _ALIGNMENT = 100 << 10, 64  # of XLA:CPU


def block(size: int) -> np.ndarray[Any, Any]:
    """At least `size` uninitialised bytes, on huge pages where the system has them.

    Drawing the numbers of 25 million weights takes 50 ms into such blocks and 140 into what malloc gives back to a
    thread, which is page after page of 4 KiB (`benchmarks/measure.py cornu-jax build`).
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(size, np.uint8)
    size = -(-size // _HUGE) * _HUGE
    memory = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, np.uint8)
    start = -whole.ctypes.data % _HUGE
    return whole[start : start + size]


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array, which XLA:CPU takes as it is: at an address that is a multiple of 64.

    Others of 100 KiB and more a thread copies, and the program runs there too: it starts later, and what it needs
    besides, if that is more than 64 MiB, is fresh memory each time. 128 texts of 500 words take a bidirectional LSTM
    40 ms then and 19 otherwise.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALL or dtype.hasobject:
        return np.empty(shape, dtype)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def copied(x: Any) -> Any:
    """A copy of an array of NumPy where programs take it; what is none stays."""
    if not isinstance(x, np.ndarray):
        return x
    copy = empty(x.shape, x.dtype)
    copy[...] = x
    return copy


def aligned(x: Any) -> Any:
    """The array, or a copy if it is not where programs take it."""
    fits = not isinstance(x, np.ndarray) or x.nbytes < _SMALL
    return x if fits or (x.flags.c_contiguous and x.ctypes.data % _ALIGNMENT == 0) else copied(x)


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """What is made meanwhile lives as long as the process: the garbage collector does not look at it, now nor later.

    A framework is half a million objects, which each full collection would walk through in 30 ms; importing one,
    building and compiling a first model takes 100 ms less of a second.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def keep_freed_memory(one_heap: bool) -> None:
    """Lets the process keep up to 1 GiB of freed memory for the next computation, where the C library is glibc.

    By default glibc returns every block over 32 MiB at once, so each dispatch of a compiled program pays for fresh
    pages again: half the time of a step of a small convolutional network (53 against 28 ms), a third of that of a
    transformer (167 against 112 ms, 43,000 page faults against none). That the memory be of huge pages saves another
    5 % and can cost seconds at first, where the system has to make room for them.

    Only the heap of the main thread keeps blocks over 64 MiB. With `one_heap` all threads share it, for frameworks
    whose threads ask for such blocks; where they ask for small ones only, they would wait for each other: with one heap
    JAX compiles in 550 ms what it compiles in 440 with many, and now and then a step takes half again as long; the
    gradient of PyTorch's attention in bfloat16 takes 46 ms and not 18, a step of a transformer twice as long.
    `benchmarks/measure.py cornu-jax transformer` with `MALLOC_TRIM_THRESHOLD_=131072` in the environment and without.
    Does nothing where the user has set the allocator by environment variables.
    """
    if any(name in os.environ for name in _USER_SETTINGS):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_MMAP_THRESHOLD, _KEPT)
    if one_heap:
        mallopt(_ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Gives the system what was freed, where the C library is glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
