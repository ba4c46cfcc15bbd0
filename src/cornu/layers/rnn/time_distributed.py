"""A layer applied to every step of a sequence."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.errors import ShapeError
from cornu.core import masks
from cornu.layers.core.wrapper import Wrapper
from cornu.layers.layer import Layer


class TimeDistributed(Wrapper):
    """The layer on each step: (batch, time, …) to (batch, time, …).

    All steps are one larger batch to the layer, so statistics that it keeps are those of all steps. Of a mask with
    more than the two axes (batch, time) the rest reaches the layer; the outputs are masked where
    nothing of a step counts.
    """

    supports_masking = True

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) < 3:
            raise ShapeError(
                f"{self._label()}: inputs should have at least 3 axes, (batch, time, …), got shape "
                f"{tuple(input_shape)}."
            )
        if not self.layer.built:
            self.layer.build((None, *input_shape[2:]))

    def call(self, inputs: Array, training: bool | None = None, mask: Any = None) -> Any:
        batch, steps, *rest = inputs.shape
        merged = ops.reshape(inputs, (batch * steps, *rest))
        if mask is not None and mask.ndim > 2:
            masks.set_mask(merged, ops.reshape(mask, (batch * steps, *mask.shape[2:])))
        outputs = self.layer(merged, training=training)
        return tree.map_structure(lambda y: ops.reshape(y, (batch, steps, *y.shape[1:])), outputs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """True for the steps of which anything counts."""
        if previous_mask is None or previous_mask.ndim <= 2:
            return previous_mask
        return ops.any(previous_mask, tuple(range(2, previous_mask.ndim)))
