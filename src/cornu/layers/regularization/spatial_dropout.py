"""Whole channels set to 0 at random."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu.backend.contract import Array
from cornu.base import config
from cornu.layers.input_spec import InputSpec
from cornu.layers.regularization.dropout import Dropout


class BaseSpatialDropout(Dropout):
    """In training each channel of a sample is 0 with probability `rate`, the others are scaled by 1 / (1 - rate).

    (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
    https://arxiv.org/abs/1411.4280
    """

    rank: ClassVar[int]
    _left_out = ("noise_shape", "trainable")  # Keras' layer takes neither

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, None, seed, name=name, dtype=dtype, **kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _noise_shape(self, inputs: Array) -> Any:
        one = (1,) * self.rank
        return (None, None, *one) if self.data_format == "channels_first" else (None, *one, None)


class SpatialDropout1D(BaseSpatialDropout):
    """Dropout of whole features of sequences: (batch, steps, features). As `BaseSpatialDropout` says."""

    rank = 1
    _left_out = (*BaseSpatialDropout._left_out, "data_format")

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, "channels_last", seed, name, dtype, **kwargs)


class SpatialDropout2D(BaseSpatialDropout):
    """Dropout of whole channels of images: (batch, height, width, channels). As `BaseSpatialDropout` says."""

    rank = 2


class SpatialDropout3D(BaseSpatialDropout):
    """Dropout of whole channels of volumes: (batch, *three axes, channels). As `BaseSpatialDropout` says."""

    rank = 3
