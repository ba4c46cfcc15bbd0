"""Multiplicative noise."""

from __future__ import annotations

import math
from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError
from cornu.layers.checks import fraction
from cornu.layers.layer import Layer
from cornu.random import SeedGenerator, normal


class GaussianDropout(Layer):
    """In training inputs · noise of mean 1 and variance rate / (1 - rate); else the inputs.

    The variance is that of dropout with the same `rate`, below 1. https://jmlr.org/papers/v15/srivastava14a.html
    """

    supports_masking = True

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = fraction(rate, "rate", self), seed
        if self.rate == 1:
            raise ArgumentError(
                f"{self._label()}: rate should be below 1, where the noise has a variance, got {rate!r}."
            )
        self.seed_generator = SeedGenerator(seed)

    def call(self, inputs: Array, training: bool = False) -> Array:
        if not training or not self.rate:
            return inputs
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return inputs * normal(inputs.shape, 1.0, stddev, self.compute_dtype, self.seed_generator)
