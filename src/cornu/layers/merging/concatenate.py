"""Tensors joined along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.errors import ShapeError
from cornu.layers.checks import axes
from cornu.layers.merging.base import Merge


class Concatenate(Merge):
    """A list of tensors joined along `axis`; all their other sizes must be equal.

    Raises ShapeError where they are not. Masks are joined along with the tensors where `axis` is one of theirs.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axes(axis, self, several=False)

    def build(self, input_shape: Any) -> None:
        shapes = self._check_count(input_shape)
        rank = len(shapes[0])
        if any(len(shape) != rank for shape in shapes) or not -rank <= self.axis < rank:
            raise ShapeError(
                f"{self._label()}: inputs should have the same number of axes, and axis {self.axis}, got shapes "
                f"{shapes}."
            )
        for i, sizes in enumerate(zip(*shapes, strict=True)):
            if i != self.axis % rank and len(set(sizes) - {None}) > 1:
                raise ShapeError(
                    f"{self._label()}: inputs should have equal sizes except at axis {self.axis}, got shapes {shapes}, "
                    f"which differ at axis {i}."
                )

    def call(self, inputs: Sequence[Array]) -> Array:
        return ops.concatenate(list(inputs), self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        if previous_mask is None or all(mask is None for mask in previous_mask):
            return None
        rank = max(mask.ndim for mask in previous_mask if mask is not None)
        filled = [
            ops.ones(x.shape[:rank], "bool") if mask is None else mask
            for x, mask in zip(inputs, previous_mask, strict=True)
        ]
        axis = self.axis % inputs[0].ndim
        return ops.concatenate(filled, axis) if axis < rank else reduce(ops.logical_or, filled)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate(axis, **kwargs)(inputs)`."""
    return Concatenate(axis, **kwargs)(inputs)
