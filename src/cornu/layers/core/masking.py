"""Steps to be skipped."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer


class Masking(Layer):
    """Masks the steps of (batch, steps, features) whose features all equal `mask_value`, and sets them to 0."""

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.input_spec = InputSpec(min_ndim=2)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), -1)

    def call(self, inputs: Array) -> Array:
        counts = ops.any(ops.not_equal(inputs, self.mask_value), -1, keepdims=True)
        return ops.where(counts, inputs, ops.zeros((), inputs.dtype))
