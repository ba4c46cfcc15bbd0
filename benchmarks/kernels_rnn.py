"""Embedding(1000, 32) → LSTM(32) over 500 steps at batch 32: one training step against Keras on JAX, interleaved.

Run as `python benchmarks/kernels_rnn.py [LSTM|GRU|SimpleRNN] [rounds]`. A step is the loss and all gradients, compiled;
printed are medians in ms and their ratio.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

import cornu
from cornu.backend import B
from cornu.core.state import functional, value_and_grad

STEPS, BATCH, UNITS = 500, 32, 32


def our_step(name, ids):
    model = cornu.Sequential([cornu.layers.Embedding(1000, UNITS), getattr(cornu.layers, name)(UNITS)])
    model.build((None, STEPS))
    learnt = model.trainable_variables
    grads = value_and_grad(lambda: (model(ids, training=True) ** 2).sum(), learnt)
    step = B.compile(functional(grads, model.variables))
    values = [v.value for v in model.variables]
    return lambda: jax.block_until_ready(step(values))


def keras_step(name, ids):
    model = keras.Sequential([keras.layers.Embedding(1000, UNITS), getattr(keras.layers, name)(UNITS)])
    model.build((None, STEPS))
    fixed = [v.value for v in model.non_trainable_variables]

    def loss(values):
        return (model.stateless_call(values, fixed, ids, training=True)[0] ** 2).sum()

    step = jax.jit(jax.value_and_grad(loss))
    values = [v.value for v in model.trainable_variables]
    return lambda: jax.block_until_ready(step(values))


def interleaved(contestants, rounds):
    """The median time of each contestant in ms, all taking turns; the first round is not counted."""
    times = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else "LSTM"
    ids = np.random.default_rng(0).integers(0, 1000, (BATCH, STEPS)).astype("int32")
    medians = interleaved(
        {"cornu": our_step(kind, ids), "keras": keras_step(kind, ids)}, int(sys.argv[2]) if len(sys.argv) > 2 else 30
    )
    print(f"{kind}: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in medians.items()), end=", ")
    print(f"ratio {medians['cornu'] / medians['keras']:.2f}")
