"""Zeros around the spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu.backend.contract import Array
from cornu.base import config
from cornu.layers.checks import pairs
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import pad


class BaseZeroPadding(Layer):
    """Zeros before and after each spatial axis: (batch, *spatial, channels) to larger ones.

    `padding` is one int, an int for each axis, or a pair (start, end) for each. With `data_format="channels_first"`
    inputs are (batch, channels, *spatial).
    """

    rank: ClassVar[int]

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pairs = pairs(padding, self.rank, "padding", self)
        self.padding = self._pairs[0] if self.rank == 1 else self._pairs
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Array) -> Array:
        none = (0, 0)
        return pad(
            inputs, (none, none, *self._pairs) if self.data_format == "channels_first" else (none, *self._pairs, none)
        )


class ZeroPadding1D(BaseZeroPadding):
    """Zeros before and after sequences: (batch, steps, channels). As `BaseZeroPadding` says."""

    rank = 1


class ZeroPadding2D(BaseZeroPadding):
    """Zeros around images: (batch, height, width, channels). As `BaseZeroPadding` says."""

    rank = 2


class ZeroPadding3D(BaseZeroPadding):
    """Zeros around volumes: (batch, *three axes, channels). As `BaseZeroPadding` says."""

    rank = 3
