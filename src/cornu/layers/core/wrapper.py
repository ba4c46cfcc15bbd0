"""The base of layers around another."""

from __future__ import annotations

from typing import Any

from cornu.base.errors import ArgumentError
from cornu.layers.layer import Layer


class Wrapper(Layer):
    """Base of layers that hold one other, `layer`, which is built with them. Subclasses define `call`."""

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ArgumentError(f"{type(self).__name__}: layer should be a Layer, got {layer!r}.")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
