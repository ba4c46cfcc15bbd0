"""The least a training step can take: its floating-point operations at the rate of a matrix product on this machine, or
its bytes at the rate of a copy, whichever is more.

Counted are products only, three times those of the forward pass; and as bytes what must move: the batch, the parameters
(read forwards and backwards, the gradient written, and what the optimizer reads and writes), and each layer's output,
written and read forwards, and its gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from data import TASKS
from measure import seconds

SLOTS = {"Adam": 2, "RMSprop": 1, "SGD": 1}


def rates() -> dict[str, Any]:
    """float32 operations a second, and bytes a second by size: the best of several products and copies, all cores."""
    import torch

    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    product = min(seconds(lambda: torch.mm(a, b)) for _ in range(10))
    found: dict[str, Any] = {"flops": 2 * 2048**3 / product, "bytes": {}}
    for size in (1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28):  # of what is copied; the smaller are in a cache
        source, target = torch.rand(size // 4), torch.empty(size // 4)
        copy = min(seconds(lambda: target.copy_(source)) for _ in range(20))  # noqa: B023
        found["bytes"][str(size)] = 2 * size / copy
    return found


def _leaves(layer: Any) -> Iterator[Any]:
    if hasattr(layer, "layers"):
        for inner in layer.layers:
            yield from _leaves(inner)
    elif type(layer).__name__ != "InputLayer":
        yield layer


def _products(layer: Any, entering: tuple[Any, ...], leaving: tuple[Any, ...], batch: int) -> float:
    """Multiplications and additions of the layer's products, forwards."""
    kind, sizes = type(layer).__name__, [w.shape for w in layer.weights]
    positions = batch * math.prod(leaving[1:-1])
    if kind == "Dense":
        return 2.0 * positions * math.prod(sizes[0])
    if kind == "Conv2D":
        return 2.0 * positions * math.prod(sizes[0])
    if kind in ("LSTM", "GRU", "Bidirectional"):
        return 2.0 * batch * entering[1] * sum(math.prod(s) for s in sizes if len(s) == 2 and s[0] > 2)
    if kind == "MultiHeadAttention":
        tokens, width = entering[1], entering[2]
        return 2.0 * batch * tokens * (4 * width * width + 2 * tokens * width)
    return 0.0


def products(model: Any, batch: int) -> float:
    """Operations of a step's products."""
    found = 0.0
    for layer in _leaves(model):
        first = layer.input[0] if isinstance(layer.input, list) else layer.input
        found += 3 * _products(layer, tuple(first.shape), tuple(layer.output.shape), batch)
    return found


@functools.cache
def work(name: str) -> tuple[float, float]:
    """(operations, bytes) of a step."""
    import keras_api

    import cornu

    task = TASKS[name]
    with cornu.config.backend_scope("numpy"):
        model = keras_api.MODELS[name](cornu)
        parts = [model.maker, model.judge] if name == "gan" else [model]
        operations = moved = 0.0
        for part in parts:
            operations += products(part, task.batch)
            moved += sum(4 * 4 * task.batch * math.prod(leaf.output.shape[1:]) for leaf in _leaves(part))
        weights = sum(math.prod(w.shape) for w in model.trainable_variables)
        slots = SLOTS[type(model.optimizer).__name__]
        moved += 4 * weights * (2 + 2 + 2 + 2 * slots)
        if name == "gan":  # each network forwards and backwards once more, for the other
            operations *= 2
    x, y = task.arrays() if name != "tabular" else (np.empty((1, 64), "float32"), np.empty((1, 1), "float32"))
    return operations, moved + task.batch * (x[:1].nbytes + y[:1].nbytes)


def milliseconds(name: str, at: dict[str, Any]) -> float:
    """The floor of a step, at the rates of `rates`; bytes at that of a copy of as many, each moving four times."""
    operations, moved = work(name)
    size = next((size for size in at["bytes"] if int(size) >= moved / 4), max(at["bytes"], key=int))
    return max(operations / at["flops"], moved / at["bytes"][size]) * 1e3
