"""What layers that merge several tensors share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.base.tree import is_shape_tuple
from cornu.layers.layer import Layer


class Merge(Layer):
    """Several tensors merged element by element; sizes of 1 are broadcast, missing axes stand behind the batch."""

    supports_masking = True
    least = 1
    most: int | None = None

    def build(self, input_shape: Any) -> None:
        shapes = self._check_count(input_shape)
        batches = {shape[0] for shape in shapes if shape} - {None}
        if len(batches) > 1:
            raise ShapeError(f"{self._label()}: inputs have different batch sizes, got shapes {shapes}.")
        rank = max(map(len, shapes))
        for sizes in zip(
            *((*shape[:1], *(1,) * (rank - len(shape)), *shape[1:]) for shape in shapes if shape), strict=True
        ):
            if len(set(sizes) - {None, 1}) > 1:
                raise ShapeError(
                    f"{self._label()}: shapes {shapes} do not fit each other: at each axis sizes should be equal or 1. "
                    "Bring the inputs to one shape first, for example with Dense, Reshape or Concatenate."
                )

    def _check_count(self, shapes: Any) -> list[tuple[int | None, ...]]:
        if is_shape_tuple(shapes) or not isinstance(shapes, list | tuple):
            raise ArgumentError(f"{self._label()} should be called on a list of tensors, got one of shape {shapes}.")
        if len(shapes) < self.least or (self.most is not None and len(shapes) > self.most):
            number = f"{self.least} tensors" if self.most == self.least else f"at least {self.least}"
            raise ArgumentError(f"{self._label()} should be called on a list of {number}, got {len(shapes)}.")
        return [tuple(shape) for shape in shapes]

    def call(self, inputs: Sequence[Array]) -> Array:
        ranks = [len(x.shape) for x in inputs]
        missing = [tuple(range(1, max(ranks) - rank + 1)) for rank in ranks]
        return self._merge([ops.expand_dims(x, axes) if axes else x for x, axes in zip(inputs, missing, strict=True)])

    def _merge(self, inputs: list[Array]) -> Array:
        raise NotImplementedError

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """True where any input counts; None where one has no mask."""
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return reduce(ops.logical_or, previous_mask)
