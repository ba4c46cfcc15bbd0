"""How a layer that is not yet built remembers to make its weights."""

from __future__ import annotations

from typing import Any

from cornu import constraints, initializers, regularizers
from cornu.base.spec import Shape
from cornu.core.variable import Variable
from cornu.layers.layer import Layer


def describe_weight(layer: Layer, name: str, initializer: Any, regularizer: Any = None, constraint: Any = None) -> None:
    """Keep how the weight `name` is made, in the attributes `{name}_initializer`, `_regularizer` and `_constraint`."""
    setattr(layer, f"{name}_initializer", initializers.get(initializer))
    setattr(layer, f"{name}_regularizer", regularizers.get(regularizer))
    setattr(layer, f"{name}_constraint", constraints.get(constraint))


def make_weight(
    layer: Layer, kind: str, shape: Shape, name: str | None = None, initializer: Any = None, **kwargs: Any
) -> Variable:
    """The weight described as `kind`, called `name` or the same, perhaps by another `initializer`.

    `kwargs` are those of `add_weight`.
    """
    return layer.add_weight(
        shape,
        initializer or getattr(layer, f"{kind}_initializer"),
        regularizer=getattr(layer, f"{kind}_regularizer"),
        constraint=getattr(layer, f"{kind}_constraint"),
        name=name or kind,
        **kwargs,
    )
