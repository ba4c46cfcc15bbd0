"""A layer or model as a module of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from cornu.base import config
from cornu.base.errors import StateError
from cornu.core.state import StateScope
from cornu.core.variable import Variable, initialize
from cornu.layers.foreign.jax_layer import require_backend
from cornu.layers.layer import Layer


class LayerModule(torch.nn.Module):
    """The layer as a `torch.nn.Module`: its weights are parameters and buffers in the same memory.

    What an optimizer of PyTorch writes into the parameters the layer sees, and what `fit` makes of the layer the module
    sees. Keys of `state_dict` are the paths of the weights with underscores; `train()` and `eval()` set `training`.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        with config.backend_scope("torch"):
            require_backend(layer, "torch")
        if not layer.built:
            raise StateError(f"{layer._label()} is not built yet: call it on data, or `build` it, before `as_torch()`.")
        self._layer = [layer]  # in a list: a layer is no module, though it may look like one
        self._variables: dict[str, Variable] = {}
        variables = layer.variables
        learnt = set(layer.trainable_variables)
        initialize(variables)
        for variable in variables:
            key = _unique(variable.path.replace("/", "_"), self._variables)  # a dot would be another module
            self._variables[key] = variable
            if variable in learnt:
                self.register_parameter(key, torch.nn.Parameter(variable.value))
            else:
                self.register_buffer(key, variable.value)

    @property
    def layer(self) -> Layer:
        """The layer."""
        return self._layer[0]

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {**self._parameters, **self._buffers}  # type: ignore[dict-item]

    def _follow(self) -> None:
        """Let parameters and buffers be the memory that the variables have now."""
        with config.backend_scope("torch"):
            for key, tensor in self._tensors().items():
                value = self._variables[key].value  # noted as shared: `fit` will not overwrite it
                if tensor.data_ptr() != value.data_ptr():
                    tensor.data = value

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's outputs, differentiable by the parameters."""
        self._follow()
        tensors = self._tensors()
        with config.backend_scope("torch"):
            with StateScope((self._variables[key], tensor) for key, tensor in tensors.items()) as scope:
                outputs = self.layer(*args, training=self.training, **kwargs)
            for variable in scope.written:
                variable.assign(scope.values[variable].detach())
        return outputs

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
        self._follow()
        return super().named_parameters(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self._follow()
        return super().state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self._follow()
        return super().load_state_dict(*args, **kwargs)


def _unique(key: str, taken: dict[str, Any]) -> str:
    count, found = 1, key
    while found in taken:
        count, found = count + 1, f"{key}_{count}"
    return found
