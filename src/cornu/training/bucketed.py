"""Sequences of many lengths in batches of a few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cornu.base import config
from cornu.base.checks import whole
from cornu.base.errors import ArgumentError, DataError
from cornu.random.seed import next_seed
from cornu.training.py_dataset import PyDataset
from cornu.utils.arrays import pad_sequences


class BucketedSequences(PyDataset):
    """Batches of sequences of about the same length, padded to one of a few lengths: a program for each of these.

    `x` holds n sequences, each (length, …) with its own length; `y` one target for each, or a sequence of targets as
    long as its `x`, which is padded like it; `sample_weight` a number for each. Sequences are padded to the next of
    `boundaries`: at most so many lengths, chosen so that they are about equally frequent, or the lengths themselves.
    `maxlen` cuts longer ones. `padding`, `truncating`, `value` and `dtype` are those of `pad_sequences`; `dtype`
    defaults to int32 for integers, else `floatx`.

    With `shuffle` each epoch's batches are drawn anew, a function of `seed` and epoch. Without it rows keep their
    order, as `predict` needs it, and each batch has the length that its longest row asks for.
    """

    def __init__(
        self,
        x: Sequence[Any],
        y: Any = None,
        batch_size: int = 32,
        sample_weight: Any = None,
        boundaries: int | Sequence[int] = 8,
        maxlen: int | None = None,
        padding: str = "pre",
        truncating: str = "pre",
        value: float = 0.0,
        dtype: Any = None,
        shuffle: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(self, 1, batch_size=batch_size, maxlen=1 if maxlen is None else maxlen)
        if isinstance(x, dict) or not hasattr(x, "__len__") or not all(hasattr(one, "__len__") for one in x):
            raise DataError(f"BucketedSequences: x should be a list of sequences, got {type(x).__name__}.")
        if not len(x):
            raise DataError("BucketedSequences: x holds no sequence.")
        self.x, self.batch_size, self.shuffle = x, batch_size, shuffle
        lengths = np.array([len(one) for one in x])
        self.y, self.per_step = _targets(y, lengths)
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        for name, given in (("y", self.y), ("sample_weight", self.sample_weight)):
            if given is not None and len(given) != len(x):
                raise DataError(f"BucketedSequences: x holds {len(x)} sequences, {name} has {len(given)} rows.")
        self.lengths = lengths if maxlen is None else np.minimum(lengths, maxlen)
        self.boundaries = _boundaries(boundaries, self.lengths)
        if dtype is None:
            dtype = "int32" if all(np.asarray(one).dtype.kind in "iub" for one in x[:100]) else config.floatx()
        self.padded: dict[str, Any] = {"padding": padding, "truncating": truncating, "value": value}
        self.dtype = dtype
        self.seed, self.epoch = next_seed() if seed is None else seed, 0
        self._batches = self._plan()
        self[0]  # what `pad_sequences` refuses is an error here

    def _plan(self) -> list[tuple[np.ndarray, int]]:
        """The rows of each batch of an epoch, and the length they are padded to."""
        size, bucket = self.batch_size, np.searchsorted(self.boundaries, self.lengths)
        draw = np.random.default_rng((self.seed, self.epoch))
        rows = np.arange(len(self.x))
        if self.shuffle:  # a batch that two buckets share has the larger one's length
            rows = draw.permutation(len(self.x))
            rows = rows[np.argsort(bucket[rows], kind="stable")]
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        batches = [(part, int(self.boundaries[bucket[part].max()])) for part in parts]
        return [batches[i] for i in draw.permutation(len(batches))] if self.shuffle else batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        rows, length = self._batches[index]
        x = pad_sequences([self.x[i] for i in rows], length, self.dtype, **self.padded)
        if self.y is None:
            return (x,)
        y = self.y[rows] if isinstance(self.y, np.ndarray) else [self.y[i] for i in rows]
        if self.per_step:
            y = pad_sequences(y, length, np.asarray(y[0]).dtype, **{**self.padded, "value": 0})
        return (x, y) if self.sample_weight is None else (x, y, self.sample_weight[rows])

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._batches = self._plan()


def _targets(y: Any, lengths: np.ndarray) -> tuple[Any, bool]:
    """The targets, and whether they are sequences as long as those they belong to."""
    if y is None:
        return None, False
    are_sequences = hasattr(y, "__len__") and all(hasattr(one, "__len__") for one in y)
    if are_sequences and [len(one) for one in y] == lengths.tolist():
        return y, True
    try:
        return np.asarray(y), False
    except ValueError as error:
        raise DataError(
            "BucketedSequences: y should have one target for each sequence, or a sequence of targets as long as it; "
            f"the lengths differ ({error})."
        ) from None


def _boundaries(given: int | Sequence[int], lengths: np.ndarray) -> np.ndarray:
    """The lengths to pad to, rising; raises ArgumentError if a sequence is longer than the last."""
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return np.unique(np.quantile(lengths, np.arange(1, given + 1) / given, method="higher")).astype(int)
    found = np.unique(np.asarray(given))
    if isinstance(given, int) or found.ndim != 1 or not len(found) or found.dtype.kind != "i" or found[0] < 1:
        raise ArgumentError(f"BucketedSequences: boundaries should be positive ints, or their number, got {given!r}.")
    if lengths.max() > found[-1]:
        raise ArgumentError(
            f"BucketedSequences: a sequence has length {lengths.max()}, the last boundary is {found[-1]}. Add a larger "
            f"one, or cut sequences with maxlen={found[-1]}."
        )
    return found
