"""Elements set to 0 at random."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError
from cornu.layers.checks import fraction
from cornu.layers.layer import Layer
from cornu.random import SeedGenerator, dropout


class Dropout(Layer):
    """In training each element is 0 with probability `rate`, the others are scaled by 1 / (1 - rate).

    `noise_shape` holds a size for each axis of the inputs: along an axis of size 1 all elements share one choice, None
    is the inputs' own size. `seed` is an int, or None for one from the run's. https://jmlr.org/papers/v15/srivastava14a.html
    """

    supports_masking = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = fraction(rate, "rate", self)
        if noise_shape is not None:
            if not isinstance(noise_shape, list | tuple) or not all(
                n is None or (isinstance(n, int) and n > 0) for n in noise_shape
            ):
                raise ArgumentError(
                    f"{self._label()}: noise_shape should hold a positive int or None for each axis, got "
                    f"{noise_shape!r}."
                )
            noise_shape = tuple(noise_shape)
        self.noise_shape, self.seed = noise_shape, seed
        self.seed_generator = SeedGenerator(seed)

    def _noise_shape(self, inputs: Array) -> Any:
        return self.noise_shape

    def call(self, inputs: Array, training: bool = False) -> Array:
        if not training or not self.rate:
            return inputs
        return dropout(inputs, self.rate, self._noise_shape(inputs), self.seed_generator)
