"""Convolutions of each channel by itself."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.layers.checks import positive_int
from cornu.layers.convolutional.base import Convolution
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops import depthwise_conv


class BaseDepthwiseConv(Convolution):
    """Each channel convolved with `depth_multiplier` windows of its own: channels become channels · depth_multiplier.

    (batch, *spatial, channels), or with `data_format="channels_first"` (batch, channels, *spatial). Strides, padding
    and dilation are those of the ordinary convolution.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._describe(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.depth_multiplier = positive_int(depth_multiplier, "depth_multiplier", self)
        describe_weights(self, locals(), "depthwise", "bias")

    def build(self, input_shape: Any) -> None:
        channels = self._take_channels(input_shape)
        self.kernel = make_weight(self, "depthwise", (*self.kernel_size, channels, self.depth_multiplier), "kernel")
        self._make_bias(channels * self.depth_multiplier)

    def call(self, inputs: Array) -> Array:
        return self._finish(
            depthwise_conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        )


class DepthwiseConv1D(BaseDepthwiseConv):
    """Depthwise convolution of sequences: (batch, steps, channels). As `BaseDepthwiseConv` says."""

    rank = 1


class DepthwiseConv2D(BaseDepthwiseConv):
    """Depthwise convolution of images: (batch, height, width, channels). As `BaseDepthwiseConv` says."""

    rank = 2
