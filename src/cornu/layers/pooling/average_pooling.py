"""Average pooling over one, two and three spatial axes."""

from __future__ import annotations

from cornu.layers.pooling.base import Pooling
from cornu.ops import average_pool


class BaseAveragePooling(Pooling):
    """The mean of each channel in each window, padding not counted: (batch, *spatial, channels) to fewer positions.

    `strides` default to `pool_size`; `padding` is `"valid"` or `"same"` (size / stride, rounded up). With
    `data_format="channels_first"` inputs are (batch, channels, *spatial).
    """

    pool = average_pool


class AveragePooling1D(BaseAveragePooling):
    """Average pooling of sequences: (batch, steps, channels). As `BaseAveragePooling` says."""

    rank = 1


class AveragePooling2D(BaseAveragePooling):
    """Average pooling of images: (batch, height, width, channels). As `BaseAveragePooling` says."""

    rank = 2


class AveragePooling3D(BaseAveragePooling):
    """Average pooling of volumes: (batch, *three axes, channels). As `BaseAveragePooling` says."""

    rank = 3
