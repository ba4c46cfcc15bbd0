"""Noise added at random."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.layers.layer import Layer
from cornu.random import SeedGenerator, normal


class GaussianNoise(Layer):
    """In training inputs + noise of mean 0 and standard deviation `stddev`; else the inputs."""

    supports_masking = True

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        within(self, "[0, inf)", stddev=stddev)
        self.stddev, self.seed = float(stddev), seed
        self.seed_generator = SeedGenerator(seed)

    def call(self, inputs: Array, training: bool = False) -> Array:
        if not training or not self.stddev:
            return inputs
        return inputs + normal(inputs.shape, 0.0, self.stddev, self.compute_dtype, self.seed_generator)
