"""What the built-in recurrent cells share; by itself it has the signature of the simplest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cornu import activations, ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.errors import ShapeError
from cornu.core.context import context
from cornu.core.state import StateScope
from cornu.layers.checks import fraction, positive_int
from cornu.layers.layer import Layer
from cornu.layers.weights import describe_weights, make_weight
from cornu.random import SeedGenerator, dropout


def arguments(variables: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """The arguments of a constructor, but for some, from its local variables."""
    left = ("self", "__class__", "kwargs", *without)
    return {name: value for name, value in variables.items() if name not in left} | variables["kwargs"]


class Cell(Layer):
    """One step of a recurrent layer in two parts: `project` is what needs the inputs alone, `step` the rest. A subclass
    that overrides `call` is stepped through `call` instead.

    `call(inputs, states, training)` returns the outputs and the new states, a list as `states` is, or a bare tensor.
    In training the inputs and the state are masked by `dropout` and `recurrent_dropout`; the masks stay the same
    until they are reset, so that all steps of a sequence share them (https://arxiv.org/abs/1512.05287).
    """

    gates = 1
    states = 1

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("implementation", None)  # of Keras 2
        super().__init__(**kwargs)
        self.units = positive_int(units, "units", self)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        describe_weights(self, locals(), "kernel", "recurrent", "bias")
        self.dropout = fraction(dropout, "dropout", self)
        self.recurrent_dropout = fraction(recurrent_dropout, "recurrent_dropout", self)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self._masks: dict[str, tuple[StateScope | None, Array]] = {}

    @property
    def state_size(self) -> Any:
        """The size of the state, or a list of them."""
        return self.units if self.states == 1 else [self.units] * self.states

    @property
    def output_size(self) -> int:
        """The size of the outputs."""
        return self.units

    def get_initial_state(self, batch_size: int) -> list[Array]:
        """States of zeros."""
        return [B.zeros((batch_size, self.units), self.compute_dtype)] * self.states

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        if features is None:
            raise ShapeError(f"{self._label()}: the last size of its inputs must be known, got shape {input_shape}.")
        self.kernel = make_weight(self, "kernel", (features, self.gates * self.units))
        self.recurrent_kernel = make_weight(
            self, "recurrent", (self.units, self.gates * self.units), name="recurrent_kernel"
        )
        self.bias = self._make_bias() if self.use_bias else None

    def _make_bias(self) -> Any:
        return make_weight(self, "bias", (self.gates * self.units,))

    def call(self, inputs: Array, states: Any, training: bool = False) -> tuple[Array, Any]:
        several = isinstance(states, list | tuple)
        projected = self.project(inputs, training)
        outputs, new = self.step(projected, list(states) if several else [states], training)
        return outputs, new if several else new[0]

    def project(self, inputs: Array, training: bool = False) -> Array:
        """inputs · kernel + bias: (…, features) to (…, gates · units)."""
        if training and (mask := self.get_dropout_mask(inputs)) is not None:
            inputs = inputs * mask
        projected = ops.matmul(inputs, self.kernel)
        return projected if self.bias is None else projected + self._input_bias()

    def _input_bias(self) -> Array:
        return self.bias.value

    def step(self, projected: Array, states: list[Array], training: bool = False) -> tuple[Array, list[Array]]:
        """The outputs and the new states, from the projected inputs of one step."""
        raise NotImplementedError

    def whole_loop(
        self, xs: Array, states: list[Array], reverse: bool, every: bool, training: bool
    ) -> tuple[Array | None, list[Array]] | None:
        """What steps over xs (time, batch, features) would compute, only faster; None where that cannot be.

        The outputs of all steps, or None unless `every`, and the last states.
        """
        return None

    def output_of(self, states: list[Array]) -> Array:
        """The output that was returned with these states."""
        return states[0]

    def _masked(self, state: Array, training: bool) -> Array:
        mask = self.get_recurrent_dropout_mask(state) if training else None
        return state if mask is None else state * mask

    # dropout

    def get_dropout_mask(self, step_input: Array) -> Array | None:
        """What the inputs are multiplied by, the same until `reset_dropout_mask`; None without dropout."""
        return self._mask("inputs", self.dropout, step_input)

    def get_recurrent_dropout_mask(self, step_input: Array) -> Array | None:
        """What the state is multiplied by, the same until `reset_recurrent_dropout_mask`; None without dropout."""
        return self._mask("state", self.recurrent_dropout, step_input)

    def reset_dropout_mask(self) -> None:
        """Draw a new mask for the inputs at the next step."""
        self._masks.pop("inputs", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Draw a new mask for the state at the next step."""
        self._masks.pop("state", None)

    def draw_masks(self, batch_size: int) -> None:
        """Draw the masks of a sequence before its loop: what is drawn within belongs to one step."""
        self.get_dropout_mask(B.zeros((batch_size, self.kernel.shape[0]), self.compute_dtype))
        self.get_recurrent_dropout_mask(B.zeros((batch_size, self.units), self.compute_dtype))

    def reset_masks(self) -> None:
        """Draw both masks anew at the next step."""
        self._masks.clear()

    def _mask(self, kind: str, rate: float, like: Array) -> Array | None:
        if not rate:
            return None
        drawn_in, mask = self._masks.get(kind, (None, None))
        if mask is None or not _is_open(drawn_in):  # a mask of another trace has no value in this one
            mask = dropout(B.zeros(like.shape, self.compute_dtype) + 1, rate, seed=self.seed_generator)
            self._masks[kind] = (context.scope, mask)
        return mask


def is_plain(cell: Any, training: bool) -> bool:
    """Whether a gated cell has the usual activations and no dropout, as fused loops want it."""
    usual = cell.activation is activations.tanh and cell.recurrent_activation is activations.sigmoid
    return usual and not (training and (cell.dropout or cell.recurrent_dropout))


def _is_open(scope: StateScope | None) -> bool:
    """Whether `scope` is among those in force; None, outside all, is."""
    current = context.scope
    while current is not None and current is not scope:
        current = current.parent
    return current is scope


def initial_state(cell: Any, batch_size: int, dtype: str) -> list[Any]:
    """The states of any cell before the first step: its own, or zeros of its `state_size`."""
    if hasattr(cell, "get_initial_state"):
        states = cell.get_initial_state(batch_size=batch_size)
        return list(states) if isinstance(states, list | tuple) else [states]
    sizes = cell.state_size if isinstance(cell.state_size, list | tuple) else [cell.state_size]
    return [B.zeros((batch_size, *([size] if hasattr(size, "__index__") else size)), dtype) for size in sizes]
