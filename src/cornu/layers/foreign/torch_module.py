"""A module of PyTorch as a layer."""

from __future__ import annotations

from typing import Any

import torch

from cornu.base.errors import ArgumentError, StateError
from cornu.core.variable import Variable
from cornu.layers.foreign.jax_layer import require_backend
from cornu.layers.layer import Layer


class TorchModuleWrapper(Layer):
    """module(inputs), a `torch.nn.Module` whose parameters and buffers are weights of the layer.

    The module is in training mode when the layer is. Only on the backend PyTorch. The layer keeps values of its own;
    `parameters()` writes them into the module. A module is code, so no file can hold it: save the weights.
    """

    def __init__(self, module: Any, name: str | None = None, output_shape: Any = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        require_backend(self, "torch")
        if not isinstance(module, torch.nn.Module):
            raise ArgumentError(f"{self._label()}: module should be a torch.nn.Module, got {type(module).__name__}.")
        uninitialised = [
            n for n, p in module.named_parameters() if isinstance(p, torch.nn.parameter.UninitializedParameter)
        ]
        if uninitialised:
            raise StateError(
                f"{self._label()}: the parameters {', '.join(uninitialised)} are lazy. Call the module once on data."
            )
        self.module, self.output_shape = module, output_shape
        self._parameters = {
            key: Variable(value.detach(), trainable=value.requires_grad, name=key.replace(".", "_"))
            for key, value in module.named_parameters()
        }
        self._buffers = {
            key: Variable(value.detach(), trainable=False, autocast=False, name=key.replace(".", "_"))
            for key, value in module.named_buffers()
        }
        self.built = True

    def call(self, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        self.module.train(bool(training))
        values = {key: variable.value for key, variable in self._parameters.items()}
        buffers = {key: variable.value.clone() for key, variable in self._buffers.items()}  # written in place
        outputs = torch.func.functional_call(self.module, {**values, **buffers}, args, kwargs)
        if training:
            for key, variable in self._buffers.items():
                variable.assign(buffers[key].detach())
        return outputs

    def parameters(self, recurse: bool = True) -> Any:
        """The module's parameters, with the layer's values."""
        with torch.no_grad():
            for tensors, variables in (
                (self.module.named_parameters(), self._parameters),
                (self.module.named_buffers(), self._buffers),
            ):
                for key, tensor in tensors:
                    tensor.copy_(variables[key].value)
        return self.module.parameters(recurse)

    def get_config(self) -> dict[str, Any]:
        raise StateError(
            f"{self._label()}: a torch module is code, which no configuration holds. Save the weights "
            "(`save_weights`), make the model anew by code, and load them."
        )
