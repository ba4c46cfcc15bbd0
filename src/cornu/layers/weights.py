"""How a layer that is not yet built remembers to make its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cornu import constraints, initializers, regularizers
from cornu.base.spec import Shape
from cornu.core.variable import Variable
from cornu.layers.layer import Layer


def describe_weights(layer: Layer, given: Mapping[str, Any], *names: str) -> None:
    """Keep how these weights are made, in the attributes `{name}_initializer`, `_regularizer` and `_constraint`.

    They are looked for by these names in `given`, the local variables of the layer's constructor.
    """
    for name in names:
        for part, module in (("initializer", initializers), ("regularizer", regularizers), ("constraint", constraints)):
            setattr(layer, f"{name}_{part}", module.get(given.get(f"{name}_{part}")))


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
