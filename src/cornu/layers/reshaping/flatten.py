"""All axes of a sample as one."""

from __future__ import annotations

import math
from typing import Any

from cornu.backend.contract import Array
from cornu.base import config
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.ops import moveaxis, reshape


class Flatten(Layer):
    """(batch, …) to (batch, features), and (batch,) to (batch, 1).

    With `data_format="channels_first"` the channels are moved to the end first, so that the order of the features does
    not depend on the layout.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Array) -> Array:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = moveaxis(inputs, 1, -1)
        return reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))
