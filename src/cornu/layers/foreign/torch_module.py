"""A module of PyTorch as a layer."""

from __future__ import annotations

import threading
from typing import Any

import torch

from cornu.backend import load
from cornu.base import tree
from cornu.base.errors import ArgumentError, StateError
from cornu.core.symbolic import KerasTensor
from cornu.core.variable import Variable
from cornu.layers.checks import require_backend
from cornu.layers.foreign.tensor_cell import TensorCell
from cornu.layers.layer import Layer

_swapping = threading.RLock()
"""A module holds the tensors of one call at a time."""


def _device() -> torch.device:
    return load("torch").device or torch.device("cpu")  # type: ignore[attr-defined]


class TorchModuleWrapper(Layer):
    """module(inputs), a `torch.nn.Module` whose parameters and buffers are weights of the layer, in the same memory.

    The module is in training mode when the layer is. Only on the backend PyTorch. A module is code, so no file can hold
    it: save the weights. `output_shape` spares inference calling the module.
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
        self.module, self.output_shape = module.to(_device()), output_shape
        self._parameters = {key: _variable(key, value) for key, value in module.named_parameters()}
        self._buffers = {key: _variable(key, value) for key, value in module.named_buffers()}
        self.built = True

    def call(self, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        require_backend(self, "torch")
        half = self.compute_dtype in ("float16", "bfloat16")  # then PyTorch casts, which knows what its kernels take
        tensors = {key: v._read() if half else v.value for key, v in self._parameters.items()}
        tensors |= {key: variable._read().clone() for key, variable in self._buffers.items()}  # written in place
        kind, dtype = _device().type, getattr(torch, self.compute_dtype) if half else None
        with _swapping, torch.autocast(kind, dtype, enabled=half):
            self.module.train(bool(training))
            outputs = torch.func.functional_call(self.module, tensors, args, kwargs)
        if training:
            for key, variable in self._buffers.items():
                variable.assign(tensors[key].detach())
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic tensors of `output_shape`, if it was given."""
        if self.output_shape is None:
            return super().compute_output_spec(*args, **kwargs)
        return tree.map_shape_structure(lambda s: KerasTensor(tuple(s), self.compute_dtype), self.output_shape)

    def parameters(self, recurse: bool = True) -> Any:
        """The module's parameters."""
        return self.module.parameters(recurse)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Put the weights into `store` by the names that the module has for them, as Keras does."""
        store.update(self._parameters | self._buffers)

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Take the weights from `store` by these names."""
        for key, variable in (self._parameters | self._buffers).items():
            variable.assign(store[key])

    def get_config(self) -> dict[str, Any]:
        raise StateError(
            f"{self._label()}: a torch module is code, which no configuration holds. Save the weights "
            "(`save_weights`), make the model anew by code, and load them."
        )


def _variable(key: str, tensor: torch.Tensor) -> Variable:
    """A variable that lives in a parameter or buffer of a module."""
    made = Variable(tensor.detach(), trainable=tensor.requires_grad, name=key.replace(".", "_").replace("/", "_"))
    made._live_in(TensorCell(tensor))
    return made
