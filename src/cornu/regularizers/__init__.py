"""Penalties on weights and activities, added to the loss."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.base.checks import within
from cornu.base.errors import ShapeError, bad_choice
from cornu.core.configurable import Configurable
from cornu.core.lookup import Family

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer(Configurable):
    """Base of regularizers: derive from it and define `__call__(x)`, the penalty of a tensor as a scalar."""

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} should define `__call__(x)`.")


def _factor(name: str, value: Any) -> float:
    value = 0.0 if value is None else value
    within("Regularizer", "[0, inf)", **{name: value})
    return float(value)


class L1L2(Regularizer):
    """l1 · Σ|x| + l2 · Σx²."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _factor("l1", l1), _factor("l2", l2)

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar."""
        penalty = 0.0
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return ops.convert_to_tensor(penalty)


class L1(Regularizer):
    """l1 · Σ|x|."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("l1", l1)

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar."""
        return self.l1 * ops.sum(ops.absolute(x))


class L2(Regularizer):
    """l2 · Σx²."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("l2", l2)

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar."""
        return self.l2 * ops.sum(ops.square(x))


class OrthogonalRegularizer(Regularizer):
    """factor · the mean |cosine| of the angles between the rows (or columns, by `mode`) of a matrix.

    0 when they are orthogonal. Raises ShapeError for other than two axes.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise bad_choice("OrthogonalRegularizer: mode", mode, ("rows", "columns"))
        self.factor, self.mode = _factor("factor", factor), mode

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar."""
        if len(x.shape) != 2:
            raise ShapeError(f"OrthogonalRegularizer needs a matrix, two axes; got shape {tuple(x.shape)}.")
        vectors = ops.normalize(x if self.mode == "rows" else ops.transpose(x), axis=1)  # (count, size)
        count = vectors.shape[0]
        cosines = ops.absolute(ops.matmul(vectors, ops.transpose(vectors))) * (
            1.0 - ops.eye(count, dtype=vectors.dtype)
        )
        pairs = count * (count - 1) / 2
        return self.factor * 0.5 * ops.sum(cosines) / max(pairs, 1)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
_family = Family(
    "regularizer",
    {name: globals()[name] for name in ("L1", "L2", "L1L2", "OrthogonalRegularizer", "Regularizer")},
    aliases={"l1_l2": "L1L2"},
)


def get(identifier: Any) -> Any:
    """The regularizer for a name, a configuration, a class or itself; by the name `"l1_l2"` with 0.01 of each."""
    both = isinstance(identifier, str) and identifier.lower() in ("l1_l2", "l1l2")
    return L1L2(0.01, 0.01) if both else _family.get(identifier)


def serialize(regularizer: Any) -> Any:
    """The regularizer as plain data."""
    return _family.serialize(regularizer)


deserialize = _family.deserialize
