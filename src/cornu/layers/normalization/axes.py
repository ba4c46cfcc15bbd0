"""Weights that lie along some axes of the inputs."""

from __future__ import annotations

from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ShapeError
from cornu.core.variable import Variable
from cornu.layers.layer import Layer
from cornu.ops import reshape


def sizes_at(layer: Layer, input_shape: Any, axis: Any) -> tuple[int, ...]:
    """The sizes of the inputs at `axis` (an int or several); absent or unknown ones raise ShapeError."""
    axes, rank = axis if isinstance(axis, list | tuple) else [axis], len(input_shape)
    if any(not -rank <= i < rank for i in axes):
        raise ShapeError(f"{layer._label()}: inputs of shape {tuple(input_shape)} do not have all of the axes {axis}.")
    if any(input_shape[i] is None for i in axes):
        raise ShapeError(f"{layer._label()}: the sizes at axis {axis} must be known, got shape {tuple(input_shape)}.")
    return tuple(input_shape[i] for i in axes)


def spread(weight: Variable, rank: int, axis: Any) -> Array:
    """The weight with axes of size 1 where it has none, so that it broadcasts to inputs of `rank` axes."""
    axes = [i % rank for i in (axis if isinstance(axis, list | tuple) else [axis])]
    form = [1] * rank
    for i, size in zip(axes, weight.shape, strict=True):
        form[i] = size
    return reshape(weight, form)
