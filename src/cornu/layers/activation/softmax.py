"""Softmax as a layer."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.layers.checks import axes
from cornu.layers.layer import Layer
from cornu.ops import softmax, where


class Softmax(Layer):
    """exp(x) / Σ exp(x) along `axis`, an int or several; the shape of the inputs.

    Where `mask`, of the inputs' shape or broadcast to it, is false the result is 0; where it is false along a whole
    axis all are equal.
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = None if axis is None else axes(axis, self)

    def call(self, inputs: Array, mask: Any = None) -> Array:
        if mask is not None:
            lowest = -3e4 if self.compute_dtype == "float16" else -1e30  # finite, so that no row is NaN
            inputs = where(mask, inputs, lowest)
        return softmax(inputs, self.axis)
