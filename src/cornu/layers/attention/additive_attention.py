"""Attention by a sum."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.errors import ShapeError
from cornu.layers.attention.attention import Attention


class AdditiveAttention(Attention):
    """Attention with scores Σ scale · tanh(query + key), the scale a weight of as many features, or 1.

    Inputs and masks are those of Attention. https://arxiv.org/abs/1409.0473
    """

    _left_out = ("score_mode",)

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._check_inputs(input_shape)
        features = input_shape[0][-1]
        if features is None:
            raise ShapeError(f"{self._label()}: the last size of the query must be known, got {input_shape[0]}.")
        self.scale = self.add_weight((features,), "glorot_uniform", name="scale") if self.use_scale else None

    def scores(self, query: Array, key: Array) -> Array:
        summed = ops.tanh(query[:, :, None] + key[:, None])
        return ops.sum(summed if self.scale is None else self.scale.value * summed, -1)
