"""`get`, `serialize` and `deserialize` for a family of named objects: initializers, losses, optimizers, …"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from cornu.base.errors import ArgumentError, plain, unknown_name
from cornu.core import configurable
from cornu.core.names import snake_case


class Family:
    """Objects of one kind that may be given by name, by configuration or as they are.

    `classes` and `functions` are found by their own names, by snake_case of them and by `aliases`. A class found by
    name is instantiated with its defaults.
    """

    def __init__(
        self,
        kind: str,
        classes: Mapping[str, type] | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.names = sorted({*map(snake_case, classes or ()), *(functions or ())})
        self.known: dict[str, Any] = {}
        for name, cls in (classes or {}).items():
            self.known |= {name: cls, snake_case(name): cls, name.lower(): cls}
        self.known |= functions or {}
        self.known |= {alias: self.known[name] for alias, name in (aliases or {}).items()}

    def get(self, identifier: Any) -> Any:
        """The object for a name, a configuration, a class or a callable; None stays None."""
        if identifier is None:
            return None
        if isinstance(identifier, dict):
            return self.deserialize(identifier)
        if isinstance(identifier, str):
            found = self.find(identifier)
            return found() if inspect.isclass(found) else found
        if inspect.isclass(identifier):
            return identifier()
        if callable(identifier) or hasattr(identifier, "get_config"):
            return identifier
        raise ArgumentError(
            f"{self.kind} should be a name, an object, a function or a configuration, got {identifier!r} "
            f"({type(identifier).__name__})."
        )

    def find(self, name: str) -> Any:
        """The class or function of this name: registered ones first."""
        found = configurable.get_registered_object(name) or configurable.get_registered_object(f"Custom>{name}")
        found = found or self.known.get(name) or self.known.get(name.lower())
        if found is None:
            raise unknown_name(self.kind, name, self.names, self.known)
        return found

    def serialize(self, obj: Any) -> Any:
        """The object as plain data."""
        return configurable.serialize(obj)

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The object that `serialize` described."""
        with configurable.custom_object_scope(custom_objects or {}):
            if not isinstance(config, dict):
                return self.get(config)
            name = config.get("class_name")
            if isinstance(name, str) and name in self.known and "module" not in config:  # Keras 2's form
                return self.known[name](**config.get("config", {}))
            if not isinstance(name, str):
                raise ArgumentError(f"{self.kind}: a configuration should have a 'class_name', got {plain(config)}.")
            return configurable.deserialize(config)
