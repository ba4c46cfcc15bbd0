"""Convolutions over one, two and three spatial axes."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.layers.checks import positive_int
from cornu.layers.convolutional.base import Convolution
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops import conv


class BaseConv(Convolution):
    """activation(inputs ⋆ kernel + bias), a cross-correlation: (batch, *spatial, channels) to (…, filters).

    With `data_format="channels_first"` the channels stand behind the batch. Sizes are an int or one for each spatial
    axis. `groups` split the channels; each makes filters / groups of the filters. `padding` is `"valid"` (none),
    `"same"` (size / stride, rounded up) or, for one axis, `"causal"` (no output sees later inputs).
    Raises ShapeError where the groups do not divide the channels or the window exceeds the inputs.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._describe(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.filters, self.groups = positive_int(filters, "filters", self), positive_int(groups, "groups", self)
        if self.filters % self.groups:
            raise ArgumentError(
                f"{self._label()}: groups should divide the filters, got groups={groups} and filters={filters}."
            )
        describe_weights(self, locals(), "kernel", "bias")

    def build(self, input_shape: Any) -> None:
        channels = self._take_channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"{self._label()}: groups={self.groups} should divide the {channels} channels of its inputs, got shape "
                f"{tuple(input_shape)} ({self.data_format})."
            )
        self.kernel = make_weight(self, "kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self._make_bias(self.filters)

    def call(self, inputs: Array) -> Array:
        return self._finish(conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate))


class Conv1D(BaseConv):
    """Convolution of sequences: (batch, steps, channels) to (…, filters). As `BaseConv` says."""

    rank = 1


class Conv2D(BaseConv):
    """Convolution of images: (batch, height, width, channels) to (…, filters). As `BaseConv` says."""

    rank = 2


class Conv3D(BaseConv):
    """Convolution of volumes: (batch, *three axes, channels) to (…, filters). As `BaseConv` says."""

    rank = 3
