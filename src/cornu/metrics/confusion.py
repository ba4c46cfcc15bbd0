"""Metrics made of counts of hits and misses at thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.checks import whole, within
from cornu.base.errors import ArgumentError, bad_choice
from cornu.core.masks import get_mask
from cornu.core.variable import Variable
from cornu.losses.functions import same_rank
from cornu.metrics.metric import Metric, _weights

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def safe_divide(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    return B.where(b == 0, 0 * a, a / B.where(b == 0, b + 1, b))


def _check_thresholds(kind: str, thresholds: Any) -> Any:
    for value in thresholds if isinstance(thresholds, list | tuple) else [thresholds]:
        within(kind, "[0, 1]", True, thresholds=value)
    return thresholds


class _Counts(Metric):
    """Keeps some of the four counts, for each threshold; predictions above one are positive."""

    kept: tuple[str, ...] = COUNTS
    class_id: int | None = None
    top_k: int | None = None

    def __init__(self, name: str | None, dtype: Any, levels: Sequence[float]) -> None:
        super().__init__(dtype, name)
        self._levels = np.asarray(levels, self.dtype)

    def _add_counts(self, shape: tuple[int, ...]) -> None:
        self._counted = [self.add_variable(shape, name=name) for name in self.kept]
        for name, variable in zip(self.kept, self._counted, strict=True):
            setattr(self, name, variable)

    def _values(self) -> list[Array]:
        return [variable.value for variable in self._counted]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in labels 0 and 1 and predictions of one shape, with weights that broadcast from the batch axis on."""
        y_true, y_pred, weights = self._prepared(y_true, y_pred, sample_weight)
        y_true, y_pred, weights = (B.reshape(x, (-1,)) for x in (y_true, y_pred, weights))
        self._count(y_true, y_pred, weights)

    def _prepared(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
        mask = get_mask(y_pred)
        y_true, y_pred = (ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        y_true, y_pred = same_rank(y_true, y_pred)
        if tuple(y_true.shape) != tuple(y_pred.shape):
            raise ArgumentError(
                f"{self.name}: labels and predictions should have one shape, got {tuple(y_true.shape)} and "
                f"{tuple(y_pred.shape)}. Class numbers can be made one-hot with `cornu.utils.to_categorical`."
            )
        weights = _weights(y_pred, sample_weight, mask, self.dtype, self.name)
        weights = B.broadcast_to(B.convert(1, self.dtype) if weights is None else weights, y_pred.shape)
        if self.top_k is not None:  # only the k largest of a row can be positive
            rank = B.argsort(B.argsort(-y_pred, axis=-1), axis=-1)
            y_pred = B.where(rank < self.top_k, y_pred, -np.inf)
        if self.class_id is not None:
            if y_pred.shape[-1] is not None and self.class_id >= y_pred.shape[-1]:
                raise ArgumentError(
                    f"{self.name}: class_id={self.class_id}, but the last class is {y_pred.shape[-1] - 1}."
                )
            y_true, y_pred, weights = (x[..., self.class_id] for x in (y_true, y_pred, weights))
        return y_true, y_pred, weights

    def _count(self, y_true: Array, y_pred: Array, weights: Array) -> None:
        """Add the counts of (samples, …) for each threshold, (thresholds, …)."""
        levels = B.reshape(B.convert(self._levels), (-1, *(1,) * y_pred.ndim))
        above = B.cast(y_pred[None] > levels, self.dtype)  # (thresholds, samples, …)
        positive = B.cast(y_true != 0, self.dtype)
        hits, alarms = (B.sum(above * (w * weights)[None], axis=1) for w in (positive, 1 - positive))
        positives, negatives = (B.sum(w * weights, axis=0) for w in (positive, 1 - positive))
        found = {
            "true_positives": lambda: hits,
            "false_positives": lambda: alarms,
            "true_negatives": lambda: negatives - alarms,
            "false_negatives": lambda: positives - hits,
        }
        for name, variable in zip(self.kept, self._counted, strict=True):
            variable.assign_add(found[name]())


class _AtThresholds(_Counts):
    """With `thresholds` a number or a list: the result is a scalar or an array."""

    def __init__(self, thresholds: Any, name: str | None, dtype: Any, default: float = 0.5) -> None:
        thresholds = thresholds.tolist() if hasattr(thresholds, "tolist") else thresholds
        self.thresholds = _check_thresholds(type(self).__name__, thresholds)
        levels = default if thresholds is None else thresholds
        super().__init__(name, dtype, levels if isinstance(levels, list | tuple) else [levels])
        self._add_counts((len(self._levels),))

    def _shown(self, result: Array) -> Array:
        return result[0] if len(self._levels) == 1 else result


class _Count(_AtThresholds):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(thresholds, name, dtype)

    def _add_counts(self, shape: tuple[int, ...]) -> None:
        self.accumulator = self.add_variable(shape, name="accumulator")
        self._counted = [self.accumulator]

    def result(self) -> Array:
        """The count: a scalar, or one for each threshold."""
        return self._shown(self._values()[0])


class TruePositives(_Count):
    """How many positives are predicted above the threshold, 0.5 by default."""

    kept = ("true_positives",)


class TrueNegatives(_Count):
    """How many negatives are predicted at or below the threshold, 0.5 by default."""

    kept = ("true_negatives",)


class FalsePositives(_Count):
    """How many negatives are predicted above the threshold, 0.5 by default."""

    kept = ("false_positives",)


class FalseNegatives(_Count):
    """How many positives are predicted at or below the threshold, 0.5 by default."""

    kept = ("false_negatives",)


class _Ratio(_AtThresholds):
    """TP / (TP + the other count)."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, 0.5 if top_k is None else -np.inf)
        whole(self, 1, True, top_k=top_k)
        whole(self, 0, True, class_id=class_id)
        self.top_k, self.class_id = top_k, class_id

    def result(self) -> Array:
        """The ratio: a scalar, or one for each threshold."""
        hits, other = self._values()
        return self._shown(safe_divide(hits, hits + other))


class Precision(_Ratio):
    """The share of true ones among the positive predictions, those above the threshold (0.5 unless given).

    With `top_k` the k largest of each row are positive; with `class_id` only that entry of the last axis counts.
    """

    kept = ("true_positives", "false_positives")


class Recall(_Ratio):
    """The share of positives that are predicted as such, above the threshold (0.5 unless given).

    With `top_k` the k largest of each row are positive; with `class_id` only that entry of the last axis counts.
    """

    kept = ("true_positives", "false_negatives")


class AUC(_Counts):
    """The area under the ROC curve, the precision-recall curve (`curve="PR"`), or its gain form (`"PRGAIN"`).

    Integrated over `num_thresholds` evenly spaced thresholds (or the given `thresholds`), by `"interpolation"`, or from
    below (`"minoring"`) or above (`"majoring"`). With `multi_label` each label has a curve of its own, averaged with
    `label_weights`; without it these weight the labels' predictions. `label_weights` has one for each entry of the last
    axis. Predictions lie in [0, 1] unless `from_logits`. PR is interpolated as in
    https://doi.org/10.1145/1143844.1143874.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        curve, summation_method = str(curve).upper(), str(summation_method).lower()
        for argument, value, known in (
            ("curve", curve, ("ROC", "PR", "PRGAIN")),
            ("summation_method", summation_method, ("interpolation", "minoring", "majoring")),
        ):
            if value not in known:
                raise bad_choice(f"AUC: {argument}", value, known)
        if thresholds is None:
            whole(self, 2, num_thresholds=num_thresholds)
        elif np.ndim(thresholds) != 1:
            raise ArgumentError(f"AUC: thresholds should be a list of numbers, got {thresholds!r}.")
        inner = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        if thresholds is not None:
            inner = np.sort(np.asarray(_check_thresholds("AUC", list(thresholds))))
        epsilon = config.epsilon()
        super().__init__(name, dtype, [-epsilon, *inner, 1 + epsilon])
        self._given = thresholds
        self.num_thresholds, self.curve, self.summation_method = len(self._levels), curve, summation_method
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = label_weights
        self._shares = None if label_weights is None else np.asarray(label_weights, self.dtype)
        if not multi_label:
            self._add_counts((self.num_thresholds,))
        elif num_labels is not None:
            self._add_counts((self.num_thresholds, num_labels))

    @property
    def thresholds(self) -> list[float]:
        """All thresholds, those just outside [0, 1] included."""
        return self._levels.tolist()

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        given = None if self._given is None else [float(value) for value in self._given]
        return {**super().get_config(), "thresholds": given}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in labels 0 and 1 and predictions of one shape, (batch, labels) with `multi_label`."""
        if self.from_logits:
            y_pred = ops.sigmoid(ops.convert_to_tensor(y_pred, self.dtype))
        y_true, y_pred, weights = self._prepared(y_true, y_pred, sample_weight)
        if self._shares is not None and tuple(y_pred.shape[-1:]) != self._shares.shape:
            raise ArgumentError(
                f"{self.name}: label_weights should hold a number for each label, the last axis of predictions, got "
                f"shape {self._shares.shape} for predictions of shape {tuple(y_pred.shape)}."
            )
        if not self.multi_label:
            weights = weights if self._shares is None else weights * B.convert(self._shares)
            self._count(*(B.reshape(x, (-1,)) for x in (y_true, y_pred, weights)))
            return
        if not self._own_variables:
            self._add_counts((self.num_thresholds, y_pred.shape[-1]))
        labels = self._counted[0].shape[-1]
        if y_pred.ndim != 2 or y_pred.shape[-1] != labels:
            raise ArgumentError(
                f"{self.name}: predictions should have the shape (batch, {labels}), got {tuple(y_pred.shape)}."
            )
        self._count(y_true, y_pred, weights)

    def interpolate_pr_auc(self) -> Array:
        """∫ precision d(recall) between neighbouring thresholds, (thresholds - 1, …).

        TP grows linearly with the positive predictions P; with TP = a + bP it is b (ΔTP + a ln(P₁/P₀)) / (TP + FN).
        """
        tp, fp, _, fn = self._values()
        p = tp + fp
        slope = safe_divide(tp[:-1] - tp[1:], p[:-1] - p[1:])
        intercept = tp[1:] - slope * p[1:]
        both = B.logical_and(p[:-1] > 0, p[1:] > 0)
        ratio = B.where(both, p[:-1] / B.where(both, p[1:], 1), 1)
        return safe_divide(slope * (tp[:-1] - tp[1:] + intercept * B.log(ratio)), tp[1:] + fn[1:])

    def result(self) -> Array:
        """The area, a scalar."""
        tp, fp, tn, fn = self._values()
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self.interpolate_pr_auc()
        else:
            recall = safe_divide(tp, tp + fn)
            if self.curve == "ROC":
                x, y = safe_divide(fp, fp + tn), recall
            elif self.curve == "PR":
                x, y = recall, safe_divide(tp, tp + fp)
            else:  # https://papers.nips.cc/paper/5867
                odds = safe_divide(tp + fn, fp + tn)
                x, y = (1 - safe_divide(misses * odds, tp) for misses in (fn, fp))
                x = B.where(tp == 0, 0, B.maximum(x, 0))  # below 0 the curve is of no use; its height may be
            join = {"interpolation": lambda a, b: (a + b) / 2, "minoring": B.minimum, "majoring": B.maximum}
            areas = (x[:-1] - x[1:]) * join[self.summation_method](y[:-1], y[1:])
        areas = B.sum(areas, axis=0)
        if not self.multi_label:
            return areas
        if self._shares is None:
            return ops.mean(areas)
        return safe_divide(B.sum(areas * B.convert(self._shares)), B.sum(B.convert(self._shares)))


class _BestAt(_Counts):
    """The largest of one rate among the thresholds at which another rate reaches a value."""

    rates: tuple[Callable[..., Array], Callable[..., Array]]  # (maximised, constrained), of TP, FP, TN, FN

    def __init__(self, value: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any) -> None:
        within(self, "[0, 1]", rate=value)
        whole(self, 1, num_thresholds=num_thresholds)
        whole(self, 0, True, class_id=class_id)
        levels = [0.5] if num_thresholds == 1 else (np.arange(num_thresholds) / (num_thresholds - 1)).tolist()
        super().__init__(name, dtype, levels)
        self._value, self.num_thresholds, self.class_id = value, num_thresholds, class_id
        self._add_counts((num_thresholds,))

    def result(self) -> Array:
        """The rate, a scalar; 0 where no threshold satisfies the condition."""
        best, bound = (rate(*self._values()) for rate in self.rates)
        return B.max(B.where(bound >= self._value, best, 0 * best))


def _sensitivity(tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
    return safe_divide(tp, tp + fn)


def _specificity(tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
    return safe_divide(tn, tn + fp)


def _precision(tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
    return safe_divide(tp, tp + fp)


class SensitivityAtSpecificity(_BestAt):
    """The largest sensitivity, TP / (TP + FN), at thresholds whose specificity reaches `specificity`."""

    rates = (_sensitivity, _specificity)

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_BestAt):
    """The largest specificity, TN / (TN + FP), at thresholds whose sensitivity reaches `sensitivity`."""

    rates = (_specificity, _sensitivity)

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_BestAt):
    """The largest precision at thresholds whose recall reaches `recall`."""

    rates = (_precision, _sensitivity)

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_BestAt):
    """The largest recall at thresholds whose precision reaches `precision`."""

    rates = (_sensitivity, _precision)

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)


class FBetaScore(Metric):
    """(1 + β²) · precision · recall / (β² · precision + recall), for one-hot labels (batch, classes).

    The likeliest class is predicted or, with a `threshold`, every class above it. `average` None gives a score for each
    class, `"macro"` their mean, `"weighted"` the mean weighted by the classes' counts, `"micro"` one of all counts.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        if average not in (None, "micro", "macro", "weighted"):
            raise bad_choice(f"{type(self).__name__}: average", average, ("micro", "macro", "weighted"))
        within(self, "(0, inf)", beta=beta)
        within(self, "(0, 1]", True, threshold=threshold)
        super().__init__(dtype, name)
        self.average, self.beta, self.threshold = average, beta, threshold
        self._counted: list[Variable] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one-hot or multi-hot labels and predictions, both (batch, classes)."""
        y_true, y_pred = (ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        if y_true.ndim != 2 or tuple(y_true.shape) != tuple(y_pred.shape):
            raise ArgumentError(
                f"{self.name} needs labels and predictions of one shape (batch, classes), got {tuple(y_true.shape)} "
                f"and {tuple(y_pred.shape)}. Class numbers can be made one-hot with `cornu.utils.to_categorical`."
            )
        if not self._counted:
            shape = () if self.average == "micro" else (y_true.shape[1],)
            names = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
            self._counted = [self.add_variable(shape, name=name) for name in names]
        if self.threshold is None:
            chosen = B.max(y_pred, axis=-1, keepdims=True)
            chosen = B.logical_and(y_pred == chosen, B.abs(y_pred) > 1e-12)
        else:
            chosen = y_pred > self.threshold
        guess, truth = B.cast(chosen, self.dtype), B.cast(y_true != 0, self.dtype)
        weights = _weights(y_pred, sample_weight, None, self.dtype, self.name)
        axis = None if self.average == "micro" else 0
        parts = (guess * truth, guess * (1 - truth), (1 - guess) * truth, truth)
        for variable, part in zip(self._counted, parts, strict=True):
            variable.assign_add(B.sum(part if weights is None else part * weights, axis=axis))

    def result(self) -> Array:
        """The score: a scalar, or (classes,) without `average`. 0 before the first update."""
        if not self._counted:
            return B.convert(0, self.dtype)
        tp, fp, fn, counts = (variable.value for variable in self._counted)
        square = self.beta**2
        scores = safe_divide((1 + square) * tp, (1 + square) * tp + square * fn + fp)
        if self.average == "weighted":
            return safe_divide(B.sum(scores * counts), B.sum(counts))
        return ops.mean(scores) if self.average == "macro" else scores


class F1Score(FBetaScore):
    """2 · precision · recall / (precision + recall), for one-hot labels (batch, classes); see `FBetaScore`."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
