"""Normalisation to length 1."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.dtypes import result_type
from cornu.layers.checks import axes
from cornu.layers.layer import Layer


class UnitNormalization(Layer):
    """inputs divided by their Euclidean norm along `axis`, an int or several; the shape of the inputs."""

    supports_masking = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axes(axis, self)

    def call(self, inputs: Array) -> Array:
        x = ops.cast(inputs, result_type(self.compute_dtype, "float32"))
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        return ops.cast(ops.normalize(x, axis, 2, 1e-12), self.compute_dtype)
