"""Masks travel with values: a table from a value to its mask that forgets both together."""

from __future__ import annotations

import weakref
from typing import Any

table: dict[int, tuple[Any, Any]] = {}  # id of a value -> (weak reference to it, mask)


class Dropped:
    """In place of a mask: a layer had one and could not pass it on."""

    def __init__(self, layer: str) -> None:
        self.layer = layer


def get_mask(x: Any) -> Any:
    """The mask that belongs to `x`, true where it counts; None if there is none."""
    mask = _lookup(x)
    return None if isinstance(mask, Dropped) else mask


def dropped_by(x: Any) -> str | None:
    """The name of the layer that lost the mask on the way to `x`, if one did."""
    mask = _lookup(x)
    return mask.layer if isinstance(mask, Dropped) else None


def _lookup(x: Any) -> Any:
    entry = table.get(id(x))
    return entry[1] if entry is not None and entry[0]() is x else None


def set_mask(x: Any, mask: Any) -> None:
    """Let `mask` (an array, `Dropped` or None) belong to `x`."""
    key = id(x)
    if mask is None:
        table.pop(key, None)
        return
    try:
        table[key] = (weakref.ref(x, lambda _: table.pop(key, None)), mask)
    except TypeError:  # scalars of NumPy and the like: they carry no masks
        return
