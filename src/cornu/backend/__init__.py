"""Floor 1: the array frameworks, each behind the same contract.

`B` stands for whichever backend is current at the moment of the call: `B.exp(x)`. A backend is loaded when it is
first used, never when cornu is imported.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any, cast

from cornu.backend.contract import Array, Backend
from cornu.base import config
from cornu.base.errors import MissingDependencyError, unknown_name

__all__ = ["Array", "B", "Backend", "current", "load"]

_BUILT_IN = {"jax": "JaxBackend", "numpy": "NumpyBackend"}
_loaded: dict[str, Backend] = {}


def load(name: str) -> Backend:
    """The backend called `name`, imported on first use; built in or announced by the entry point `cornu.backends`."""
    if name not in _loaded:
        try:
            if name in _BUILT_IN:
                cls = getattr(importlib.import_module(f"cornu.backend.{name}"), _BUILT_IN[name])
            else:
                (cls,) = (point.load() for point in entry_points(group="cornu.backends", name=name))
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"The backend {name!r} needs the package {error.name!r}: `pip install 'cornu[{name}]'`."
            ) from error
        except ValueError:
            raise unknown_name("backend", name, config.known_backends()) from None
        _loaded[name] = cls()
    return _loaded[name]


def current() -> Backend:
    """The backend in use here and now."""
    name = config.backend()
    return _loaded.get(name) or load(name)


class _Current:
    """Looks every attribute up in the current backend."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(current(), name)


B = cast(Backend, _Current())
