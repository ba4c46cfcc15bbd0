"""Attention by several heads."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu.base.errors import ArgumentError
from cornu.layers.attention.base import ProjectedAttention
from cornu.layers.checks import positive_int, sizes
from cornu.layers.weights import describe_weights


class MultiHeadAttention(ProjectedAttention):
    """`num_heads` heads, each attending with queries and keys of size `key_dim` and values of `value_dim` (`key_dim`).

    Query (batch, queries, features), value and key (batch, keys, features) to (batch, queries, output_shape), the
    query's features by default; with `return_attention_scores` also the weights (batch, heads, queries, keys). Inputs
    of more axes attend over `attention_axes`, by default over all but the first and the last. Masks and the further
    options are those of ProjectedAttention. https://arxiv.org/abs/1706.03762
    """

    _saved_as: ClassVar[dict[str, str]] = {"gate_dense": "_gate_dense"}

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        describe_weights(self, locals(), "kernel", "bias")
        self._describe(dropout, use_bias, sliding_window, flash_attention, use_gate, seed)
        self.num_heads = self.heads = self.groups = positive_int(num_heads, "num_heads", self)
        self.key_dim = self.depth = positive_int(key_dim, "key_dim", self)
        self.value_dim = self.value_depth = key_dim if value_dim is None else positive_int(value_dim, "value_dim", self)
        if isinstance(output_shape, list | tuple):
            output_shape = sizes(output_shape, len(output_shape), "output_shape", self)
        elif output_shape is not None:
            output_shape = positive_int(output_shape, "output_shape", self)
        self.output_shape = output_shape
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        self.attention_axes = None if attention_axes is None else tuple(attention_axes)

    def _axes(self, rank: int) -> tuple[int, ...]:
        axes = self.attention_axes
        return super()._axes(rank) if axes is None else tuple(sorted(axis % rank for axis in axes))

    def _check_axes(self, rank: int) -> None:
        wrong = [axis for axis in self.attention_axes or () if axis % rank in (0, rank - 1) or not -rank <= axis < rank]
        if wrong:
            raise ArgumentError(
                f"{self._label()}: attention_axes should be axes between the first and the last of inputs with {rank} "
                f"axes, got {self.attention_axes}."
            )

    def _output_sizes(self, features: int) -> tuple[int, ...]:
        if self.output_shape is None:
            return super()._output_sizes(features)
        return self.output_shape if isinstance(self.output_shape, tuple) else (self.output_shape,)
