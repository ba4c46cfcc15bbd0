"""What attention layers with projections share."""

from __future__ import annotations

import math
from string import ascii_lowercase
from typing import Any

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.layers.checks import fraction, positive_int
from cornu.layers.core.einsum_dense import EinsumDense
from cornu.layers.layer import Layer
from cornu.random import SeedGenerator, dropout


class ProjectedAttention(Layer):
    """softmax(Q Kᵀ / √depth) V of projected query, key and value, by several heads, and a projection of the result.

    Masks are true where attention is allowed: `attention_mask` (batch, queries, keys), perhaps with an axis of heads
    behind the batch; `value_mask` and `key_mask` (batch, keys). `use_causal_mask` keeps a query from later keys,
    `sliding_window` from keys that many steps away or further. With `use_gate` the result is multiplied by a sigmoid
    of a projection of the query before the last projection. https://arxiv.org/abs/1706.03762
    """

    supports_masking = True
    masks_queries = False
    heads: int
    groups: int  # of heads that share a key and a value
    depth: int
    value_depth: int

    def _describe(
        self,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        use_gate: bool,
        seed: int | None,
    ) -> None:
        self.dropout = fraction(dropout, "dropout", self)
        if flash_attention and self.dropout:
            raise ArgumentError(f"{self._label()}: flash_attention=True has no dropout, got dropout={dropout}.")
        self.use_bias, self.use_gate, self.flash_attention, self.seed = use_bias, use_gate, flash_attention, seed
        if sliding_window is not None:
            positive_int(sliding_window, "sliding_window", self)
        self.sliding_window = sliding_window
        self.seed_generator = SeedGenerator(seed)

    def _axes(self, rank: int) -> tuple[int, ...]:
        """The axes that are attended over, of inputs of this rank."""
        return tuple(range(1, rank - 1))

    def _output_sizes(self, features: int) -> tuple[int, ...]:
        """The sizes of an output, for a query of so many features."""
        return (features,)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        ranks = {len(query_shape), len(value_shape), len(key_shape)}
        if len(ranks) > 1 or min(ranks) < 3:
            raise ShapeError(
                f"{self._label()}: query, value and key should have the same number of axes, at least 3, got shapes "
                f"{tuple(query_shape)}, {tuple(value_shape)} and {tuple(key_shape)}."
            )
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]) and None not in (*value_shape[1:-1], *key_shape[1:-1]):
            raise ShapeError(
                f"{self._label()}: value and key should have the same sizes except the last, got shapes "
                f"{tuple(value_shape)} and {tuple(key_shape)}."
            )
        self._check_axes(len(query_shape))
        self.query_dense = self._to_heads("query", query_shape, self.heads, self.depth)
        self.key_dense = self._to_heads("key", key_shape, self.groups, self.depth)
        if self.use_gate:
            self.gate_dense = self._to_heads("gate", query_shape, self.heads, self.value_depth)
        self.value_dense = self._to_heads("value", value_shape, self.groups, self.value_depth)
        free, sizes = ascii_lowercase[: len(query_shape) - 1], self._output_sizes(query_shape[-1])
        last = ascii_lowercase[len(free) : len(free) + len(sizes)]
        joined = (*query_shape[:-1], self.heads, self.value_depth)
        self.output_dense = self._dense("attention_output", f"{free}yz,yz{last}->{free}{last}", joined, sizes, last)

    def _check_axes(self, rank: int) -> None:
        """Raises unless inputs of this rank have the axes to attend over."""

    def _to_heads(self, name: str, shape: Any, heads: int, depth: int) -> EinsumDense:
        free, features = ascii_lowercase[: len(shape) - 1], ascii_lowercase[len(shape) - 1]
        return self._dense(name, f"{free}{features},{features}yz->{free}yz", shape, (heads, depth), "yz")

    def _dense(self, name: str, equation: str, shape: Any, sizes: tuple[int, ...], bias_axes: str) -> EinsumDense:
        free = equation.index(",") - (2 if name == "attention_output" else 1)
        layer = EinsumDense(
            equation,
            (*(None,) * (free - 1), *sizes),
            bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            trainable=self.trainable,
            name=name,
        )
        layer.build(shape)
        return layer

    def call(
        self,
        query: Array,  # (batch, …, features)
        value: Array,
        key: Array | None = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        axes = self._axes(query.ndim)
        dropped = bool(training and self.dropout)
        fits = query.ndim == 3 and not dropped and not return_attention_scores and self.depth == self.value_depth
        masks = (query_mask if self.masks_queries else None, value_mask, key_mask, attention_mask, self.sliding_window)
        # Kernels skip what a mask that they know hides; of any other they read every number.
        causal = use_causal_mask and fits and all(mask is None for mask in masks)
        allowed = self._allowed(
            query, value, axes, query_mask, value_mask, key_mask, attention_mask, use_causal_mask and not causal
        )
        gate = self.gate_dense(query) if self.use_gate else None
        q, k, v = self.query_dense(query), self.key_dense(value if key is None else key), self.value_dense(value)
        if fits:
            allowed = allowed[:, None] if allowed is not None and allowed.ndim == 3 else allowed
            result = ops.dot_product_attention(
                q, k, v, mask=allowed, is_causal=causal, flash_attention=self.flash_attention
            )
            scores = None
        else:
            if self.groups != self.heads:
                k, v = (ops.repeat(x, self.heads // self.groups, -2) for x in (k, v))
            result, scores = self._attend(q, k, v, axes, allowed, dropped)
        if gate is not None:
            result = result * ops.sigmoid(gate)
        outputs = self.output_dense(result)
        return (outputs, scores) if return_attention_scores else outputs

    def _attend(
        self, q: Array, k: Array, v: Array, axes: tuple[int, ...], allowed: Any, dropped: bool
    ) -> tuple[Array, Array]:
        """The attended values (batch, …, heads, depth) and the weights (batch, …, heads, queries …, keys …)."""
        free = ascii_lowercase[: q.ndim - 2]
        keys = "".join(letter.upper() if i in axes else letter for i, letter in enumerate(free))
        apart = "".join(letter for i, letter in enumerate(free) if i not in axes)
        pair = "".join(free[i] for i in axes) + "".join(keys[i] for i in axes)
        scores = ops.einsum(f"{free}yz,{keys}yz->{apart}y{pair}", q / math.sqrt(self.depth), k)
        if allowed is not None:
            at = allowed.ndim - 2 * len(axes)
            allowed = ops.expand_dims(allowed, tuple(range(at, at + scores.ndim - allowed.ndim)))
            lowest = -3e4 if self.compute_dtype == "float16" else -1e30  # finite, so that no row is NaN
            weights = ops.softmax(ops.where(allowed, scores, lowest), _last(len(axes)))
            weights = ops.where(allowed, weights, ops.zeros((), weights.dtype))
        else:
            weights = ops.softmax(scores, _last(len(axes)))
        kept = dropout(weights, self.dropout, seed=self.seed_generator) if dropped else weights
        return ops.einsum(f"{apart}y{pair},{keys}yz->{free}yz", kept, v), weights

    def _allowed(
        self,
        query: Array,
        value: Array,
        axes: tuple[int, ...],
        query_mask: Any,
        value_mask: Any,
        key_mask: Any,
        attention_mask: Any,
        use_causal_mask: bool,
    ) -> Any:
        """Where attention is allowed, (batch, queries …, keys …) or with heads; None if everywhere."""
        parts = [] if attention_mask is None else [ops.cast(attention_mask, "bool")]
        given = [mask for mask in (value_mask, key_mask) if mask is not None]  # (batch, keys …)
        parts += [ops.cast(ops.expand_dims(mask, tuple(range(1, len(axes) + 1))), "bool") for mask in given]
        if self.masks_queries and query_mask is not None:
            parts.append(ops.cast(query_mask, "bool")[..., None])
        if use_causal_mask or self.sliding_window is not None:
            if len(axes) != 1:
                raise ArgumentError(
                    f"{self._label()}: a causal mask and a sliding window need one axis of time, attention goes "
                    f"over axes {axes}."
                )
            queries, keys = (B.arange(0, x.shape[axes[0]], 1, "int32") for x in (query, value))
            distance = queries[:, None] - keys[None, :]
            if use_causal_mask:
                parts.append((distance >= 0)[None])
            if self.sliding_window is not None:
                parts.append((B.abs(distance) < self.sliding_window)[None])
        if not parts:
            return None
        allowed = parts[0]
        for part in parts[1:]:  # an axis of heads stands behind the batch
            a, b = (x[:, None] if x.ndim < max(allowed.ndim, part.ndim) else x for x in (allowed, part))
            allowed = ops.logical_and(a, b)
        return allowed

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the query."""
        return previous_mask


def _last(count: int) -> Any:
    return -1 if count == 1 else tuple(range(-count, 0))
