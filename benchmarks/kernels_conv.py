"""Lowerings of a convolution on a CPU: a training step of Conv(32)-pool-Conv(64) on 32×32 images, batch 64.

Run as `python benchmarks/kernels_conv.py [rounds] [--few]`. A step is the loss and all gradients, ten of them within
one device loop; printed are medians in ms a step, the lowerings taking turns. `backend` is what the JAX backend uses:
`axes`, or where that keeps fewer numbers patches of rows. `--few` is Conv(16)-pool-Conv(16) on 16 channels.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cornu.backend import B
from cornu.backend.shared import shifted

STEPS = 10


def windows(x, size):
    """The images that each tap of a size × size window meets."""
    return [part for rows in shifted(x, 1, size, 1, 1) for part in shifted(rows, 2, size, 1, 1)]


def xla(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def axes(x, kernel):
    return B.conv_by_patches(x, kernel, (1, 1), [(0, 0)] * 2, (1, 1), (1, 1), 1)


def backend(x, kernel):
    return B.conv(x, kernel, (1, 1), [(0, 0)] * 2, (1, 1), (1, 1), 1)


def stacked(x, kernel):
    patches = jnp.stack(windows(x, kernel.shape[0]), -2)
    return patches.reshape(*patches.shape[:3], -1) @ kernel.reshape(-1, kernel.shape[-1])


def concatenated(x, kernel):
    return jnp.concatenate(windows(x, kernel.shape[0]), -1) @ kernel.reshape(-1, kernel.shape[-1])


def shifted_sums(x, kernel):
    taps = kernel.reshape(-1, *kernel.shape[2:])
    return sum(part @ tap for part, tap in zip(windows(x, kernel.shape[0]), taps, strict=True))


def step(conv, barrier=False):
    def loss(kernels, x):
        for kernel in kernels:
            x = jax.nn.relu(conv(x, kernel))
            x = B.pool_by_slices(x, (2, 2), (2, 2), [(0, 0)] * 2, "max")
            x = lax.optimization_barrier(x) if barrier else x
        return (x**2).sum()

    def one(_, state):
        kernels, x = state
        gradients = jax.grad(loss)(kernels, x)
        return [k - 1e-9 * g for k, g in zip(kernels, gradients, strict=True)], x

    return jax.jit(lambda state: lax.fori_loop(0, STEPS, one, state))


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    draw = functools.partial(rng.standard_normal, dtype="float32")
    channels = (16, 16, 16) if "--few" in sys.argv else (3, 32, 64)
    kernels = [draw((3, 3, *pair)) for pair in itertools.pairwise(channels)]
    state = jax.device_put((kernels, draw((64, 32, 32, channels[0]))))
    contestants = {f.__name__: step(f) for f in (backend, axes, stacked, concatenated, shifted_sums, xla)}
    contestants["axes, barrier"] = step(axes, barrier=True)
    times = {name: [] for name in contestants}
    for _ in range(next((int(a) for a in sys.argv[1:] if a.isdigit()), 7) + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            jax.block_until_ready(run(state))
            times[name].append(1e3 * (time.perf_counter() - start) / STEPS)
    for name, taken in times.items():
        print(f"{name:16}{statistics.median(taken[1:]):8.1f} ms")
