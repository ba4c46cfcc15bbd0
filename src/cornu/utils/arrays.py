"""NumPy helpers for data: padding, one-hot rows, splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from cornu.base import config
from cornu.base.checks import whole
from cornu.base.errors import ArgumentError, DataError, DTypeError, ShapeError, bad_choice


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows for integer classes, as float64.

    Shapes: `(…)` or `(…, 1)` to `(…, num_classes)`; classes run from 0.
    `num_classes` defaults to the largest class + 1.
    """
    labels = np.asarray(x)
    if labels.dtype.kind not in "biuf" or (labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels))):
        raise DTypeError(
            f"to_categorical needs integer classes, got dtype {labels.dtype}: map names to 0, 1, 2, … first."
        )
    labels = labels.astype("int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if not labels.size:
            raise DataError("to_categorical got no classes; pass num_classes to fix the width of an empty result.")
        num_classes = int(labels.max()) + 1
    else:
        whole("to_categorical", 1, True, num_classes=num_classes)
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise DataError(
            f"to_categorical: classes must lie in 0 … {num_classes - 1} (num_classes={num_classes}), "
            f"got {labels.min()} … {labels.max()}."
        )
    rows = np.zeros((*labels.shape, num_classes))
    np.put_along_axis(rows, labels[..., None], 1.0, axis=-1)
    return rows


def normalize(x: Any, axis: int = -1, order: int | float = 2) -> np.ndarray:
    """`x` divided by its `order`-norm along `axis`; where the norm is 0, `x` itself. The shape of `x`.

    A NumPy array of floats keeps its dtype; what else can be made an array becomes `floatx`.
    """
    if isinstance(order, bool) or not order > 0:
        raise ArgumentError(f"normalize: `order` must be a positive number, got {order!r}.")
    if not (isinstance(x, np.ndarray) and x.dtype.kind == "f"):
        x = np.asarray(x, config.floatx())
    x = np.atleast_1d(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm).astype(x.dtype)


def pad_sequences(
    sequences: Iterable[Sequence[Any]],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array, `(samples, maxlen, …)`, filled with `value`.

    `maxlen` defaults to the longest length. `padding` and `truncating` say at which end values are added and cut:
    `"pre"` or `"post"`. Elements may have a shape of their own, the same in all sequences.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise bad_choice(f"pad_sequences: {name}", side, ("pre", "post"))
    if not hasattr(sequences, "__iter__"):
        raise DataError(f"pad_sequences needs a list of sequences, got {sequences!r}.")
    sequences = list(sequences)
    for i, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise DataError(
                f"pad_sequences needs a list of sequences, but element {i} is {sequence!r}. "
                "One sequence goes into a list of its own: [[1, 2, 3]]."
            )
    dtype = np.dtype(dtype)
    if (dtype.kind in "SU" and not dtype.itemsize) or (isinstance(value, str) and dtype.kind not in "SUO"):
        raise DataError(
            f"pad_sequences: dtype {dtype} cannot hold strings of any length like {value!r}; use dtype=object."
        )
    if maxlen is None:
        maxlen = max(map(len, sequences), default=0)
    else:
        whole("pad_sequences", 0, True, maxlen=maxlen)
    element = next((np.asarray(sequence).shape[1:] for sequence in sequences if len(sequence)), ())
    padded = np.full((len(sequences), maxlen, *element), value, dtype)
    for i, sequence in enumerate(sequences):
        kept = np.asarray(
            sequence[max(0, len(sequence) - maxlen) :] if truncating == "pre" else sequence[:maxlen], dtype
        )
        if len(sequence) and kept.shape[1:] != element:
            raise ShapeError(
                f"pad_sequences: elements of sequence {i} have shape {kept.shape[1:]}, the first's {element}."
            )
        if len(kept):
            padded[i, slice(maxlen - len(kept), None) if padding == "pre" else slice(len(kept))] = kept
    return padded


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """`x`, `(x, y)` or `(x, y, sample_weight)`: the shortest form that says the same, as `fit` takes it.

    `x` alone stays as it is unless it is a list or tuple, which would read as the triple.
    """
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (list, tuple)) else x


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` from `x`, `(x,)`, `(x, y)` or the triple; what is missing is None."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(f"Data must be x, (x, y) or (x, y, sample_weight), got a tuple of {len(data)} elements.")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def split_dataset(
    dataset: Any,
    left_size: int | float | None = None,
    right_size: int | float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Two parts of `dataset`, in its own form: `(x, y)` gives `(x_left, y_left), (x_right, y_right)`.

    `dataset` is an array, or a list, tuple or dict of arrays of one length, nested at will; any other iterable is read
    to its end and gives two lists of its elements. A size is a number of samples or a fraction; one of them may be
    left out, and what both leave is that between them. Without `seed`, the shuffle follows NumPy's global
    generator. `preferred_backend` is accepted for compatibility: the parts hold NumPy arrays.
    """
    if preferred_backend not in (None, "jax", "tensorflow", "torch", "numpy"):
        raise bad_choice("preferred_backend", preferred_backend, ("jax", "tensorflow", "torch", "numpy"))
    arrays: list[Any] = []
    if _is_structure(dataset):
        _take(dataset, arrays.append)
    else:
        dataset = list(dataset)
    lengths = [len(array) for array in arrays] or [len(dataset)]
    if len(set(lengths)) > 1:
        raise DataError(f"split_dataset: the arrays must have one length, got {', '.join(map(str, lengths))} samples.")
    left, right = _sizes(lengths[0], left_size, right_size)
    order = np.arange(lengths[0])
    if shuffle:
        (np.random if seed is None else np.random.RandomState(seed)).shuffle(order)

    def part(indices: np.ndarray) -> Any:
        return _take(dataset, lambda array: np.asarray(array)[indices]) if arrays else [dataset[i] for i in indices]

    return part(order[:left]), part(order[len(order) - right :])


def _is_structure(data: Any) -> bool:
    if isinstance(data, dict):
        return bool(data) and all(map(_is_structure, data.values()))
    if isinstance(data, (list, tuple)):
        return bool(data) and all(map(_is_structure, data))
    return len(getattr(data, "shape", ())) > 0


def _take(data: Any, fn: Callable[[Any], Any]) -> Any:
    if isinstance(data, dict):
        return {key: _take(value, fn) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        parts = [_take(value, fn) for value in data]
        return type(data)(*parts) if hasattr(data, "_fields") else type(data)(parts)
    return fn(data)


def _sizes(total: int, left_size: int | float | None, right_size: int | float | None) -> tuple[int, int]:
    """Both sizes in samples."""
    counts: list[int | None] = []
    for name, size in (("left_size", left_size), ("right_size", right_size)):
        if size is None:
            counts.append(None)
            continue
        if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
            raise DTypeError(f"split_dataset: {name} must be an int or a float, got {size!r}.")
        fraction = isinstance(size, (float, np.floating))
        if not 0 < size < (1 if fraction else total):
            raise ArgumentError(
                f"split_dataset: {name} must be a fraction between 0 and 1, or a number of samples from 1 to "
                f"{total - 1} (there are {total}), got {size!r}."
            )
        counts.append(round(size * total) if fraction else int(size))
    left, right = counts
    if left is None and right is None:
        raise ArgumentError("split_dataset needs left_size or right_size, as a fraction or a number of samples.")
    left = total - right if left is None else left  # type: ignore[operator]
    right = total - left if right is None else right
    if not left or not right or left + right > total:
        raise ArgumentError(f"split_dataset: {total} samples cannot be split into {left} and {right}.")
    return left, right
