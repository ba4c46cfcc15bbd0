"""The rectified linear unit, with its options."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.layers.layer import Layer
from cornu.ops import minimum, relu, where


class ReLU(Layer):
    """x where it exceeds `threshold`, else negative_slope · (x - threshold); never above `max_value`.

    Element-wise, the shape of the inputs. The three are non-negative, `max_value` may be None.
    """

    supports_masking = True

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        within(self, "[0, inf)", True, max_value=max_value)
        within(self, "[0, inf)", negative_slope=negative_slope, threshold=threshold)
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope, self.threshold = float(negative_slope), float(threshold)

    def call(self, inputs: Array) -> Array:
        if self.negative_slope or self.threshold:
            below = self.negative_slope * (inputs - self.threshold)
            outputs = where(inputs > self.threshold, inputs, below)
        else:
            outputs = relu(inputs)
        return outputs if self.max_value is None else minimum(outputs, self.max_value)
