"""Enlarged spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from cornu.backend.contract import Array
from cornu.base import config
from cornu.layers.checks import choice, sizes
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import cast, convert_to_tensor, moveaxis, repeat, tensordot


def _lanczos(radius: int) -> Callable[[Any], Any]:
    return lambda d: np.where(d < radius, np.sinc(d) * np.sinc(d / radius), 0)


def _cubic(d: Any) -> Any:  # https://doi.org/10.1109/TASSP.1981.1163711
    return np.where(d < 1, (1.5 * d - 2.5) * d * d + 1, np.where(d < 2, ((-0.5 * d + 2.5) * d - 4) * d + 2, 0))


_KERNELS: dict[str, Callable[[Any], Any]] = {
    "bilinear": lambda d: np.maximum(1 - d, 0),
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
"""Weight of a neighbour by its distance in pixels."""


def _interpolation(size: int, factor: int, kernel: Callable[[Any], Any]) -> Any:
    """The matrix (size · factor, size) that samples between the centres of pixels; its rows sum to 1."""
    centres = (np.arange(size * factor) + 0.5) / factor - 0.5
    weights = kernel(np.abs(centres[:, None] - np.arange(size)))
    return weights / weights.sum(axis=1, keepdims=True)


class BaseUpSampling(Layer):
    """Each position repeated `size` times along its spatial axis: (batch, *spatial, channels) to larger ones.

    With `data_format="channels_first"` inputs are (batch, channels, *spatial).
    """

    rank: ClassVar[int]

    def __init__(self, size: Any = 2, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = self._factors = sizes(size, self.rank, "size", self)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _enlarge(self, x: Array, factor: int, axis: int) -> Array:
        return repeat(x, factor, axis)

    def call(self, inputs: Array) -> Array:
        for axis, factor in enumerate(self._factors, 2 if self.data_format == "channels_first" else 1):
            if factor > 1:
                inputs = self._enlarge(inputs, factor, axis)
        return inputs


class UpSampling1D(BaseUpSampling):
    """Each step repeated `size` times: (batch, steps, channels) to (batch, steps · size, channels)."""

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, "channels_last", **kwargs)
        (self.size,) = self._factors

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config


class UpSampling2D(BaseUpSampling):
    """Images enlarged by `size`: (batch, height, width, channels), or channels after the batch with `"channels_first"`.

    `interpolation` is `"nearest"` (pixels repeated), `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`; pixels
    have their values at their centres.
    """

    rank = 2

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        self.interpolation = choice(interpolation, ("nearest", *_KERNELS), "interpolation", self)

    def _enlarge(self, x: Array, factor: int, axis: int) -> Array:
        if self.interpolation == "nearest":
            return super()._enlarge(x, factor, axis)
        matrix = _interpolation(x.shape[axis], factor, _KERNELS[self.interpolation])
        enlarged = tensordot(x, convert_to_tensor(matrix, x.dtype), ([axis], [1]))
        return cast(moveaxis(enlarged, -1, axis), self.compute_dtype)


class UpSampling3D(BaseUpSampling):
    """Each position repeated along three axes: (batch, *three axes, channels). As `BaseUpSampling` says."""

    rank = 3
