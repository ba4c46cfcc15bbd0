"""The mean over all positions."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.dtypes import result_type
from cornu.layers.pooling.base import GlobalPooling
from cornu.ops import cast, expand_dims, maximum, mean, sum


class BaseGlobalAveragePooling(GlobalPooling):
    """The mean of each channel: (batch, *spatial, channels) to (batch, channels).

    With `keepdims` the spatial axes stay, of size 1; with `data_format="channels_first"` channels follow the batch.
    """

    def call(self, inputs: Array) -> Array:
        return mean(inputs, self._spatial, self.keepdims)


class GlobalAveragePooling1D(BaseGlobalAveragePooling):
    """The mean of each feature over the steps: (batch, steps, features) to (batch, features).

    With a mask (batch, steps) only over the steps where it is true; 0 where it is true nowhere. With `keepdims` the
    axis of the steps stays, of size 1; with `data_format="channels_first"` inputs are (batch, features, steps).
    """

    rank = 1
    supports_masking = True

    def call(self, inputs: Array, mask: Any = None) -> Array:
        if mask is None:
            return super().call(inputs)
        (steps,) = self._spatial
        wide = result_type(inputs.dtype, "float32")  # counts above 256 are not exact in 16 bits
        weights = expand_dims(cast(mask, wide), 3 - steps)
        total = sum(cast(inputs, wide) * weights, steps, self.keepdims)
        return cast(total / maximum(sum(weights, steps, self.keepdims), 1), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None


class GlobalAveragePooling2D(BaseGlobalAveragePooling):
    """The mean of each channel of images: (batch, height, width, channels). As `BaseGlobalAveragePooling` says."""

    rank = 2


class GlobalAveragePooling3D(BaseGlobalAveragePooling):
    """The mean of each channel of volumes: (batch, *three axes, channels). As `BaseGlobalAveragePooling` says."""

    rank = 3
