"""The exponential linear unit."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.layers.layer import Layer
from cornu.ops import elu


class ELU(Layer):
    """x where positive, else alpha · (eˣ - 1), element-wise. https://arxiv.org/abs/1511.07289"""

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Array) -> Array:
        return elu(inputs, self.alpha)
