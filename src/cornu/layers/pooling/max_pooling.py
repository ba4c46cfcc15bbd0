"""Maximum pooling over one, two and three spatial axes."""

from __future__ import annotations

from cornu.layers.pooling.base import Pooling
from cornu.ops import max_pool


class BaseMaxPooling(Pooling):
    """The largest value of each channel in each window: (batch, *spatial, channels) to fewer positions.

    `strides` default to `pool_size`; `padding` is `"valid"` or `"same"` (size / stride, rounded up). With
    `data_format="channels_first"` inputs are (batch, channels, *spatial).
    """

    pool = max_pool


class MaxPooling1D(BaseMaxPooling):
    """Maximum pooling of sequences: (batch, steps, channels). As `BaseMaxPooling` says."""

    rank = 1


class MaxPooling2D(BaseMaxPooling):
    """Maximum pooling of images: (batch, height, width, channels). As `BaseMaxPooling` says."""

    rank = 2


class MaxPooling3D(BaseMaxPooling):
    """Maximum pooling of volumes: (batch, *three axes, channels). As `BaseMaxPooling` says."""

    rank = 3
