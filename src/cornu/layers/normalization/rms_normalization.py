"""Normalisation by the root mean square."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.base.dtypes import result_type
from cornu.layers.checks import axes
from cornu.layers.layer import Layer
from cornu.layers.normalization.axes import sizes_at, spread


class RMSNormalization(Layer):
    """inputs / √(mean(inputs²) + ε) · scale along `axis`, an int or several; the shape of the inputs.

    Computed in float32 at least. https://arxiv.org/abs/1910.07467
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        within(self, "[0, inf)", epsilon=epsilon)
        self.axis = axes(axis, self)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        shape = sizes_at(self, input_shape, self.axis)
        self.scale = self.add_weight(shape, "ones", autocast=False, name="scale")

    def call(self, inputs: Array) -> Array:
        x = ops.cast(inputs, result_type(self.compute_dtype, "float32"))
        scale = spread(self.scale, x.ndim, self.axis)
        return ops.cast(ops.rms_normalization(x, scale, self.axis, self.epsilon), self.compute_dtype)
