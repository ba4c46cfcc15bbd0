"""Variables that live in tensors of PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import torch

from cornu.backend import B
from cornu.core.context import context
from cornu.core.variable import Variable


class TensorVariable(Variable):
    """A variable whose value is the memory of a tensor, a parameter mostly: who writes one writes both.

    Variables become what this is: see `live_in`. While one belongs to another backend the tensor waits.
    """

    tensor: torch.Tensor
    _elsewhere: Any = None
    _shared = property(lambda self: True, lambda self, value: None)  # type: ignore[assignment]
    """Always: whoever holds what was in the tensor, `state_dict` for one, keeps it when `fit` writes."""

    @property
    def _value(self) -> Any:  # type: ignore[override]
        return self.tensor.detach() if self._elsewhere is None else self._elsewhere

    @_value.setter
    def _value(self, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            self.tensor.data, self._elsewhere = value, None
        else:
            self._elsewhere = value

    def assign(self, value: Any) -> Any:
        """Set the value, to a copy where it is kept: PyTorch's optimizers write in place."""
        found = super().assign(value)
        if context.scope is None:
            self._value = B.copy(found)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        twin = super().__deepcopy__(memo)
        live_in(twin, copy.deepcopy(self.tensor, memo))
        return twin


def live_in(variable: Variable, tensor: torch.Tensor) -> None:
    """Let the variable be what is in the tensor from now on."""
    variable.__dict__.pop("_value", None)
    variable.__class__ = TensorVariable
    variable.tensor = tensor  # type: ignore[attr-defined]


def in_tensor(variable: Variable, learnt: bool = False) -> torch.Tensor:
    """The tensor that the variable lives in, made if need be: a parameter of what may learn."""
    if not isinstance(variable, TensorVariable):
        value = B.copy(variable._read()) if variable._shared else variable._read()
        gradient = learnt and value.is_floating_point()
        live_in(variable, torch.nn.Parameter(value, gradient) if variable.trainable else value)
    return variable.tensor  # type: ignore[attr-defined,no-any-return]
