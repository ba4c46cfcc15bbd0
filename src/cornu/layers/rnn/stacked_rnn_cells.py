"""Cells one upon another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError
from cornu.layers.layer import Layer
from cornu.layers.rnn.cell import Cell, initial_state


class StackedRNNCells(Layer):
    """One cell made of several, each reading the outputs of the one before; its states are a list of each one's."""

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
                raise ArgumentError(
                    f"{self._label()}: each cell should be a Layer with the attribute `state_size`, got {cell!r}."
                )
        if not cells:
            raise ArgumentError(f"{self._label()} needs at least one cell.")
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The size of the last cell's outputs."""
        last = self.cells[-1]
        size = last.state_size[0] if isinstance(last.state_size, list | tuple) else last.state_size
        return getattr(last, "output_size", size)

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The initial states of each cell: a list of lists."""
        return [initial_state(cell, batch_size, self.compute_dtype) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if not isinstance(cell, Cell):  # what comes out of it is known when it is called
                break
            if not cell.built:
                cell.build(input_shape)
            input_shape = (*input_shape[:-1], cell.output_size)

    def call(self, inputs: Array, states: Any, training: bool = False) -> tuple[Array, list[Any]]:
        new = []
        for cell, own in zip(self.cells, states, strict=True):
            inputs, after = cell(inputs, own)
            new.append(list(after) if isinstance(after, list | tuple) else [after])
        return inputs, new

    # as of one built-in cell; see Cell

    def project(self, inputs: Array, training: bool = False) -> Array:
        """The first cell's projection."""
        return self.cells[0].project(inputs, training)

    def step(self, projected: Array, states: list[Any], training: bool = False) -> tuple[Array, list[Any]]:
        """One step of each cell."""
        output, first = self.cells[0].step(projected, states[0], training)
        new = [first]
        for cell, own in zip(self.cells[1:], states[1:], strict=True):
            output, after = cell.step(cell.project(output, training), own, training)
            new.append(after)
        return output, new

    def output_of(self, states: list[Any]) -> Array:
        """The output that was returned with these states."""
        return self.cells[-1].output_of(states[-1])
