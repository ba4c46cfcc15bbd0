"""Formulas that are metrics only: each takes targets and predictions and returns a value for each sample."""

from __future__ import annotations

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.dtypes import float_type
from cornu.base.errors import ShapeError
from cornu.core.op import Tensor, Untyped, op
from cornu.losses import functions as losses
from cornu.losses.functions import same_rank


def _hits(hits: Array, like: Array) -> Array:
    return B.cast(hits, float_type(like.dtype))


@op(promotion=None)
def accuracy(y_true: Tensor, y_pred: Tensor) -> Array:
    """The share of equal elements along the last axis."""
    y_true, y_pred = same_rank(B.cast(y_true, y_pred.dtype), y_pred)
    hits = _hits(y_true == y_pred, y_pred)
    return ops.mean(hits, -1) if hits.ndim > 1 else hits


@op(promotion=None)
def binary_accuracy(y_true: Tensor, y_pred: Tensor, threshold: float = 0.5) -> Array:
    """1 where `y_pred > threshold` is the label, else 0: the shape of `y_pred`."""
    y_true, y_pred = same_rank(B.cast(y_true, y_pred.dtype), y_pred)
    return _hits(y_true == _hits(y_pred > threshold, y_pred), y_pred)


@op(promotion=None)
def categorical_accuracy(y_true: Tensor, y_pred: Tensor) -> Array:
    """1 where the likeliest class is that of the one-hot label, else 0: (batch, …, classes) -> (batch, …)."""
    _check_classes(y_true, y_pred, "sparse_categorical_accuracy")
    return _hits(B.argmax(y_true, axis=-1) == B.argmax(y_pred, axis=-1), y_pred)


@op(promotion=None)
def sparse_categorical_accuracy(y_true: Untyped, y_pred: Tensor) -> Array:
    """1 where the likeliest class is the label, else 0: class numbers (batch, …), (batch, …, classes) -> (batch, …)."""
    return _hits(_class_numbers(y_true, y_pred) == B.argmax(y_pred, axis=-1), y_pred)


@op(promotion=None)
def top_k_categorical_accuracy(y_true: Tensor, y_pred: Tensor, k: int = 5) -> Array:
    """1 where the one-hot label's class is among the `k` likeliest, else 0: (batch, …, classes) -> (batch, …)."""
    _check_classes(y_true, y_pred, "sparse_top_k_categorical_accuracy")
    return sparse_top_k_categorical_accuracy(B.argmax(y_true, axis=-1), y_pred, k)


@op(promotion=None)
def sparse_top_k_categorical_accuracy(
    y_true: Untyped, y_pred: Tensor, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """1 where the label is among the `k` likeliest classes, else 0: (batch, …), (batch, …, classes) -> (batch, …).

    With `from_sorted_ids`, `y_pred` holds class numbers, the likeliest first.
    """
    y_true = _class_numbers(y_true, y_pred)
    if from_sorted_ids:
        return _hits(B.any(B.cast(y_true, y_pred.dtype)[..., None] == y_pred[..., :k], axis=-1), y_pred)
    return _hits(ops.in_top_k(y_true, y_pred, k), y_pred)


def _class_numbers(y_true: Array, y_pred: Array) -> Array:
    """The labels (batch, …) as int32."""
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = B.squeeze(y_true, -1)
    if tuple(y_true.shape) != tuple(y_pred.shape[:-1]):
        raise ShapeError(
            f"Class numbers of shape {tuple(y_true.shape)} do not fit predictions of shape {tuple(y_pred.shape)}; they "
            "should have the shape of the predictions without the last axis. One-hot labels go with "
            "'categorical_accuracy'."
        )
    return B.cast(y_true, "int32")


def _check_classes(y_true: Array, y_pred: Array, other: str) -> None:
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ShapeError(
            f"One-hot labels of shape {tuple(y_true.shape)} do not fit predictions of shape {tuple(y_pred.shape)}. "
            f"Labels that are class numbers go with {other!r}."
        )


@op(promotion=None)
def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Array:
    """The cosine of the angle between y and ŷ along the axis: 1 for the same direction (the loss has -1)."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


@op(promotion=None)
def pearson_correlation(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Array:
    """cov(y, ŷ) / (σ(y) σ(ŷ)) along the axis, between -1 and 1."""
    y_true, y_pred = same_rank(B.cast(y_true, y_pred.dtype), y_pred)
    a, b = (y - ops.mean(y, axis, keepdims=True) for y in (y_true, y_pred))
    return B.sum(ops.normalize(a, axis) * ops.normalize(b, axis), axis=axis)


@op(promotion=None)
def concordance_correlation(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Array:
    """2 cov(y, ŷ) / (var(y) + var(ŷ) + (mean(y) - mean(ŷ))²) along the axis: Lin's coefficient.

    https://doi.org/10.2307/2532051
    """
    y_true, y_pred = same_rank(B.cast(y_true, y_pred.dtype), y_pred)
    means = [ops.mean(y, axis, keepdims=True) for y in (y_true, y_pred)]
    a, b = y_true - means[0], y_pred - means[1]
    spread = ops.mean(a * a, axis) + ops.mean(b * b, axis) + B.squeeze((means[0] - means[1]) ** 2, axis)
    return 2 * ops.mean(a * b, axis) / (spread + config.epsilon())
