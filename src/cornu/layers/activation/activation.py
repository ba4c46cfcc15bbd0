"""An activation function as a layer."""

from __future__ import annotations

from typing import Any

from cornu import activations
from cornu.layers.layer import Layer


class Activation(Layer):
    """activation(inputs); `activation` is a name such as `"relu"` or a function."""

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)
