"""Normalisation of groups of channels."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.base.dtypes import result_type
from cornu.base.errors import ArgumentError, ShapeError
from cornu.layers.checks import positive_int
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.normalization.axes import sizes_at, spread
from cornu.layers.weights import describe_weights, make_weight


class GroupNormalization(Layer):
    """Each sample's groups of channels normalised to mean 0 and variance 1, then · gamma + beta for each channel.

    `axis` is that of the channels, whose number `groups` must divide; -1 groups make one of each channel. The shape of
    the inputs; computed in float32 at least. https://arxiv.org/abs/1803.08494
    """

    supports_masking = True

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        within(self, "[0, inf)", epsilon=epsilon)
        self.groups = groups if groups == -1 else positive_int(groups, "groups", self)
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ArgumentError(f"{self._label()}: axis should be an int other than 0, the batch, got {axis!r}.")
        self.axis, self.epsilon = axis, epsilon
        self.center, self.scale = center, scale
        describe_weights(self, locals(), "beta", "gamma")

    def build(self, input_shape: Any) -> None:
        (channels,) = shape = sizes_at(self, input_shape, self.axis)
        if self.groups != -1 and channels % self.groups:
            raise ShapeError(
                f"{self._label()}: groups={self.groups} should divide the {channels} channels (axis {self.axis}) of "
                f"inputs of shape {tuple(input_shape)}."
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis % len(input_shape): channels})
        self.gamma = make_weight(self, "gamma", shape, autocast=False) if self.scale else None
        self.beta = make_weight(self, "beta", shape, autocast=False) if self.center else None

    def call(self, inputs: Array) -> Array:
        x = ops.cast(inputs, result_type(self.compute_dtype, "float32"))
        axis, shape = self.axis % x.ndim, tuple(x.shape)
        groups = shape[axis] if self.groups == -1 else self.groups
        # (batch, …, groups, channels of a group, …): all but the batch and the groups is averaged
        x = ops.reshape(x, (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]))
        axes = [i for i in range(1, x.ndim) if i != axis]
        mean, variance = ops.moments(x, axes, keepdims=True)
        outputs = ops.reshape((x - mean) * ops.rsqrt(variance + self.epsilon), shape)
        if self.gamma is not None:
            outputs = ops.multiply(outputs, spread(self.gamma, len(shape), axis))
        if self.beta is not None:
            outputs = ops.add(outputs, spread(self.beta, len(shape), axis))
        return ops.cast(outputs, self.compute_dtype)
