"""Checks of numbers that many functions share; `owner` is the object whose arguments they are, or a name, or None."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from cornu.base.errors import ArgumentError

_WORDS = {
    "(0, inf)": "a finite positive number",
    "[0, inf)": "a finite number of at least 0",
    "(-inf, inf)": "a finite number",
    "[-inf, inf]": "a number",
    "(0, inf]": "a positive number",
}


def within(owner: Any, limits: str, none: bool = False, /, **values: Any) -> None:
    """Raises ArgumentError for a value that is no number within limits such as `"[0, 1)"`, nor None if `none`."""
    _check(owner, limits, none, float, _WORDS.get(limits, f"a number within {limits}"), values)


def whole(owner: Any, least: float, none: bool = False, /, **values: Any) -> None:
    """Raises ArgumentError for a value that is no int of at least `least`, nor None if `none`."""
    words = {1: "a positive int", float("-inf"): "an int"}.get(least, f"an int of at least {least}")
    _check(owner, f"[{least}, inf)", none, operator.index, words, values)


def _check(
    owner: Any, limits: str, none: bool, number_of: Callable[[Any], float], expected: str, values: dict[str, Any]
) -> None:
    low, high = map(float, limits[1:-1].split(", "))
    for name, value in values.items():
        if value is None and none:
            continue
        try:
            number = number_of("" if isinstance(value, bool | str | bytes) else value)
        except (TypeError, ValueError):
            number = float("nan")
        at_end = (number == low and limits[0] == "[") or (number == high and limits[-1] == "]")
        if not (low < number < high or at_end):
            raise ArgumentError(f"{_prefix(owner)}{name} should be {expected}{' or None' * none}, got {value!r}.")


def _prefix(owner: Any) -> str:
    if owner is None or isinstance(owner, str):
        return f"{owner}: " if owner else ""
    return f"{owner._label() if hasattr(owner, '_label') else type(owner).__name__}: "
