"""Metrics: what training reports."""

from __future__ import annotations

from typing import Any

from cornu.base.errors import ArgumentError
from cornu.core.lookup import Family
from cornu.losses import ALIASES, kind_of_labels
from cornu.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from cornu.metrics.confusion import (
    AUC,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from cornu.metrics.functions import (
    binary_accuracy,
    categorical_accuracy,
    concordance_correlation,
    pearson_correlation,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from cornu.metrics.iou import (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from cornu.metrics.means import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
)
from cornu.metrics.metric import (
    Mean,
    MeanMetricWrapper,
    Metric,
    Sum,
)
from cornu.metrics.regression import (
    R2Score,
    RootMeanSquaredError,
)

__all__ = [
    "check_name",
    "resolve",
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pearson_correlation",
    "poisson",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

_classes = {name: globals()[name] for name in __all__ if name[0].isupper() and "Metric" not in name}
_short = {short: long for short, long in ALIASES.items() if long not in ("log_cosh", "huber")}
_short |= {short.upper(): long for short, long in _short.items() if len(short) <= 4}
_family = Family(
    "metric",
    _classes,
    {
        "binary_focal_crossentropy": binary_focal_crossentropy,
        "categorical_focal_crossentropy": categorical_focal_crossentropy,
        "huber": huber,
    },
    {
        **_short,
        "acc": "accuracy",
        "logcosh": "LogCoshError",
        "log_cosh": "LogCoshError",
        "rmse": "RootMeanSquaredError",
        "fbeta_score": "FBetaScore",
        "mean_iou": "MeanIoU",
    },
)


_functions = {short: globals()[long] for short, long in _short.items() if long in globals()}
globals().update(_functions)
__all__ += _functions


def serialize(metric: Any) -> Any:
    """The metric as plain data."""
    return _family.serialize(metric)


deserialize = _family.deserialize
_BY_SHAPE = {"accuracy": "accuracy", "acc": "accuracy", "crossentropy": "crossentropy", "ce": "crossentropy"}


def get(identifier: Any) -> Any:
    """The metric for a name (with its defaults), a configuration, a class, a function or itself; None stays None.

    `"accuracy"` is plain equality here: which accuracy a model means is decided by its outputs' shape, when it trains.
    """
    return _family.get(identifier)


def check_name(identifier: Any) -> None:
    """Raises UnknownNameError for a name that no metric has."""
    if isinstance(identifier, str) and identifier.lower() not in _BY_SHAPE:
        _family.find(identifier)


def resolve(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """The metric that `compile(metrics=[identifier])` means for targets and predictions of these shapes.

    `"accuracy"` (`"acc"`) and `"crossentropy"` (`"ce"`) become the binary one for one prediction a sample, the sparse
    one for labels that are class numbers, else the categorical one. A metric given by name is called by that name;
    functions and losses become means. `y_true` and `y_pred` are anything that has a shape.
    """
    if isinstance(identifier, str) and identifier.lower() in _BY_SHAPE:
        kind = f"{kind_of_labels(y_true, y_pred)}_{_BY_SHAPE[identifier.lower()]}"
        return _family.known[kind](name=identifier)
    found = get(identifier)
    if isinstance(found, Metric):
        if isinstance(identifier, str):
            found.name = identifier
        return found
    if not callable(found):
        raise ArgumentError(
            f"A metric should be a name, a Metric or a function of (y_true, y_pred), got {identifier!r}."
        )
    return MeanMetricWrapper(found, identifier if isinstance(identifier, str) else None)
