"""A function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from cornu.base.errors import ArgumentError, UnsafeFileError
from cornu.core.configurable import deserialize, find
from cornu.layers.layer import Layer


class Lambda(Layer):
    """function(inputs, **arguments), as a layer without weights.

    The function is given `mask` and `training` if it has parameters of these names. `mask` is the mask of the outputs,
    or a function (inputs, mask) that returns it. The shape of the outputs is found by tracing; `output_shape` is kept
    for Keras' sake. Saved by the function's registered name only: code is never put into files.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise ArgumentError(f"{self._label()}: function should be callable, got {function!r}.")
        self.function, self.output_shape, self.mask = function, output_shape, mask
        self.arguments = arguments or {}
        self.supports_masking = mask is not None
        self._wanted = {"mask", "training"} & _parameter_names(function)

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        offered = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{name: offered[name] for name in self._wanted})

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lambda:
        """The layer that `get_config` described. Raises UnsafeFileError where the function is code, not a name."""
        config = dict(config)
        for name in ("function", "mask", "output_shape"):
            value = config.get(name)
            if isinstance(value, dict) and value.get("class_name") == "__lambda__":
                raise UnsafeFileError(
                    f"The Lambda layer {config.get('name')!r} holds its {name} as Python code, which files may not do. "
                    "Define the function, register it with `@cornu.saving.register_serializable()` and save again."
                )
            if isinstance(value, str):
                config[name] = find(value)
        return cls(**{name: deserialize(value) for name, value in config.items()})


def _parameter_names(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # built-in functions without a signature
        return set()
