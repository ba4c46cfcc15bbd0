"""Finding the parts of an object: what its attributes hold, also inside lists, tuples and dicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

_changes = itertools.count(1)
_latest = 0


def changed() -> None:
    """Note that some variable or layer was made, or some attribute of a layer set."""
    global _latest
    _latest = next(_changes)


def changes() -> int:
    """A number that differs whenever the parts of some layer may have."""
    return _latest


_BOOKKEEPING = frozenset({"_init_args", "_compile_arguments", "nodes", "_last_call", "_engines"})


def find(obj: Any, types: type | tuple[type, ...]) -> list[Any]:
    """The distinct instances of `types` among the attributes of `obj`, in the order of the attributes."""
    found: dict[int, Any] = {}
    for name, value in vars(obj).items():
        if name not in _BOOKKEEPING:
            for item in _walk(value, types, set()):
                found.setdefault(id(item), item)
    return list(found.values())


def _walk(value: Any, types: type | tuple[type, ...], seen: set[int]) -> Iterator[Any]:
    if isinstance(value, types):
        yield value
    elif isinstance(value, list | tuple | dict):
        if id(value) not in seen:  # containers may hold themselves
            seen.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                yield from _walk(item, types, seen)
