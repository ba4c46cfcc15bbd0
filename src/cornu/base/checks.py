"""Checks of numbers that many constructors share; `owner` is the object whose arguments they are, or its name."""

from __future__ import annotations

from typing import Any

from cornu.base.errors import ArgumentError

_WORDS = {
    "(0, inf)": "a finite positive number",
    "[0, inf)": "a finite number not below 0",
    "(-inf, inf)": "a finite number",
}


def within(owner: Any, limits: str, none: bool = False, /, **values: Any) -> None:
    """Raises ArgumentError for a value that is no number within limits such as `"[0, 1)"`, nor None if `none`."""
    low, high = map(float, limits[1:-1].split(", "))
    for name, value in values.items():
        if value is None and none:
            continue
        try:
            number = float("nan" if isinstance(value, bool | str | bytes) else value)
        except (TypeError, ValueError):
            number = float("nan")
        above = low < number or (low == number and limits[0] == "[")
        if not (above and (number < high or (number == high and limits[-1] == "]"))):
            raise _error(owner, name, _WORDS.get(limits, f"a number within {limits}"), none, value)


def whole(owner: Any, least: float, none: bool = False, /, **values: Any) -> None:
    """Raises ArgumentError for a value that is no int of at least `least`, nor None if `none`."""
    for name, value in values.items():
        if value is None and none:
            continue
        if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < least:
            some = {1: "a positive int", -float("inf"): "an int"}.get(least, f"an int of at least {least}")
            raise _error(owner, name, some, none, value)


def _error(owner: Any, name: str, expected: str, none: bool, value: Any) -> ArgumentError:
    owner = owner if isinstance(owner, str) else type(owner).__name__
    return ArgumentError(f"{owner}: {name} should be {expected}{' or None' * none}, got {value!r}.")
