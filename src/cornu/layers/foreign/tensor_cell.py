"""Variables that live in tensors of PyTorch."""

from __future__ import annotations

import torch

from cornu.backend import B
from cornu.core.variable import Variable


class TensorCell:
    """Holds a variable's value in the memory of a tensor, a parameter mostly: who writes one writes both."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def read_value(self) -> torch.Tensor:
        """What is in the tensor."""
        return self.tensor.detach()

    def assign(self, value: torch.Tensor) -> None:
        """Let the tensor be a copy of `value`, which stays what it is: PyTorch's optimizers write in place."""
        self.tensor.data = B.copy(value)


def in_tensor(variable: Variable, learnt: bool = False) -> torch.Tensor:
    """The tensor that the variable lives in, made if need be: a parameter of what may learn."""
    if "torch" not in variable._cells:
        value = B.copy(variable._read()) if variable._shared else variable._read()
        gradient = learnt and value.is_floating_point()
        variable._live_in(TensorCell(torch.nn.Parameter(value, gradient) if variable.trainable else value))
    tensor: torch.Tensor = variable._cells["torch"].tensor
    return tensor
