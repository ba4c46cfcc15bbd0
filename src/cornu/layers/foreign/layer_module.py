"""A layer or model as a module of PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from cornu.base import config
from cornu.base.errors import DTypeError, StateError
from cornu.core.state import StateScope
from cornu.core.variable import Variable, initialize
from cornu.layers.checks import require_backend
from cornu.layers.foreign.tensor_cell import in_tensor
from cornu.layers.layer import Layer


class LayerModule(torch.nn.Module):
    """The layer as a `torch.nn.Module`: its weights are parameters and buffers in the same memory.

    What an optimizer of PyTorch writes into the parameters the layer sees, and what `fit` makes of the layer the module
    sees. Keys of `state_dict` are the paths of the weights with underscores; `train()` and `eval()` set `training`.
    Dtypes are those of the layer's policy, also under `torch.autocast`. `torch.compile` leaves the module as it is.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        with config.backend_scope("torch"):
            require_backend(layer, "torch")
            if not layer.built:
                raise StateError(
                    f"{layer._label()} is not built yet: call it on data, or `build` it, before `as_torch()`."
                )
            self._layer = [layer]  # in a list: a layer is no module, though it may look like one
            self._variables: dict[str, Variable] = {}
            learnt = set(layer.trainable_variables)
            initialize(layer.variables)
            for variable in layer.variables:
                key = _unique(variable.path.replace("/", "_"), self)  # a dot would be another module
                self._variables[key] = variable
                tensor = in_tensor(variable, variable in learnt)
                if isinstance(tensor, torch.nn.Parameter):
                    self.register_parameter(key, tensor)
                else:
                    self.register_buffer(key, tensor)

    @property
    def layer(self) -> Layer:
        """The layer."""
        return self._layer[0]

    @property
    def losses(self) -> list[torch.Tensor]:
        """The layer's losses, such as those of regularizers, differentiable by the parameters."""
        with config.backend_scope("torch"), StateScope(self._bound().items()):
            return self.layer.losses

    def _bound(self) -> dict[Variable, torch.Tensor]:
        """The tensors that the module has now: its own, or others that PyTorch's functions put in their places."""
        return {variable: getattr(self, key) for key, variable in self._variables.items()}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's outputs, differentiable by the parameters."""
        bound = self._bound()
        with config.backend_scope("torch"):
            for variable in bound:
                if variable.backend != "torch":
                    variable._read()  # raises the error that names both
            with StateScope(bound.items()) as scope:
                outputs = self.layer(*args, training=self.training, **kwargs)
            for variable in scope.written:
                value, tensor = scope.values[variable].detach(), bound.get(variable)
                if tensor is None or tensor is in_tensor(variable):
                    variable.assign(value)
                else:
                    tensor.copy_(value)
        return outputs

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        for tensor in (*self._parameters.values(), *self._buffers.values()):
            found = fn(tensor.detach()[..., :0] if tensor.ndim else tensor.detach()).dtype
            if found != tensor.dtype:
                raise DTypeError(
                    f"{self.layer._label()}: the weights are {tensor.dtype} by the layer's dtype, they cannot become "
                    f"{found}. Make the layer with another `dtype`, or after `config.set_dtype_policy`."
                )
        super()._apply(fn, recurse)
        self._take_over()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._take_over()

    def _take_over(self) -> None:
        """Go on with the tensors that variables live in, after PyTorch has put others in their places."""
        for tensors in (self._parameters, self._buffers):
            for key, other in tensors.items():
                if key in self._variables and (tensor := in_tensor(self._variables[key])) is not other:
                    tensor.data = other.data.to(tensor.dtype)
                    tensors[key] = tensor


def _unique(key: str, module: torch.nn.Module) -> str:
    count, found = 1, key
    while hasattr(module, found):  # parameters are attributes
        count, found = count + 1, f"{key}_{count}"
    return found
