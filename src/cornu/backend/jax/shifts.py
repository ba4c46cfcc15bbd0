"""Images seen through a window that slides along one axis, and the sum over such views: each the other's transpose.

JAX's own transpose of the views is a sum of padded arrays, and of that sum again one: a form in which XLA:CPU computes
what comes before once for every offset. As primitives both stay what they are in every derivative.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from cornu.backend.contract import Array


def _views(x: Array, axis: int, width: int, gap: int) -> Array:
    size = x.shape[axis] - gap * (width - 1)
    parts = [lax.slice_in_dim(x, gap * i, gap * i + size, axis=axis) for i in range(width)]
    return lax.concatenate([lax.expand_dims(part, [x.ndim - 1]) for part in parts], x.ndim - 1)


def _overlaid(views: Array, axis: int, width: int, gap: int) -> Array:
    nothing, found = np.zeros((), views.dtype), None
    for i in range(width):
        around = [(0, 0, 0)] * (views.ndim - 1)
        around[axis] = (gap * i, gap * (width - 1 - i), 0)
        placed = lax.pad(lax.index_in_dim(views, i, views.ndim - 2, keepdims=False), nothing, around)
        found = placed if found is None else lax.add(found, placed)
    return found


def new_primitive(name: str, function: Any, shape: Any, batched: Any) -> Any:
    """What JAX keeps as it is in every derivative: `function` of arrays, and the shape it gives to those of theirs."""
    primitive: Any = Primitive(name)
    primitive.def_impl(function)
    primitive.def_abstract_eval(
        lambda *xs, **given: jax.core.ShapedArray(shape(*(x.shape for x in xs), **given), xs[0].dtype)
    )
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    batching.primitive_batchers[primitive] = batched
    return primitive


def _of_images(name: str, function: Any, shape: Any) -> Any:
    def batched(arrays: Any, axes: Any, **given: int) -> Any:
        x = jnp.moveaxis(arrays[0], axes[0], 0)  # a batch of batches is one
        found = primitive.bind(x.reshape(-1, *x.shape[2:]), **given)
        return found.reshape(*x.shape[:2], *found.shape[1:]), 0

    primitive = new_primitive(name, function, shape, batched)
    return primitive


def _shape_of_views(shape: tuple[int, ...], axis: int, width: int, gap: int) -> tuple[int, ...]:
    return (*shape[:axis], shape[axis] - gap * (width - 1), *shape[axis + 1 : -1], width, shape[-1])


def _shape_overlaid(shape: tuple[int, ...], axis: int, width: int, gap: int) -> tuple[int, ...]:
    return (*shape[:axis], shape[axis] + gap * (width - 1), *shape[axis + 1 : -2], shape[-1])


_views_p = _of_images("cornu_views", _views, _shape_of_views)
_overlaid_p = _of_images("cornu_overlaid", _overlaid, _shape_overlaid)
ad.deflinear2(_views_p, lambda ct, x, **given: [_overlaid_p.bind(ct, **given)])  # type: ignore[no-untyped-call]
ad.deflinear2(_overlaid_p, lambda ct, x, **given: [_views_p.bind(ct, **given)])  # type: ignore[no-untyped-call]


def views(x: Array, axis: int, width: int, gap: int) -> Array:
    """(batch, …, channels) as (batch, …, width, channels): what each offset of the window meets along the axis."""
    found: Array = _views_p.bind(x, axis=axis, width=width, gap=gap)
    return found


def overlaid(views: Array, axis: int, gap: int) -> Array:
    """The sum of all views, each moved on by `gap` from the one before: longer by gap · (width - 1)."""
    found: Array = _overlaid_p.bind(views, axis=axis, width=views.shape[-2], gap=gap)
    return found
