"""Checks of constructor arguments that many layers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cornu.backend import B
from cornu.base.checks import whole, within
from cornu.base.errors import ArgumentError, BackendError, DTypeError, did_you_mean, plain

if TYPE_CHECKING:
    from cornu.layers.layer import Layer


def positive_int(value: Any, name: str, layer: Layer) -> int:
    """`value` as an int; raises ArgumentError naming the layer unless it is a positive one."""
    whole(layer, 1, **{name: value})
    found: int = value.__index__()
    return found


def axes(value: Any, layer: Layer, several: bool = True) -> Any:
    """The argument `axis` as an int, or with `several` as a list of them; else ArgumentError naming the layer."""
    many = several and isinstance(value, list | tuple)
    found = list(value) if many else [value]
    if any(isinstance(one, bool) or not hasattr(one, "__index__") for one in found):
        raise ArgumentError(f"{layer._label()}: axis should be an int{' or several' * several}, got {value!r}.")
    found = [one.__index__() for one in found]
    return found if many else found[0]


def sizes(value: Any, rank: int, name: str, layer: Layer) -> tuple[int, ...]:
    """`value`, an int or `rank` of them, as a tuple of positive ints; else ArgumentError naming the layer."""
    values = (value,) * rank if hasattr(value, "__index__") else tuple(value) if isinstance(value, list | tuple) else ()
    if len(values) != rank:
        raise ArgumentError(f"{layer._label()}: {name} should be an int or {rank} of them, got {value!r}.")
    return tuple(positive_int(one, name, layer) for one in values)


def fraction(value: Any, name: str, layer: Layer) -> float:
    """`value` as a float within [0, 1]; else ArgumentError naming the layer."""
    within(layer, "[0, 1]", **{name: value})
    return float(value)


def choice(value: Any, known: Sequence[str], name: str, layer: Layer) -> str:
    """`value` in lower case; raises ArgumentError naming the layer unless it is among the known names."""
    lowered = str(value).lower()
    if lowered not in known:
        raise ArgumentError(
            f"{layer._label()}: {name} should be one of {', '.join(map(repr, known))}, got {value!r}."
            f"{did_you_mean(lowered, known)}"
        )
    return lowered


def tensor(array: Any, layer: Layer) -> Any:
    """A foreign array as a tensor, also one of objects that are numbers; else DTypeError naming the layer."""
    if getattr(getattr(array, "dtype", None), "kind", None) not in ("O", "S", "U"):
        return B.convert(array)
    try:
        found = B.convert(np.array(np.asarray(array).tolist()))
        if isinstance(found, np.ndarray) and found.dtype.kind in "OSU":
            raise TypeError(f"{found.dtype} is no dtype of numbers")
        return found
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"{layer._label()}: inputs should be numbers, got {plain(repr(array))}. Encode strings as numbers first; "
            "`keras.utils.pad_sequences` brings rows to one length."
        ) from error


def pairs(value: Any, rank: int, name: str, layer: Layer) -> tuple[tuple[int, int], ...]:
    """For each of `rank` axes how much at its start and end: from one int, an int an axis, or a pair an axis.

    Of one axis also from a plain pair. Raises ArgumentError naming the layer for anything else, or negative sizes.
    """
    whole = [value] * rank if hasattr(value, "__index__") else value
    if rank == 1 and isinstance(whole, list | tuple) and len(whole) == 2:
        whole = [whole]
    found = (
        [(one, one) if hasattr(one, "__index__") else one for one in whole] if isinstance(whole, list | tuple) else []
    )
    if len(found) != rank or not all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(hasattr(n, "__index__") and not isinstance(n, bool) and n.__index__() >= 0 for n in pair)
        for pair in found
    ):
        raise ArgumentError(
            f"{layer._label()}: {name} should be an int of at least 0, or {rank} of them, or {rank} pairs (start, end)"
            f", got {value!r}."
        )
    return tuple((first.__index__(), last.__index__()) for first, last in found)


def require_backend(layer: Layer, name: str) -> None:
    """Raises BackendError unless the backend is the one that the layer is made of."""
    if B.name != name:
        raise BackendError(
            f"{layer._label()} computes by {name}, the current backend is {B.name!r}. Make it, and the model around "
            f"it, under `cornu.config.backend_scope({name!r})`."
        )
