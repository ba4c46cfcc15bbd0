"""Metrics of numbers that are no plain means."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import whole
from cornu.base.errors import ArgumentError, bad_choice
from cornu.core.masks import get_mask
from cornu.core.variable import Variable
from cornu.losses.functions import same_rank
from cornu.metrics.metric import Mean, Metric, _weights


class RootMeanSquaredError(Mean):
    """√mean((y - ŷ)²)."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in targets and predictions."""
        mask = get_mask(y_pred)
        y_true, y_pred = same_rank(*(ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred)))
        self._take_in(ops.square(y_true - y_pred), sample_weight, mask)

    def result(self) -> Array:
        """The root, a scalar."""
        return B.sqrt(super().result())


class R2Score(Metric):
    """1 - Σ(y - ŷ)² / Σ(y - mean(y))²: the share of the variance that is explained, of targets (batch, outputs).

    `class_aggregation` joins the outputs' scores: `"uniform_average"`, `"variance_weighted_average"`, or None for one
    each. With `num_regressors` the score is adjusted for so many independent variables.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ) -> None:
        known = ("uniform_average", "variance_weighted_average")
        if class_aggregation not in (None, *known):
            raise bad_choice("R2Score: class_aggregation", class_aggregation, known)
        whole(self, 0, num_regressors=num_regressors)
        super().__init__(dtype, name)
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._sums: list[Variable] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets and predictions, both (batch, outputs)."""
        y_true, y_pred = same_rank(*(ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred)))
        if y_true.ndim != 2 or tuple(y_true.shape) != tuple(y_pred.shape):
            raise ArgumentError(
                f"{self.name} needs targets and predictions of one shape (batch, outputs), got "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        if not self._sums:
            names = ("squared_sum", "sum", "residual", "count")
            self._sums = [self.add_variable((y_true.shape[1],), name=name) for name in names]
        weights = _weights(y_pred, sample_weight, None, self.dtype, self.name)
        weights = B.broadcast_to(B.convert(1, self.dtype) if weights is None else weights, y_pred.shape)
        parts = (weights * y_true**2, weights * y_true, weights * (y_true - y_pred) ** 2, weights)
        for variable, part in zip(self._sums, parts, strict=True):
            variable.assign_add(B.sum(part, axis=0))
        self.num_samples.assign_add(y_true.shape[0])

    def result(self) -> Array:
        """The score: a scalar, or (outputs,) without aggregation. 0 before the first update."""
        if not self._sums:
            return B.convert(0, self.dtype)
        squares, total, residual, count = (variable.value for variable in self._sums)
        variance = squares - total * total / B.where(count == 0, 1, count)
        scores = B.where(variance == 0, 0 * residual, 1 - residual / B.where(variance == 0, 1, variance))
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            whole = B.sum(variance)
            scores = B.sum(scores * variance) / B.where(whole == 0, 1, whole)
        if self.num_regressors:
            free = self.num_samples.value - self.num_regressors - 1
            adjusted = 1 - (1 - scores) * (self.num_samples.value - 1) / B.where(free == 0, 1, free)
            scores = B.where(free > 0, adjusted, scores)
        return scores
