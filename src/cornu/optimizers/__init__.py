"""Optimizers: how gradients change variables."""

from __future__ import annotations

from typing import Any

from cornu.base.errors import ArgumentError
from cornu.core.lookup import Family
from cornu.optimizers import schedules
from cornu.optimizers.adafactor import Adafactor
from cornu.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam
from cornu.optimizers.adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from cornu.optimizers.gradient_descent import SGD, Lion
from cornu.optimizers.loss_scale import LossScaleOptimizer
from cornu.optimizers.optimizer import Optimizer

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_family = Family(
    "optimizer",
    {name: globals()[name] for name in __all__ if name[0].isupper() and name != "Optimizer"},
)
_family.names = sorted(cls.__name__.lower() for cls in set(_family.known.values()))  # as they are usually written


def get(identifier: Any) -> Optimizer:
    """The optimizer for a name (with its defaults), a configuration, a class or itself."""
    found = _family.get(identifier)
    if not isinstance(found, Optimizer):
        raise ArgumentError(
            f"An optimizer should be a name such as 'adam', a configuration or a cornu.optimizers.Optimizer, got "
            f"{identifier!r}."
        )
    return found


def serialize(optimizer: Any) -> Any:
    """The optimizer as plain data."""
    return _family.serialize(optimizer)


deserialize = _family.deserialize
