"""The numbers every library trains on: one function for each workload, so that the work is equal.

Targets follow from the inputs by a rule that can be learnt, so that a loss that falls shows that training is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Arrays = tuple[Any, Any]


@dataclass(frozen=True)
class Task:
    """What is trained on: the arrays, the batch, and how many epochs one timed fit takes."""

    about: str
    arrays: Callable[[], Arrays]
    batch: int
    epochs: int = 1


def _classes(x: np.ndarray, count: int, seed: int = 1) -> np.ndarray:
    """The class of each row: the largest of so many random projections."""
    flat = x.reshape(len(x), -1)
    plane = np.random.default_rng(seed).normal(size=(flat.shape[1], count)).astype("float32")
    projected = flat @ plane
    return (projected - projected.mean(0)).argmax(1).astype("int32")


def images(rows: int, *shape: int) -> Arrays:
    x = np.random.default_rng(0).random((rows, *shape), "float32")
    return x, _classes(x, 10)


def irises() -> Arrays:
    # The file itself: importing scikit-learn takes a second, which is none of the library that is measured.
    package = Path(find_spec("sklearn").submodule_search_locations[0])
    rows = np.loadtxt(package / "datasets" / "data" / "iris.csv", delimiter=",", skiprows=1, dtype="float32")
    return rows[:, :4].copy(), rows[:, 4].astype("int32")


def reviews(rows: int, words: int, vocabulary: int) -> Arrays:
    """Word numbers; the class is whether words of the lower half are more than those of the upper half in the end."""
    x = np.random.default_rng(0).integers(1, vocabulary, (rows, words)).astype("int32")
    return x, ((x[:, -8:] > vocabulary // 2).mean(1) > 0.5).astype("int32")


def text(rows: int, length: int, vocabulary: int) -> Arrays:
    """Characters of which each follows from the one before, and the same moved on by one."""
    rng = np.random.default_rng(0)
    follower = rng.permutation(vocabulary)
    x = np.empty((rows, length + 1), "int32")
    x[:, 0] = rng.integers(0, vocabulary, rows)
    for i in range(length):
        x[:, i + 1] = np.where(rng.random(rows) < 0.9, follower[x[:, i]], rng.integers(0, vocabulary, rows))
    return x[:, :-1].copy(), x[:, 1:].copy()


def table(rows: int, columns: int) -> Arrays:
    rng = np.random.default_rng(0)
    x, plane, noise = (rng.standard_normal(shape, "float32") for shape in ((rows, columns), (columns, 1), (rows, 1)))
    return x, (x @ plane + 0.1 * noise > 0).astype("float32")


def points(rows: int) -> Arrays:
    """Points on a ring, for a generative network; the targets are not looked at."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, rows)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype("float32"), np.zeros((rows, 1), "float32")


def batches(x: Any, y: Any, size: int) -> Iterator[Arrays]:
    """Batches without end, as a user's generator yields them, with a little work on the host."""
    at = 0
    while True:
        rows = slice(at, at + size)
        yield np.ascontiguousarray(x[rows][:, ::-1]), y[rows]
        at = at + size if at + 2 * size <= len(x) else 0


TASKS = {
    "iris": Task("4-16-3 on the 150 irises, batch 16, Adam", irises, 16, 50),
    "mlp": Task("784-128-10, batch 32, Adam", lambda: images(32 * 400, 784), 32),
    "mlp_512": Task("784-512-10, batch 128, RMSprop", lambda: images(128 * 100, 784), 128),
    "cifar": Task("convolutions 32-64-64 on 32×32×3, batch 64, Adam", lambda: images(64 * 10, 32, 32, 3), 64),
    "lstm": Task("Embedding-LSTM(32), 500 words, batch 32", lambda: reviews(32 * 4, 500, 10_000), 32),
    "gru": Task("Embedding-GRU(32), 500 words, batch 32", lambda: reviews(32 * 4, 500, 10_000), 32),
    "bilstm": Task("Embedding-Bidirectional LSTM(32), 500 words, batch 32", lambda: reviews(32 * 4, 500, 10_000), 32),
    "transformer": Task("2 encoder blocks, width 128, 128 tokens, batch 32", lambda: reviews(32 * 6, 128, 5000), 32),
    "resnet": Task("ResNet-20 on 32×32×3, batch 32, SGD", lambda: images(32 * 4, 32, 32, 3), 32),
    "gpt": Task("4 decoder blocks, width 256, 256 characters, batch 8", lambda: text(8 * 3, 256, 96), 8),
    "tabular": Task("64-128-64-1 on 2 million rows, batch 1024", lambda: table(2_000_000, 64), 1024),
    "gan": Task("a GAN of two 64-64 networks, batch 64", lambda: points(64 * 200), 64),
    "generator": Task("784-128-10 from a generator, batch 32", lambda: images(32 * 200, 784), 32),
    "dataset": Task("784-128-10 from a PyDataset, batch 32", lambda: images(32 * 200, 784), 32),
}
