"""Functions applied to a layer's output, element-wise or along its features: ops under the names that layers take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu import ops
from cornu.core.lookup import Family
from cornu.ops import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]


def linear(x: Any) -> Any:
    """`x` itself."""
    return x


def exponential(x: Any) -> Any:
    """eˣ, element-wise; the shape of `x`."""
    return ops.exp(x)


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """x above the threshold θ, at most `max_value`; else slope · (x - θ); the shape of `x`.

    By default max(x, 0). https://proceedings.mlr.press/v15/glorot11a.html
    """
    if not negative_slope and max_value is None and not threshold:
        return ops.relu(x)
    below = negative_slope * ops.subtract(x, threshold)
    result = ops.where(ops.greater(x, threshold), x, below)
    return result if max_value is None else ops.minimum(result, max_value)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x Φ(x), with Φ the normal distribution's, or its tanh approximation. https://arxiv.org/abs/1606.08415"""
    return ops.gelu(x, approximate)


swish, hard_swish = silu, hard_silu
_family = Family(
    "activation",
    functions={name: globals()[name] for name in __all__ if name not in ("deserialize", "get", "serialize")},
)


def get(identifier: Any) -> Callable[..., Any]:
    """The activation for a name or a configuration; a layer or function is returned as it is, None is `linear`."""
    return linear if identifier is None else _family.get(identifier)


def serialize(activation: Any) -> Any:
    """The activation as plain data."""
    return _family.serialize(activation)


deserialize = _family.deserialize
