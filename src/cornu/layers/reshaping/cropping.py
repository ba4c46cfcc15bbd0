"""Less at the ends of the spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.errors import ShapeError
from cornu.layers.checks import pairs
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import get_item


class BaseCropping(Layer):
    """The ends of each spatial axis cut off: (batch, *spatial, channels) to smaller ones.

    `cropping` is one int, an int for each axis, or a pair (start, end) for each. With `data_format="channels_first"`
    inputs are (batch, channels, *spatial). Raises ShapeError where nothing would be left.
    """

    rank: ClassVar[int]

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pairs = pairs(cropping, self.rank, "cropping", self)
        self.cropping = self._pairs[0] if self.rank == 1 else self._pairs
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Array) -> Array:
        first = 2 if self.data_format == "channels_first" else 1
        spatial = inputs.shape[first : first + self.rank]
        if any(start + end >= size for (start, end), size in zip(self._pairs, spatial, strict=True)):
            raise ShapeError(
                f"{self._label()}: cropping={self.cropping} leaves nothing of inputs of shape {tuple(inputs.shape)} "
                f"({self.data_format})."
            )
        kept = (slice(start, size - end) for (start, end), size in zip(self._pairs, spatial, strict=True))
        return get_item(inputs, (*(slice(None),) * first, *kept))


class Cropping1D(BaseCropping):
    """The ends of sequences cut off: (batch, steps, channels). As `BaseCropping` says."""

    rank = 1
    _left_out = ("data_format",)

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, "channels_last", **kwargs)


class Cropping2D(BaseCropping):
    """The borders of images cut off: (batch, height, width, channels). As `BaseCropping` says."""

    rank = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(BaseCropping):
    """The borders of volumes cut off: (batch, *three axes, channels). As `BaseCropping` says."""

    rank = 3
