"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from cornu import activations
from cornu.backend.contract import Array
from cornu.base.errors import ShapeError
from cornu.layers.checks import positive_int
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops.products import dense


class Dense(Layer):
    """activation(inputs · kernel + bias), on the last axis: (…, features) to (…, units).

    `activation` is a name, a function or None. Raises ShapeError when called with another number of features than
    it was built for.
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
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
        self.units = positive_int(units, "units", self)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        describe_weights(self, locals(), "kernel", "bias")
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        if features is None:
            raise ShapeError(f"{self._label()}: the last size of its inputs must be known, got shape {input_shape}.")
        self.kernel = make_weight(self, "kernel", (features, self.units))
        self.bias = make_weight(self, "bias", (self.units,)) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})

    def call(self, inputs: Array, training: bool | None = None) -> Array:
        outputs = dense(inputs, self.kernel.value, None if self.bias is None else self.bias.value)
        return outputs if self.activation is None else self.activation(outputs)
