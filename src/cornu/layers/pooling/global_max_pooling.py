"""The maximum over all positions."""

from __future__ import annotations

from cornu.backend.contract import Array
from cornu.layers.pooling.base import GlobalPooling
from cornu.ops import max


class BaseGlobalMaxPooling(GlobalPooling):
    """The largest value of each channel: (batch, *spatial, channels) to (batch, channels).

    With `keepdims` the spatial axes stay, of size 1; with `data_format="channels_first"` channels follow the batch.
    """

    def call(self, inputs: Array) -> Array:
        return max(inputs, self._spatial, self.keepdims)


class GlobalMaxPooling1D(BaseGlobalMaxPooling):
    """The largest value of each channel of sequences: (batch, steps, channels). As `BaseGlobalMaxPooling` says."""

    rank = 1


class GlobalMaxPooling2D(BaseGlobalMaxPooling):
    """The largest value of each channel of images: (batch, height, width, channels). As `BaseGlobalMaxPooling` says."""

    rank = 2


class GlobalMaxPooling3D(BaseGlobalMaxPooling):
    """The largest value of each channel of volumes: (batch, *three axes, channels). As `BaseGlobalMaxPooling` says."""

    rank = 3
