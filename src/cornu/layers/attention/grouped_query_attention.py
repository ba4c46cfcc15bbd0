"""Attention by several heads, of which some share keys and values."""

from __future__ import annotations

from typing import Any, ClassVar

from cornu.base.errors import ArgumentError
from cornu.layers.attention.base import ProjectedAttention
from cornu.layers.checks import positive_int
from cornu.layers.weights import describe_weights


class GroupedQueryAttention(ProjectedAttention):
    """`num_query_heads` heads of size `head_dim`; each of `num_key_value_heads` keys and values serves as many of them.

    Query (batch, queries, features), value and key (batch, keys, features) to (batch, queries, features); with
    `return_attention_scores` also the weights (batch, heads, queries, keys). Masks and the further options are those
    of ProjectedAttention; `query_mask` (batch, queries) leaves queries out. https://arxiv.org/abs/2305.13245
    """

    masks_queries = True
    _public_name = "GroupQueryAttention"
    _saved_as: ClassVar[dict[str, str]] = {
        f"{name}_dense": f"_{name}_dense" for name in ("query", "key", "value", "gate", "output")
    }

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
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
        self.head_dim = self.depth = self.value_depth = positive_int(head_dim, "head_dim", self)
        self.num_query_heads = self.heads = positive_int(num_query_heads, "num_query_heads", self)
        self.num_key_value_heads = self.groups = positive_int(num_key_value_heads, "num_key_value_heads", self)
        if self.heads % self.groups:
            raise ArgumentError(
                f"{self._label()}: num_query_heads should be a multiple of num_key_value_heads, got {self.heads} and "
                f"{self.groups}."
            )

    def _check_axes(self, rank: int) -> None:
        if rank != 3:
            raise ArgumentError(f"{self._label()}: inputs should have 3 axes (batch, time, features), got {rank}.")
