"""Enlarged spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu.backend.contract import Array
from cornu.base import config
from cornu.layers.checks import choice, sizes
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import repeat
from cornu.ops.image import resize


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

    def call(self, inputs: Array) -> Array:
        for axis, factor in enumerate(self._factors, 2 if self.data_format == "channels_first" else 1):
            if factor > 1:
                inputs = repeat(inputs, factor, axis)
        return inputs


class UpSampling1D(BaseUpSampling):
    """Each step repeated `size` times: (batch, steps, channels) to (batch, steps · size, channels)."""

    rank = 1
    _left_out = ("data_format",)

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, "channels_last", **kwargs)
        (self.size,) = self._factors


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
        self.interpolation = choice(
            interpolation, ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"), "interpolation", self
        )

    def call(self, inputs: Array) -> Array:
        if self.interpolation == "nearest":
            return super().call(inputs)
        spatial = inputs.shape[2:] if self.data_format == "channels_first" else inputs.shape[1:3]
        size = tuple(n * factor for n, factor in zip(spatial, self._factors, strict=True))
        return resize(inputs, size, self.interpolation, data_format=self.data_format)


class UpSampling3D(BaseUpSampling):
    """Each position repeated along three axes: (batch, *three axes, channels). As `BaseUpSampling` says."""

    rank = 3
