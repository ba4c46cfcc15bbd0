"""Projections that keep weights within bounds, applied after each update of the optimizer."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.base import config
from cornu.base.checks import within
from cornu.core.configurable import Configurable
from cornu.core.lookup import Family

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
    "maxnorm",
    "nonneg",
    "unitnorm",
]


class Constraint(Configurable):
    """Base of constraints: derive from it and define `__call__(w)`, which returns the projected weights."""

    def __call__(self, w: Any) -> Any:
        """The weights brought within bounds; the shape of `w`."""
        raise NotImplementedError(f"{type(self).__name__} should define `__call__(w)`.")


def _norms(w: Any, axis: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """The norm along `axis` (0: that of each unit's incoming weights in a Dense kernel) at most `max_value`.

    https://jmlr.org/papers/v15/srivastava14a.html
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        within(self, "[0, inf]", max_value=max_value)
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Any:
        """The weights scaled down where they are too large."""
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0, self.max_value) / (config.epsilon() + norms))


class NonNeg(Constraint):
    """max(w, 0)."""

    def __call__(self, w: Any) -> Any:
        """The weights, 0 where they are negative."""
        return ops.maximum(w, 0)


class UnitNorm(Constraint):
    """The norm along `axis` equal to 1."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The weights divided by their norm."""
        return w / (config.epsilon() + _norms(w, self.axis))


class MinMaxNorm(Constraint):
    """The norm along `axis` drawn into [min_value, max_value], by the share `rate` of the way at each step."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        within(self, "[0, inf)", min_value=min_value)
        within(self, f"[{float(min_value)}, inf]", max_value=max_value)
        within(self, "[0, 1]", rate=rate)
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        """The weights scaled."""
        norms = _norms(w, self.axis)
        wanted = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (wanted / (config.epsilon() + norms))


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
maxnorm, nonneg, unitnorm = MaxNorm, NonNeg, UnitNorm  # of Keras 1
_family = Family(
    "constraint",
    {name: globals()[name] for name in ("Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")},
    aliases={"nonneg": "NonNeg"},
)
get = _family.get


def serialize(constraint: Any) -> Any:
    """The constraint as plain data."""
    return _family.serialize(constraint)


deserialize = _family.deserialize
