"""Finding the parts of an object: what its attributes hold, also inside lists, tuples and dicts."""

from __future__ import annotations

import itertools
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
_PLAIN = frozenset({str, int, float, bool, type(None)})


def find(obj: Any, types: type | tuple[type, ...]) -> list[Any]:
    """The distinct instances of `types` among the attributes of `obj`, in the order of the attributes."""
    found: dict[int, Any] = {}
    seen: set[int] = set()  # containers may hold themselves

    def walk(value: Any) -> None:
        if isinstance(value, types):
            found.setdefault(id(value), value)
        elif isinstance(value, list | tuple | dict) and id(value) not in seen:
            seen.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                walk(item)

    for name, value in vars(obj).items():
        if type(value) not in _PLAIN and name not in _BOOKKEEPING:
            walk(value)
    return list(found.values())
