"""The formulas: each takes targets and predictions and returns a value for each sample, mostly over the last axis."""

from __future__ import annotations

import math
from typing import Any

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.checks import within
from cornu.base.dtypes import float_type
from cornu.base.errors import ShapeError
from cornu.core.masks import set_mask
from cornu.core.op import Tensor, Untyped, op


def same_rank(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    """Both with as many axes: a trailing axis of size 1 is dropped, or added to an array of one axis."""
    for one, other, swap in ((y_true, y_pred, False), (y_pred, y_true, True)):
        if other.ndim == one.ndim + 1 and other.shape[-1] == 1:
            pair = (B.expand_dims(one, -1), other) if one.ndim == 1 else (one, B.squeeze(other, -1))
            return (pair[1], pair[0]) if swap else pair
    return y_true, y_pred


def _pair(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    """Targets and predictions in the predictions' float dtype, of one rank and of shapes that broadcast."""
    dtype = float_type(y_pred.dtype)
    y_true, y_pred = same_rank(B.cast(y_true, dtype), B.cast(y_pred, dtype))
    a, b = tuple(y_true.shape), tuple(y_pred.shape)
    if any(m != n and 1 not in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False)):
        hint = ""
        if len(a) == len(b) and a[0] != b[0]:
            hint = " The batch sizes differ."
        elif len(a) <= len(b):
            hint = f" Should the last layer have {a[-1]} unit(s) instead of {b[-1]}?"
        raise ShapeError(f"Targets of shape {a} do not fit predictions of shape {b}.{hint}")
    return y_true, y_pred


def _smooth(y_true: Array, label_smoothing: float, classes: int) -> Array:
    """A share of each target's mass spread over all classes. https://arxiv.org/abs/1512.00567"""
    return y_true * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else y_true


def _clipped(x: Array, low: float, high: float) -> Array:
    return B.minimum(B.maximum(x, low), high)


# regression


@op(promotion=None)
def mean_squared_error(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean((y - ŷ)²) over the last axis: (batch, …, d) -> (batch, …)."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), -1)


@op(promotion=None)
def mean_absolute_error(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean(|y - ŷ|) over the last axis: (batch, …, d) -> (batch, …)."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(B.abs(y_true - y_pred), -1)


@op(promotion=None)
def mean_absolute_percentage_error(y_true: Tensor, y_pred: Tensor) -> Array:
    """100 · mean(|y - ŷ| / |y|) over the last axis, with |y| at least ε: (batch, …, d) -> (batch, …)."""
    y_true, y_pred = _pair(y_true, y_pred)
    return 100 * ops.mean(B.abs((y_true - y_pred) / B.maximum(B.abs(y_true), config.epsilon())), -1)


@op(promotion=None)
def mean_squared_logarithmic_error(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean((ln(1 + y) - ln(1 + ŷ))²) over the last axis, negative numbers taken as 0: (batch, …, d) -> (batch, …)."""
    y_true, y_pred = (B.log1p(B.maximum(y, config.epsilon())) for y in _pair(y_true, y_pred))
    return ops.mean(ops.square(y_true - y_pred), -1)


@op(promotion=None)
def huber(y_true: Tensor, y_pred: Tensor, delta: float = 1.0) -> Array:
    """Squared for errors up to δ, linear beyond: mean of e²/2 or δ|e| - δ²/2 over the last axis.

    https://projecteuclid.org/euclid.aoms/1177703732
    """
    y_true, y_pred = _pair(y_true, y_pred)
    error = B.abs(y_true - y_pred)
    return ops.mean(B.where(error <= delta, 0.5 * error * error, delta * error - 0.5 * delta * delta), -1)


@op(promotion=None)
def log_cosh(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean(ln cosh(ŷ - y)) over the last axis: near 0 half the square, far off |ŷ - y| - ln 2."""
    y_true, y_pred = _pair(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(-2 * error) - math.log(2), -1)


@op(promotion=None)
def poisson(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean(ŷ - y · ln ŷ) over the last axis: counts y against their expectation ŷ > 0."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(y_pred - y_true * B.log(y_pred + config.epsilon()), -1)


@op(promotion=None)
def kl_divergence(y_true: Tensor, y_pred: Tensor) -> Array:
    """Σ y · ln(y / ŷ) over the last axis, probabilities limited to [ε, 1]: (batch, …, classes) -> (batch, …)."""
    y_true, y_pred = (_clipped(y, config.epsilon(), 1) for y in _pair(y_true, y_pred))
    return B.sum(y_true * B.log(y_true / y_pred), axis=-1)


@op(promotion=None)
def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Array:
    """Minus the cosine of the angle between y and ŷ along the axis: -1 for the same direction, 1 for the opposite."""
    y_true, y_pred = (ops.normalize(y, axis) for y in _pair(y_true, y_pred))
    return -B.sum(y_true * y_pred, axis=axis)


# margins


def _signs(y_true: Array) -> Array:
    """Labels as -1 and 1, also where they are all given as 0 and 1."""
    binary = B.all(B.logical_or(y_true == 0, y_true == 1))
    return B.where(binary, 2 * y_true - 1, y_true)


@op(promotion=None)
def hinge(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean(max(1 - y · ŷ, 0)) over the last axis; labels -1 and 1, or 0 and 1."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(B.maximum(1 - _signs(y_true) * y_pred, 0), -1)


@op(promotion=None)
def squared_hinge(y_true: Tensor, y_pred: Tensor) -> Array:
    """mean(max(1 - y · ŷ, 0)²) over the last axis; labels -1 and 1, or 0 and 1."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.square(B.maximum(1 - _signs(y_true) * y_pred, 0)), -1)


@op(promotion=None)
def categorical_hinge(y_true: Tensor, y_pred: Tensor) -> Array:
    """max(1 + the largest wrong score - the right score, 0) over the last axis; one-hot labels."""
    y_true, y_pred = _pair(y_true, y_pred)
    right, wrong = B.sum(y_true * y_pred, axis=-1), B.max((1 - y_true) * y_pred, axis=-1)
    return B.maximum(1 + wrong - right, 0)


# cross-entropies


@op(promotion=None)
def categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-Σ y · ln ŷ along the axis, for one-hot or soft labels: (batch, …, classes) -> (batch, …).

    `y_pred` holds probabilities, or logits with `from_logits`.

    Raises ShapeError for shapes that differ: labels that are class numbers want `sparse_categorical_crossentropy`.
    """
    dtype = float_type(y_pred.dtype)
    y_true, y_pred = B.cast(y_true, dtype), B.cast(y_pred, dtype)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ShapeError(
            f"One-hot labels of shape {tuple(y_true.shape)} do not fit predictions of shape {tuple(y_pred.shape)}; "
            "both should have one shape. If the labels are class numbers, use the loss "
            "'sparse_categorical_crossentropy', or make them one-hot with `cornu.utils.to_categorical`."
        )
    y_true = _smooth(y_true, label_smoothing, y_true.shape[axis])
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@op(promotion=None, fuse=False)
def sparse_categorical_crossentropy(
    y_true: Untyped, y_pred: Tensor, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """-ln ŷ[y] along the axis: class numbers (batch, …) or (batch, …, 1), probabilities or logits (batch, …, classes).

    Samples of `ignore_class` give 0 and are masked, so that they count in no mean.
    """
    y_pred = B.cast(y_pred, float_type(y_pred.dtype))
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = B.squeeze(y_true, axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    valid = y_true != ignore_class
    losses = ops.sparse_categorical_crossentropy(B.where(valid, y_true, 0), y_pred, from_logits, axis)
    losses = B.where(valid, losses, 0)
    set_mask(losses, valid)
    return losses


@op(promotion=None)
def binary_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """mean(-y · ln ŷ - (1 - y) · ln(1 - ŷ)) along the axis; `y_pred` holds probabilities, or logits."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true, y_pred = _broadcast(_smooth(y_true, label_smoothing, 2), y_pred)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis)


def _broadcast(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    if tuple(y_true.shape) != tuple(y_pred.shape):
        shape = (y_true + y_pred).shape
        return B.broadcast_to(y_true, shape), B.broadcast_to(y_pred, shape)
    return y_true, y_pred


@op(promotion=None)
def binary_focal_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """The mean along the axis of (1 - p)ᵞ times the binary cross-entropy, p the probability of the right label.

    With `apply_class_balancing`, positives count α and negatives 1 - α. https://arxiv.org/abs/1708.02002
    """
    y_true, y_pred = _pair(y_true, y_pred)
    y_true, y_pred = _broadcast(_smooth(y_true, label_smoothing, 2), y_pred)
    entropy = ops.binary_crossentropy(y_true, y_pred, from_logits)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    focal = (1 - (y_true * p + (1 - y_true) * (1 - p))) ** gamma * entropy
    if apply_class_balancing:
        focal = focal * (y_true * alpha + (1 - y_true) * (1 - alpha))
    return ops.mean(focal, axis)


@op(promotion=None)
def categorical_focal_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """-Σ α (1 - ŷ)ᵞ y · ln ŷ along the axis, α a number or one for each class. https://arxiv.org/abs/1708.02002"""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = _smooth(y_true, label_smoothing, y_pred.shape[axis])
    p = ops.softmax(y_pred, axis) if from_logits else y_pred / B.sum(y_pred, axis=axis, keepdims=True)
    p = _clipped(p, config.epsilon(), 1 - config.epsilon())
    alpha = B.convert(alpha, p.dtype) if isinstance(alpha, list | tuple) else alpha
    return -B.sum(alpha * (1 - p) ** gamma * y_true * B.log(p), axis=axis)


@op(promotion=None)
def categorical_generalized_cross_entropy(y_true: Untyped, y_pred: Tensor, q: float) -> Array:
    """(1 - ŷ[y]^q) / q for class numbers y: between cross-entropy (q → 0) and absolute error (q = 1).

    Robust to wrong labels. https://arxiv.org/abs/1805.07836
    """
    within("categorical_generalized_cross_entropy", "(0, 1]", q=q)
    y_pred = B.cast(y_pred, float_type(y_pred.dtype))
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = B.squeeze(y_true, -1)
    p = B.take_along_axis(y_pred, B.cast(y_true, "int32")[..., None], -1)[..., 0]
    return (1 - _clipped(p, config.epsilon(), 1 - config.epsilon()) ** q) / q


# overlap of regions


def _over(axis: Any, x: Array) -> tuple[int, ...]:
    """The axes summed over: all where None."""
    return tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)


@op(promotion=None)
def dice(y_true: Tensor, y_pred: Tensor, axis: Any = None) -> Array:
    """1 - 2 Σ y ŷ / (Σ y + Σ ŷ) over the axes, all where None. https://arxiv.org/abs/1606.04797"""
    y_true, y_pred = _pair(y_true, y_pred)
    axes, epsilon = _over(axis, y_pred), config.epsilon()
    common, total = B.sum(y_true * y_pred, axis=axes), B.sum(y_true, axis=axes) + B.sum(y_pred, axis=axes)
    return 1 - (2 * common + epsilon) / (total + epsilon)


@op(promotion=None)
def tversky(y_true: Tensor, y_pred: Tensor, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Array:
    """1 - TP / (TP + α FN + β FP) over the axes, all where None. https://arxiv.org/abs/1706.05721"""
    y_true, y_pred = _pair(y_true, y_pred)
    axes, epsilon = _over(axis, y_pred), config.epsilon()
    hits = B.sum(y_true * y_pred, axis=axes)
    false_alarms, misses = B.sum((1 - y_true) * y_pred, axis=axes), B.sum(y_true * (1 - y_pred), axis=axes)
    return 1 - (hits + epsilon) / (hits + alpha * misses + beta * false_alarms + epsilon)


# metric learning


@op(promotion=None, fuse=False)
def circle(
    y_true: Untyped,
    y_pred: Tensor,
    ref_labels: Untyped = None,
    ref_embeddings: Tensor = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Array:
    """Pulls embeddings of one class together and pushes others apart, each pair by its own weight.

    Class numbers (batch,) and normalised embeddings (batch, d) -> (batch,), compared with the batch itself (without
    each sample's own pair, if `remove_diagonal`) or with the reference ones. https://arxiv.org/abs/2002.10857
    """
    y_pred = B.cast(y_pred, float_type(y_pred.dtype))
    labels = B.reshape(y_true, (-1, 1))
    others = labels if ref_labels is None else B.reshape(ref_labels, (-1, 1))
    reference = y_pred if ref_embeddings is None else B.cast(ref_embeddings, float_type(y_pred.dtype))
    similarity = B.matmul(y_pred, B.transpose(reference, (1, 0)))  # (batch, references)
    same = labels == B.transpose(others, (1, 0))
    positive, negative = same, B.logical_not(same)
    if remove_diagonal:
        rows, columns = (B.arange(0, size, 1, "int32") for size in similarity.shape)
        positive = B.logical_and(positive, rows[:, None] != columns[None, :])
    pull = B.stop_gradient(B.maximum(1 + margin - similarity, 0))
    push = B.stop_gradient(B.maximum(similarity + margin, 0))
    toward = -gamma * pull * (similarity - (1 - margin))
    away = gamma * push * (similarity - margin)
    lowest = -1e9
    toward = ops.logsumexp(B.where(positive, toward, lowest), axis=1)
    away = ops.logsumexp(B.where(negative, away, lowest), axis=1)
    losses = ops.softplus(toward + away)
    set_mask(losses, losses > 0)  # samples without a pair to learn from count in no mean
    return losses
