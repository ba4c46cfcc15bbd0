"""The rectified linear unit with a small slope below 0."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.layers.layer import Layer
from cornu.ops import leaky_relu


class LeakyReLU(Layer):
    """x where positive, else negative_slope · x, element-wise; `alpha` is the slope's older name."""

    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        within(self, "[0, inf)", negative_slope=negative_slope)
        self.negative_slope = negative_slope

    def call(self, inputs: Array) -> Array:
        return leaky_relu(inputs, self.negative_slope)
