"""Samples in another shape."""

from __future__ import annotations

import math
from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.layers.layer import Layer
from cornu.ops import reshape


class Reshape(Layer):
    """(batch, …) to (batch, *target_shape); one size may be -1, which is what remains.

    Raises ShapeError where a sample has not as many elements as the target.
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target = (target_shape,) if hasattr(target_shape, "__index__") else tuple(target_shape)
        sizes = [size.__index__() for size in target if hasattr(size, "__index__")]
        if len(sizes) != len(target) or any(size < -1 for size in sizes) or sizes.count(-1) > 1:
            raise ArgumentError(
                f"{self._label()}: target_shape should hold sizes, at most one of them -1 (what remains), "
                f"got {target_shape!r}."
            )
        self.target_shape = tuple(sizes)

    def call(self, inputs: Array) -> Array:
        given, wanted = math.prod(inputs.shape[1:]), math.prod(size for size in self.target_shape if size != -1)
        fits = given % wanted == 0 if -1 in self.target_shape and wanted else given == wanted
        if not fits:
            raise ShapeError(
                f"{self._label()}: samples of shape {tuple(inputs.shape[1:])} have {given} elements and cannot take "
                f"the target_shape {self.target_shape}."
            )
        rest = given // wanted if wanted else 0
        return reshape(inputs, (inputs.shape[0], *(rest if size == -1 else size for size in self.target_shape)))
