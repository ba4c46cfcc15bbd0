"""A vector as every step of a sequence."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.layers.checks import positive_int
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import broadcast_to, expand_dims


class RepeatVector(Layer):
    """(batch, features) to (batch, n, features), all steps the same."""

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive_int(n, "n", self)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Array) -> Array:
        return broadcast_to(expand_dims(inputs, 1), (inputs.shape[0], self.n, inputs.shape[1]))
