"""A penalty on what passes through."""

from __future__ import annotations

from typing import Any

from cornu import regularizers
from cornu.layers.layer import Layer


class ActivityRegularization(Layer):
    """The inputs unchanged; adds l1 · Σ |x| + l2 · Σ x² to the loss."""

    supports_masking = True
    _left_out = ("activity_regularizer",)

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Any) -> Any:
        return inputs
