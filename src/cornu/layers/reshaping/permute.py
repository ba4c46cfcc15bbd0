"""The axes of a sample in another order."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import transpose


class Permute(Layer):
    """The axes after the batch in the order `dims`, which counts from 1: `(2, 1)` swaps two."""

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"{self._label()}: dims should hold each of 1 … {len(self.dims)} once (the batch, 0, stays), got "
                f"{dims!r}."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Array) -> Array:
        return transpose(inputs, (0, *self.dims))
