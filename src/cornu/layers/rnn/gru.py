"""Gated recurrent units."""

from __future__ import annotations

from typing import Any

from cornu import activations, ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.layers.rnn.cell import Cell, arguments, is_plain
from cornu.layers.rnn.loops import gru_loop
from cornu.layers.rnn.rnn import CellRNN
from cornu.layers.weights import make_weight


class GRUCell(Cell):
    """z, r = σ(x · kernel + h · recurrent_kernel + bias);  h' = z h + (1 - z) τ(x · kernel + r ∘ h · recurrent_kernel).

    τ is `activation`, σ `recurrent_activation`; the output is the state h'. With `reset_after` r multiplies the product
    with the recurrent kernel, which then has a bias of its own (https://arxiv.org/abs/1406.1078v1), else h itself (v3).
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**arguments(locals(), "recurrent_activation", "reset_after"))
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def _make_bias(self) -> Any:
        return make_weight(self, "bias", (2, 3 * self.units) if self.reset_after else (3 * self.units,))

    def _input_bias(self) -> Array:
        return self.bias.value[0] if self.reset_after else self.bias.value

    def step(self, projected: Array, states: list[Array], training: bool = False) -> tuple[Array, list[Array]]:
        (h,) = states
        n, sigma, tau, kernel = self.units, self.recurrent_activation, self.activation, self.recurrent_kernel.value
        masked = self._masked(h, training)
        if self.reset_after:
            recurrent = ops.matmul(masked, kernel)  # (batch, 3 n)
            if self.bias is not None:
                recurrent = recurrent + self.bias.value[1]
        else:
            recurrent = ops.matmul(masked, kernel[:, : 2 * n])
        gates = sigma(projected[:, : 2 * n] + recurrent[:, : 2 * n])
        z, r = gates[:, :n], gates[:, n:]
        candidate = r * recurrent[:, 2 * n :] if self.reset_after else ops.matmul(r * masked, kernel[:, 2 * n :])
        h = z * h + (1 - z) * tau(projected[:, 2 * n :] + candidate)
        return h, [h]

    def whole_loop(
        self, xs: Array, states: list[Array], reverse: bool, every: bool, training: bool
    ) -> tuple[Array | None, list[Array]] | None:
        if not (self.reset_after and is_plain(self, training) and type(self).step is GRUCell.step):
            return None
        kernel, recurrent = self.kernel.value, self.recurrent_kernel.value
        bias = None if self.bias is None else self.bias.value
        found = B.fused_gru(xs, *states, kernel, recurrent, bias, reverse)
        if found is None:
            bias = B.zeros((2, 3 * self.units), standardize_dtype(xs.dtype)) if bias is None else bias
            found = gru_loop(reverse, every)(xs, *states, kernel, recurrent, bias)
        outputs, state = found
        return (outputs if every else None), [state]


class GRU(CellRNN, cell=GRUCell):
    """The loop of RNN over a GRUCell: (batch, time, features) to (batch, units), or a row for each step."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**self._parts(locals()))
