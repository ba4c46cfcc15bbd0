"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from cornu import activations, constraints, initializers, regularizers
from cornu.backend.contract import Array
from cornu.base.errors import ShapeError
from cornu.layers.checks import positive_int
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
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
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        if features is None:
            raise ShapeError(f"{self._label()}: the last size of its inputs must be known, got shape {input_shape}.")
        self.kernel = self.add_weight(
            (features, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})

    def call(self, inputs: Array, training: bool | None = None) -> Array:
        outputs = dense(inputs, self.kernel.value, None if self.bias is None else self.bias.value)
        return outputs if self.activation is None else self.activation(outputs)
