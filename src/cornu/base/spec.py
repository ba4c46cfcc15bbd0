"""Shapes and dtypes of values that do not exist yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ShapeError

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """A shape, whose unknown sizes are None, and a dtype name.

    `sparse` where the value is a sparse array, `ragged` where its rows differ in length.
    """

    shape: Shape
    dtype: str
    sparse: bool = False
    ragged: bool = False

    @classmethod
    def of(cls, value: Any) -> Spec:
        """The spec of anything that has a shape and a dtype."""
        ragged = bool(getattr(value, "ragged", False) or (hasattr(value, "ragged_rank") and value.ragged_rank))
        return cls(tuple(value.shape), standardize_dtype(value.dtype), ragged=ragged)

    def batched(self, size: int | None = None) -> Spec:
        """The same with this first size, an unknown one at first."""
        return dataclasses.replace(self, shape=(size, *self.shape[1:]))


def standardize_shape(shape: Any, name: str = "shape") -> Shape:
    """`shape` as a tuple of ints and Nones; raises ShapeError for negative sizes and other things."""
    if isinstance(shape, int) or not isinstance(shape, Iterable):
        raise ShapeError(f"{name} should be a tuple of sizes such as (28, 28), got {shape!r}. Did you mean ({shape},)?")
    sizes = []
    for size in shape:
        if size is not None:
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise ShapeError(f"{name} should hold ints and None (an unknown size), got {size!r} in {tuple(shape)}.")
            size = size.__index__()
            if size < 0:
                raise ShapeError(f"{name} should hold no negative size, got {tuple(shape)}; None is an unknown size.")
        sizes.append(size)
    return tuple(sizes)


def merge_sizes(first: Shape, second: Shape) -> Shape:
    """The shape that covers both: None wherever they differ."""
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
