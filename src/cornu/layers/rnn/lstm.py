"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu import activations, ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.layers.rnn.cell import Cell, arguments, is_plain
from cornu.layers.rnn.loops import lstm_loop
from cornu.layers.rnn.rnn import CellRNN
from cornu.layers.weights import make_weight


class LSTMCell(Cell):
    """i, f, g, o = x · kernel + h · recurrent_kernel + bias;  c' = σ(f) c + σ(i) τ(g);  h' = σ(o) τ(c').

    τ is `activation`, σ `recurrent_activation`; the states are [h, c], the output is h'. With `unit_forget_bias` the
    bias of f begins at 1. https://www.bioinf.jku.at/publications/older/2604.pdf
    """

    gates = 4
    states = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**arguments(locals(), "recurrent_activation", "unit_forget_bias"))
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def _make_bias(self) -> Any:
        initializer = _with_forget_bias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer
        return make_weight(self, "bias", (4 * self.units,), initializer=initializer)

    def step(self, projected: Array, states: list[Array], training: bool = False) -> tuple[Array, list[Array]]:
        h, c = states
        n, sigma, tau = self.units, self.recurrent_activation, self.activation
        z = projected + ops.matmul(self._masked(h, training), self.recurrent_kernel)  # (batch, 4 n)
        c = sigma(z[:, n : 2 * n]) * c + sigma(z[:, :n]) * tau(z[:, 2 * n : 3 * n])
        h = sigma(z[:, 3 * n :]) * tau(c)
        return h, [h, c]

    def whole_loop(
        self, xs: Array, states: list[Array], reverse: bool, every: bool, training: bool
    ) -> tuple[Array | None, list[Array]] | None:
        if not (is_plain(self, training) and type(self).step is LSTMCell.step):
            return None
        kernel, recurrent = self.kernel.value, self.recurrent_kernel.value
        bias = None if self.bias is None else self.bias.value
        found = B.fused_lstm(xs, *states, kernel, recurrent, bias, reverse)
        if found is None:
            bias = B.zeros((4 * self.units,), standardize_dtype(xs.dtype)) if bias is None else bias
            found = lstm_loop(reverse, every)(xs, *states, kernel, recurrent, bias)
        outputs, *states = found
        return (outputs if every else None), states


class LSTM(CellRNN, cell=LSTMCell):
    """The loop of RNN over an LSTMCell: (batch, time, features) to (batch, units), or a row for each step."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**self._parts(locals()))


def _with_forget_bias(initializer: Any) -> Callable[..., Array]:
    """Like `initializer`, but the second quarter is 1."""
    initializer = initializer.bound() if hasattr(initializer, "bound") else initializer

    def initial(shape: Any, dtype: Any = None) -> Array:
        n = shape[0] // 4
        first, last = (B.convert(initializer((size,), dtype=dtype), dtype) for size in (n, 2 * n))
        return B.concatenate([first, B.full((n,), 1, dtype), last], 0)

    return initial
