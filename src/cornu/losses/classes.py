"""The formulas as objects, with a reduction and their options."""

from __future__ import annotations

import math
from typing import Any

from cornu.base.checks import whole, within
from cornu.losses import functions
from cornu.losses.loss import Loss, labels


class MeanSquaredError(Loss):
    """The mean of (y - ŷ)²."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.mean_squared_error)


class MeanAbsoluteError(Loss):
    """The mean of |y - ŷ|."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.mean_absolute_error)


class MeanAbsolutePercentageError(Loss):
    """100 times the mean of |y - ŷ| / |y|."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(Loss):
    """The mean of (ln(1 + y) - ln(1 + ŷ))², for numbers not below 0."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.mean_squared_logarithmic_error)


class LogCosh(Loss):
    """The mean of ln cosh(ŷ - y): squares near 0, absolute values far off."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "log_cosh", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.log_cosh)


class Poisson(Loss):
    """The mean of ŷ - y · ln ŷ, for counts y with the expectation ŷ."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "poisson", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.poisson)


class KLDivergence(Loss):
    """Σ y · ln(y / ŷ), for probabilities."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "kl_divergence", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.kl_divergence)


class Hinge(Loss):
    """The mean of max(1 - y · ŷ, 0), for labels -1 and 1 (or 0 and 1)."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "hinge", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.hinge)


class SquaredHinge(Loss):
    """The mean of max(1 - y · ŷ, 0)², for labels -1 and 1 (or 0 and 1)."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "squared_hinge", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.squared_hinge)


class CategoricalHinge(Loss):
    """max(1 + the largest wrong score - the right score, 0), for one-hot labels."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "categorical_hinge", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    call = staticmethod(functions.categorical_hinge)


class Huber(Loss):
    """Squared for errors up to `delta`, linear beyond. https://projecteuclid.org/euclid.aoms/1177703732"""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "(0, inf)", delta=delta)
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.huber(y_true, y_pred, self.delta)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between y and ŷ along `axis`: -1 is best."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        whole(self, -math.inf, axis=axis)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.cosine_similarity(y_true, y_pred, self.axis)


class BinaryCrossentropy(Loss):
    """-y · ln ŷ - (1 - y) · ln(1 - ŷ), the mean along `axis`; labels 0 and 1.

    `y_pred` holds probabilities, or logits with `from_logits`. `label_smoothing` draws labels towards 1/2."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "[0, 1]", label_smoothing=label_smoothing)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class CategoricalCrossentropy(Loss):
    """-Σ y · ln ŷ along `axis`, for one-hot or soft labels.

    `y_pred` holds probabilities, or logits with `from_logits`. `label_smoothing` is the share of each label's mass
    spread over all classes, https://arxiv.org/abs/1512.00567."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "[0, 1]", label_smoothing=label_smoothing)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy in which easy samples count less, by (1 - p)^gamma. https://arxiv.org/abs/1708.02002

    With `apply_class_balancing` positives count `alpha` and negatives 1 - `alpha`."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "[0, inf)", alpha=alpha, gamma=gamma)
        within(self, "[0, 1]", label_smoothing=label_smoothing)
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        focus = (self.apply_class_balancing, self.alpha, self.gamma)
        return functions.binary_focal_crossentropy(
            y_true, y_pred, *focus, self.from_logits, self.label_smoothing, self.axis
        )


class CategoricalFocalCrossentropy(Loss):
    """Categorical cross-entropy in which easy samples count less: -Σ alpha (1 - ŷ)^gamma y · ln ŷ.

    `alpha` is a number or a list with one for each class. https://arxiv.org/abs/1708.02002"""

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "[0, inf)", gamma=gamma)
        within(self, "[0, 1]", label_smoothing=label_smoothing)
        self.alpha, self.gamma = alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.categorical_focal_crossentropy(
            y_true, y_pred, self.alpha, self.gamma, self.from_logits, self.label_smoothing, self.axis
        )


class CategoricalGeneralizedCrossEntropy(Loss):
    """(1 - ŷ[y]^q) / q for class numbers y: robust to wrong labels. https://arxiv.org/abs/1805.07836"""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "(0, 1]", q=q)
        self.q = q

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.categorical_generalized_cross_entropy(y_true, y_pred, self.q)


class SparseCategoricalCrossentropy(Loss):
    """-ln ŷ[y], for labels that are class numbers; the classes of `y_pred` lie along `axis`.

    `y_pred` holds probabilities, or logits with `from_logits`. Samples of the class `ignore_class` do not count.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def _targets(self, y: Any) -> Any:
        return labels(y, self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.sparse_categorical_crossentropy(y_true, y_pred, self.from_logits, self.ignore_class, self.axis)


class Dice(Loss):
    """1 - 2 Σ y ŷ / (Σ y + Σ ŷ) over the axes `axis`, all where None. https://arxiv.org/abs/1606.04797"""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.dice(y_true, y_pred, self.axis)


class Tversky(Loss):
    """1 - TP / (TP + alpha · FN + beta · FP) over the axes `axis`, all where None. https://arxiv.org/abs/1706.05721"""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "[0, inf)", alpha=alpha, beta=beta)
        self.alpha, self.beta, self.axis = alpha, beta, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.tversky(y_true, y_pred, self.alpha, self.beta, self.axis)


class Circle(Loss):
    """Pulls normalised embeddings (batch, d) of one class number together and others apart.

    `gamma` scales, `margin` relaxes; `remove_diagonal` leaves out each sample's pair with itself.
    https://arxiv.org/abs/2002.10857
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        within(self, "[0, inf)", gamma=gamma)
        self.gamma, self.margin, self.remove_diagonal = gamma, margin, remove_diagonal

    def _targets(self, y: Any) -> Any:
        return labels(y, self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values before reduction."""
        return functions.circle(
            y_true, y_pred, remove_diagonal=self.remove_diagonal, gamma=self.gamma, margin=self.margin
        )
