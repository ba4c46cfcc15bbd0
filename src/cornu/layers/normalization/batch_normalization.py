"""Normalisation by the statistics of the batch."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.base.dtypes import result_type
from cornu.base.errors import ArgumentError, ShapeError
from cornu.core.variable import Variable
from cornu.layers.checks import axes, fraction
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops.nn import batch_normalized


class BatchNormalization(Layer):
    """(inputs - mean) / √(variance + ε) · gamma + beta for each channel, the axis `axis`; the shape of the inputs.

    In training the statistics are the batch's (of the steps that a mask allows), and moving averages follow them:
    moving = moving · momentum + batch · (1 - momentum). Otherwise, and with `trainable=False`, the moving ones are
    used. Statistics are computed in float32 at least. `renorm` corrects the batch's statistics towards slower
    averages, clipped by `renorm_clipping={"rmax", "rmin", "dmax"}`. `synchronized` has no effect on one device.
    https://arxiv.org/abs/1502.03167, https://arxiv.org/abs/1702.03275
    """

    supports_masking = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        within(self, "[0, inf)", epsilon=epsilon)
        if isinstance(axis, list | tuple) and len(axis) == 1:  # as Keras 2 wrote it into files
            (axis,) = axis
        self.axis, self.epsilon = axes(axis, self, several=False), epsilon
        self.momentum = fraction(momentum, "momentum", self)
        self.center, self.scale, self.synchronized = center, scale, synchronized
        self.renorm, self.renorm_momentum = renorm, fraction(renorm_momentum, "renorm_momentum", self)
        self.renorm_clipping = renorm_clipping
        if unknown := set(renorm_clipping or ()) - {"rmax", "rmin", "dmax"}:
            raise ArgumentError(
                f"{self._label()}: renorm_clipping knows 'rmax', 'rmin' and 'dmax', got {sorted(unknown)}."
            )
        describe_weights(self, locals(), "beta", "gamma", "moving_mean", "moving_variance")

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ShapeError(f"{self._label()}: inputs of shape {tuple(input_shape)} have no axis {self.axis}.")
        size = input_shape[self.axis]
        if size is None:
            raise ShapeError(
                f"{self._label()}: axis {self.axis} must have a known size, got shape {tuple(input_shape)}."
            )
        self.input_spec = InputSpec(ndim=rank, axes={self.axis % rank: size})

        def slow(kind: str, name: str | None = None) -> Variable:
            return make_weight(self, kind, (size,), name, trainable=False, autocast=False)

        # Read as they are: the statistics they meet are float32, whatever the layer computes in.
        self.gamma = make_weight(self, "gamma", (size,), autocast=False) if self.scale else None
        self.beta = make_weight(self, "beta", (size,), autocast=False) if self.center else None
        self.moving_mean = slow("moving_mean")
        self.moving_variance = slow("moving_variance")
        if self.renorm:
            self.moving_stddev = slow("moving_variance", "moving_stddev")
            self.renorm_mean = slow("moving_mean", "renorm_mean")
            self.renorm_stddev = slow("moving_variance", "renorm_stddev")

    def call(self, inputs: Array, training: bool | None = None, mask: Any = None) -> Array:
        gamma, beta = self.gamma, self.beta
        if training and self.trainable and mask is None and not self.renorm:
            x = ops.cast(inputs, self.compute_dtype)
            weights = [None if weight is None else weight.value for weight in (gamma, beta)]
            outputs, mean, variance = batch_normalized(x, *weights, self.axis, self.epsilon)
            self._follow(self.moving_mean, mean, self.momentum)
            self._follow(self.moving_variance, variance, self.momentum)
            return outputs
        x = ops.cast(inputs, result_type(self.compute_dtype, "float32"))
        if not (training and self.trainable):
            mean, variance = self.moving_mean, self.moving_variance
        else:
            mean, variance = self._moments(x, mask)
            if self.renorm:
                gamma, beta = self._renormalize(mean, variance)
            self._follow(self.moving_mean, mean, self.momentum)
            if not self.renorm:
                self._follow(self.moving_variance, variance, self.momentum)
        outputs = ops.batch_normalization(x, mean, variance, self.axis, beta, gamma, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)

    def _moments(self, x: Array, mask: Any) -> tuple[Array, Array]:
        """Mean and variance of each channel, over the positions that the mask allows."""
        axes = tuple(i for i in range(x.ndim) if i != self.axis % x.ndim)
        if mask is None:
            return ops.moments(x, axes)
        weights = ops.cast(ops.reshape(mask, (*mask.shape, *(1,) * (x.ndim - mask.ndim))), x.dtype)
        weights = ops.broadcast_to(weights, [1 if i == self.axis % x.ndim else s for i, s in enumerate(x.shape)])
        total = ops.maximum(ops.sum(weights), 1)
        centred = x - ops.sum(x * weights, axes, keepdims=True) / total
        return ops.sum(x * weights, axes) / total, ops.sum(centred * centred * weights, axes) / total

    def _renormalize(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Scale and offset that take the batch's statistics to the slow ones: x̂ · r + d, then gamma and beta."""
        limits = self.renorm_clipping or {}
        deviation = ops.sqrt(variance + self.epsilon)
        r = ops.stop_gradient(deviation / self.renorm_stddev.value)
        r = ops.clip(r, limits.get("rmin", 0.0), limits.get("rmax", float("inf")))
        d = ops.stop_gradient((mean - self.renorm_mean.value) / self.renorm_stddev.value)
        d = ops.clip(d, -limits.get("dmax", float("inf")), limits.get("dmax", float("inf")))
        for slow, fast in ((self.renorm_mean, mean), (self.renorm_stddev, deviation)):
            self._follow(slow, fast, self.renorm_momentum)
        self._follow(self.moving_stddev, deviation, self.momentum)
        self.moving_variance.assign(ops.maximum(ops.square(self.moving_stddev.value) - self.epsilon, 0))
        gamma = 1.0 if self.gamma is None else self.gamma.value
        return r * gamma, d * gamma if self.beta is None else d * gamma + self.beta.value

    def _follow(self, slow: Variable, fast: Array, momentum: float) -> None:
        slow.assign(slow.value * momentum + ops.stop_gradient(fast) * (1 - momentum))
