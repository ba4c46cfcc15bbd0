"""The simplest recurrent layer."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.layers.rnn.cell import Cell
from cornu.layers.rnn.rnn import CellRNN


class SimpleRNNCell(Cell):
    """h' = activation(x · kernel + h · recurrent_kernel + bias); the output is the state h'."""

    def step(self, projected: Array, states: list[Array], training: bool = False) -> tuple[Array, list[Array]]:
        (h,) = states
        h = projected + ops.matmul(self._masked(h, training), self.recurrent_kernel)
        h = h if self.activation is None else self.activation(h)
        return h, [h]


class SimpleRNN(CellRNN, cell=SimpleRNNCell):
    """The loop of RNN over a SimpleRNNCell: (batch, time, features) to (batch, units), or a row for each step."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**self._parts(locals()))
