"""The rectified linear unit with a slope that is learnt."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops import relu


class PReLU(Layer):
    """x where positive, else alpha · x, with a learnt alpha for each element of a sample.

    Along `shared_axes` (1 is the first after the batch) there is one alpha for all. https://arxiv.org/abs/1502.01852
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        describe_weights(self, locals(), "alpha")
        self.shared_axes = None
        if shared_axes is not None:
            self.shared_axes = list(shared_axes) if isinstance(shared_axes, list | tuple) else [shared_axes]
            if not all(isinstance(i, int) and i > 0 for i in self.shared_axes):
                raise ArgumentError(f"{self._label()}: shared_axes should be ints of at least 1, got {shared_axes!r}.")

    def build(self, input_shape: Any) -> None:
        shared = self.shared_axes or ()
        shape = tuple(1 if i in shared else size for i, size in enumerate(input_shape))[1:]
        if None in shape:
            raise ShapeError(
                f"{self._label()}: every size after the batch must be known or lie along shared_axes, got shape "
                f"{tuple(input_shape)} with shared_axes={self.shared_axes}."
            )
        self.alpha = make_weight(self, "alpha", shape)
        known = {i: size for i, size in enumerate(input_shape) if i and i not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=known)

    def call(self, inputs: Array) -> Array:
        return relu(inputs) - self.alpha.value * relu(-inputs)
