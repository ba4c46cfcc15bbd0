"""Transposed convolutions, which undo the shrinking of convolutions."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError
from cornu.layers.checks import positive_int
from cornu.layers.convolutional.base import Convolution
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops import conv_transpose


class BaseConvTranspose(Convolution):
    """activation(transposed convolution of the inputs + bias): (batch, *spatial, channels) to (…, filters).

    The gradient of a convolution with respect to its inputs: it enlarges by the strides. A size becomes size · stride
    with `padding="same"`, and that plus max(window - stride, 0) with `"valid"`; `output_padding`, smaller than the
    stride, adds to the size that is least otherwise. https://arxiv.org/abs/1603.07285
    """

    causal = False

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        self.filters = positive_int(filters, "filters", self)
        self.output_padding = output_padding
        if output_padding is not None:
            each = (output_padding,) * self.rank if hasattr(output_padding, "__index__") else tuple(output_padding)
            if len(each) != self.rank or not all(0 <= n < s for n, s in zip(each, self.strides, strict=True)):
                raise ArgumentError(
                    f"{self._label()}: output_padding should be an int or {self.rank} of them, each at least 0 and "
                    f"smaller than its stride, got {output_padding!r} with strides={self.strides}."
                )
            self.output_padding = each
        describe_weights(self, locals(), "kernel", "bias")

    def build(self, input_shape: Any) -> None:
        channels = self._take_channels(input_shape)
        self.kernel = make_weight(self, "kernel", (*self.kernel_size, self.filters, channels))
        self._make_bias(self.filters)

    def call(self, inputs: Array) -> Array:
        outputs = conv_transpose(
            inputs,
            self.kernel,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )
        return self._finish(outputs)


class Conv1DTranspose(BaseConvTranspose):
    """Transposed convolution of sequences: (batch, steps, channels). As `BaseConvTranspose` says."""

    rank = 1


class Conv2DTranspose(BaseConvTranspose):
    """Transposed convolution of images: (batch, height, width, channels). As `BaseConvTranspose` says."""

    rank = 2


class Conv3DTranspose(BaseConvTranspose):
    """Transposed convolution of volumes: (batch, *three axes, channels). As `BaseConvTranspose` says."""

    rank = 3

    def __init__(  # Keras orders these two otherwise here
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, output_padding, data_format, *args, **kwargs)
