"""What convolutions of every kind share."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu import activations
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.errors import ShapeError
from cornu.layers.checks import choice, sizes
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.weights import make_weight
from cornu.ops import reshape


class Convolution(Layer):
    """A window that moves over `rank` spatial axes; with its layout, bias and activation."""

    rank: ClassVar[int]
    causal: ClassVar[bool] = True
    """Whether `padding="causal"` is offered where there is one spatial axis."""

    def _describe(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
    ) -> None:
        self.kernel_size = sizes(kernel_size, self.rank, "kernel_size", self)
        self.strides = sizes(strides, self.rank, "strides", self)
        self.dilation_rate = sizes(dilation_rate, self.rank, "dilation_rate", self)
        known = ("valid", "same", "causal") if self.rank == 1 and self.causal else ("valid", "same")
        self.padding = choice(padding, known, "padding", self)
        self.data_format = config.standardize_data_format(data_format)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _take_channels(self, input_shape: Any) -> int:
        """The number of channels, which the inputs must keep from now on."""
        axis = 1 if self.data_format == "channels_first" else self.rank + 1
        channels = input_shape[axis]
        if channels is None:
            raise ShapeError(
                f"{self._label()}: the number of channels (axis {axis}, data_format={self.data_format!r}) must be "
                f"known, got inputs of shape {tuple(input_shape)}."
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _make_bias(self, size: int) -> None:
        self.bias = make_weight(self, "bias", (size,)) if self.use_bias else None

    def _finish(self, outputs: Array) -> Array:
        """activation(outputs + bias)."""
        if self.bias is not None:
            first = self.data_format == "channels_first"
            outputs = outputs + (reshape(self.bias, (-1, *(1,) * self.rank)) if first else self.bias.value)
        return outputs if self.activation is None else self.activation(outputs)
