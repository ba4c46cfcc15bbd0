"""Public names resolved when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cornu.base.errors import did_you_mean


def lazy_names(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` for a package whose public `names` live elsewhere.

    `names` maps a public name to `"module"` (the attribute of the same name there), to `"module:attribute"`,
    or to `"module:"` (the module itself). Modules are named absolutely.
    """

    def __getattr__(name: str) -> Any:
        try:
            target = names[name]
        except KeyError:
            hint = "" if name.startswith("_") else did_you_mean(name, names)
            raise AttributeError(f"module {package!r} has no attribute {name!r}.{hint}") from None
        module, colon, attribute = target.partition(":")
        value: Any = importlib.import_module(module)
        if not colon or attribute:
            value = getattr(value, attribute or name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return __getattr__, __dir__, list(names)
