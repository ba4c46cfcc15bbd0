"""A vector for each id."""

from __future__ import annotations

from typing import Any

import numpy as np

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import is_integer, standardize_dtype
from cornu.base.errors import ArgumentError
from cornu.core.context import context
from cornu.layers.checks import positive_int
from cornu.layers.layer import Layer
from cornu.layers.weights import describe_weights, make_weight


class Embedding(Layer):
    """The rows of a table (input_dim, output_dim) at the inputs: ids (…) to vectors (…, output_dim).

    Ids are ints in [0, input_dim); others raise ArgumentError where values are at hand, and are clipped within compiled
    steps. Floats are truncated. With `mask_zero` the id 0 is padding: later layers skip it.
    """

    _left_out = ("autocast",)

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(weights=weights, **kwargs)
        self.autocast = False  # ids above 256 are not exact in 16 bits; the vectors are cast below
        self.input_dim = positive_int(input_dim, "input_dim", self)
        self.output_dim = positive_int(output_dim, "output_dim", self)
        describe_weights(self, locals(), "embeddings")
        self.mask_zero = self.supports_masking = mask_zero

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = make_weight(self, "embeddings", (self.input_dim, self.output_dim))

    def call(self, inputs: Array) -> Array:
        ids = inputs if is_integer(standardize_dtype(inputs.dtype)) else ops.cast(inputs, "int32")
        if not B.is_tracing(ids) and not (context.scope is not None and context.scope.abstract):
            found = np.asarray(B.to_numpy(getattr(ids, "flat_values", ids)))  # of ragged ids those that there are
            if found.size and not 0 <= found.min() <= found.max() < self.input_dim:
                raise ArgumentError(
                    f"{self._label()}: ids should be at least 0 and below input_dim={self.input_dim}, got some from "
                    f"{found.min()} to {found.max()}. Enlarge input_dim or map rare ids to one."
                )
        return ops.cast(ops.take(self.embeddings, ids, 0), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"input_dim": self.input_dim}

    def _config_value(self, name: str, value: Any) -> Any:
        return None if name == "weights" else super()._config_value(name, value)
