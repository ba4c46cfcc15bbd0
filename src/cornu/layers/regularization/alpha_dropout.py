"""Dropout that suits self-normalising networks."""

from __future__ import annotations

from cornu.backend.contract import Array
from cornu.layers.regularization.dropout import Dropout
from cornu.ops import where
from cornu.random import uniform

_LIMIT = -1.7580993408473766  # -λα of `selu`: what very negative inputs become


class AlphaDropout(Dropout):
    """In training elements take selu's lowest value with probability `rate`; a scaling restores mean 0 and variance 1.

    For inputs that `selu` keeps at mean 0 and variance 1; `noise_shape` and `seed` are those of `Dropout`.
    https://arxiv.org/abs/1706.02515
    """

    def call(self, inputs: Array, training: bool = False) -> Array:
        if not training or not self.rate:
            return inputs
        if self.rate == 1:
            return inputs * 0
        given = self.noise_shape or (None,) * inputs.ndim
        shape = [size if n is None else n for size, n in zip(inputs.shape, given, strict=True)]
        keep = uniform(shape, dtype="float32", seed=self.seed_generator) >= self.rate
        a = ((1 - self.rate) * (1 + self.rate * _LIMIT**2)) ** -0.5
        return a * where(keep, inputs, _LIMIT) - a * _LIMIT * self.rate
