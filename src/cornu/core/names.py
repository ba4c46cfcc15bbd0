"""Names for objects that were given none: `dense`, `dense_1`, …"""

from __future__ import annotations

import re
from collections import Counter

_counts: Counter[str] = Counter()


def snake_case(name: str) -> str:
    """`"MaxPooling2D"` to `"max_pooling2d"`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower().lstrip("_")


def auto_name(prefix: str) -> str:
    """`prefix`, then `prefix_1`, … in the order asked."""
    count = next_count(prefix) - 1
    return f"{prefix}_{count}" if count else prefix


def next_count(prefix: str) -> int:
    """How many names with this prefix were given, this one included."""
    _counts[prefix] += 1
    return _counts[prefix]


def reset_names() -> None:
    """Begin counting anew."""
    _counts.clear()
