"""Convolutions in two steps: each channel over space, then all channels at each point."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.layers.checks import positive_int
from cornu.layers.convolutional.base import Convolution
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops import conv, depthwise_conv


class BaseSeparableConv(Convolution):
    """A depthwise convolution, then one of window 1 that mixes the channels, then bias and activation.

    (batch, *spatial, channels) to (batch, *spatial, filters); with `data_format="channels_first"` the channels stand
    behind the batch. Strides, padding and dilation belong to the first step. https://arxiv.org/abs/1610.02357
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._describe(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.filters = positive_int(filters, "filters", self)
        self.depth_multiplier = positive_int(depth_multiplier, "depth_multiplier", self)
        describe_weights(self, locals(), "depthwise", "pointwise", "bias")

    def build(self, input_shape: Any) -> None:
        channels, multiplier = self._take_channels(input_shape), self.depth_multiplier
        window, point = self.kernel_size, (1,) * self.rank
        self.depthwise_kernel = make_weight(self, "depthwise", (*window, channels, multiplier), "depthwise_kernel")
        self.pointwise_kernel = make_weight(
            self, "pointwise", (*point, channels * multiplier, self.filters), "pointwise_kernel"
        )
        self._make_bias(self.filters)

    def call(self, inputs: Array) -> Array:
        outputs = depthwise_conv(
            inputs, self.depthwise_kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )
        return self._finish(conv(outputs, self.pointwise_kernel, 1, "valid", self.data_format))


class SeparableConv1D(BaseSeparableConv):
    """Separable convolution of sequences: (batch, steps, channels). As `BaseSeparableConv` says."""

    rank = 1


class SeparableConv2D(BaseSeparableConv):
    """Separable convolution of images: (batch, height, width, channels). As `BaseSeparableConv` says."""

    rank = 2
