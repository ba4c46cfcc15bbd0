"""Public names resolved when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cornu.base.errors import did_you_mean

FORMER = {
    "backend.function": "Use a Model of the tensors, or call a layer.",
    "backend.gradients": "Use `keras.value_and_grad(fn)`.",
    "backend.learning_phase": "Use the argument `training` of `call`.",
    "backend.set_learning_phase": "Pass `training=` when calling the model.",
    "layers.Merge": "Use `Add`, `Multiply`, `Concatenate` or `Dot`.",
    "layers.TimeDistributedDense": "Use `Dense`, which works on the last axis.",
    "wrappers": "Call the model within a scikit-learn estimator of your own.",
}
"""What took the place of names of Keras 1 and 2 that are gone, by the modules and names of ours they would have."""


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
            former = FORMER.get(f"{package}.{name}".removeprefix("cornu."))
            hint = f" {former}" if former else "" if name.startswith("_") else did_you_mean(name, names)
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
