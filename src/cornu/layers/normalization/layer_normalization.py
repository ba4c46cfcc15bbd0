"""Normalisation of each sample by its own statistics."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.base.dtypes import result_type
from cornu.layers.checks import axes
from cornu.layers.layer import Layer
from cornu.layers.normalization.axes import sizes_at, spread
from cornu.layers.weights import describe_weights, make_weight


class LayerNormalization(Layer):
    """(inputs - mean) / √(variance + ε) · gamma + beta, the statistics along `axis`; the shape of the inputs.

    `axis` is an int or several; gamma and beta have the sizes of those axes. With `rms_scaling` the mean is not
    subtracted and there is no beta. Computed in float32 at least. https://arxiv.org/abs/1607.06450
    """

    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        rms_scaling: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        within(self, "[0, inf)", epsilon=epsilon)
        self.axis, self.epsilon = axes(axis, self), epsilon
        self.center, self.scale, self.rms_scaling = center, scale, rms_scaling
        describe_weights(self, locals(), "beta", "gamma")

    def build(self, input_shape: Any) -> None:
        shape = sizes_at(self, input_shape, self.axis)
        scaled, centred = self.scale or self.rms_scaling, self.center and not self.rms_scaling
        self.gamma = make_weight(self, "gamma", shape, autocast=False) if scaled else None
        self.beta = make_weight(self, "beta", shape, autocast=False) if centred else None

    def call(self, inputs: Array) -> Array:
        x = ops.cast(inputs, result_type(self.compute_dtype, "float32"))
        if self.rms_scaling:
            factor = ops.rsqrt(ops.var(x, self.axis, keepdims=True) + self.epsilon)
            outputs = x * factor * spread(self.gamma, x.ndim, self.axis)
        else:
            outputs = ops.layer_normalization(x, self.gamma, self.beta, self.axis, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)
