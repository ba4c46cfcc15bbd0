"""How the C library keeps memory that computations have freed."""

from __future__ import annotations

import ctypes
import os

_KEPT = 1 << 30  # bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Lets the process keep up to 1 GiB of freed memory for the next computation, where the C library is glibc.

    By default glibc returns every block over 32 MiB at once, so each dispatch of a compiled program pays for fresh
    pages again: half the time of a step of a small convolutional network (53 against 28 ms;
    `benchmarks/workloads.py cornu cifar` with `MALLOC_TRIM_THRESHOLD_=131072` in the environment and without).
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
