"""Losses: what training makes small."""

from __future__ import annotations

from typing import Any

from cornu.core.lookup import Family
from cornu.losses.classes import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    Circle,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from cornu.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    circle,
    cosine_similarity,
    dice,
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
    tversky,
)
from cornu.losses.loss import Loss

__all__ = [
    "Loss",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "dice",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
    "deserialize",
    "get",
    "kind_of_labels",
    "resolve",
    "serialize",
]

ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "huber_loss": "huber",
    "cosine": "cosine_similarity",
    "cosine_proximity": "cosine_similarity",
}
"""The short and the older names of loss functions, as metrics know them too."""
_short = ALIASES | {alias.upper(): name for alias, name in ALIASES.items() if len(alias) <= 4}
_family = Family(
    "loss",
    {name: globals()[name] for name in __all__ if name[0].isupper()},
    {
        name: globals()[name]
        for name in __all__
        if ("_" in name and name != "kind_of_labels") or name in ("circle", "dice", "hinge", "huber", "poisson")
    },
    _short,
)
get = _family.get
globals().update({alias: globals()[name] for alias, name in _short.items()})
__all__ += _short


def kind_of_labels(y_true: Any, y_pred: Any) -> str:
    """`"binary"` for one prediction a sample, `"sparse_categorical"` for class numbers, else `"categorical"`.

    By the shapes of targets and predictions, which are anything that has one."""
    truth, guess = (tuple(getattr(y, "shape", ())) for y in (y_true, y_pred))
    if len(guess) < 2 or guess[-1] == 1:
        return "binary"
    return "sparse_categorical" if len(truth) < len(guess) or truth[-1] == 1 else "categorical"


def resolve(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """The loss that `compile(loss=identifier)` means for targets and predictions of these shapes.

    `"crossentropy"` (`"ce"`) becomes the binary, sparse or categorical one; everything else is what `get` finds.
    """
    if isinstance(identifier, str) and identifier.lower() in ("ce", "crossentropy"):
        identifier = f"{kind_of_labels(y_true, y_pred)}_crossentropy"
    return get(identifier)


def serialize(loss: Any) -> Any:
    """The loss as plain data."""
    return _family.serialize(loss)


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The loss that `serialize` described, or the one of this name."""
    return _family.deserialize(name, custom_objects)
