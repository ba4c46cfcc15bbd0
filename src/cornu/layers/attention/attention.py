"""Attention without projections."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError
from cornu.base.tree import is_shape_tuple
from cornu.layers.checks import choice, fraction
from cornu.layers.layer import Layer
from cornu.random import SeedGenerator, dropout


class Attention(Layer):
    """softmax(scores) · value, of a list [query, value] or [query, value, key]: to (batch, queries, features).

    Scores are query · keyᵀ, or with `score_mode="concat"` the sum of tanh(query + key), either scaled by a weight with
    `use_scale` (https://arxiv.org/abs/1508.04025). The mask is a list, [query mask, value mask], each (batch, time):
    masked values get no weight, masked queries the output 0. With `return_attention_scores` the weights follow.
    """

    supports_masking = True

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = choice(score_mode, ("dot", "concat"), "score_mode", self)
        self.dropout = fraction(dropout, "dropout", self)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        self._check_inputs(input_shape)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _check_inputs(self, inputs: Any) -> None:
        if is_shape_tuple(inputs) or not isinstance(inputs, list | tuple) or len(inputs) not in (2, 3):
            found = f"{len(inputs)} tensors" if isinstance(inputs, list) else "one tensor"
            raise ArgumentError(
                f"{self._label()} should be called on a list [query, value] or [query, value, key], got {found}."
            )

    def scores(self, query: Array, key: Array) -> Array:
        """(batch, queries, features), (batch, keys, features) to (batch, queries, keys)."""
        scale = 1 if self.scale is None else self.scale.value
        if self.score_mode == "dot":
            return scale * ops.einsum("bqd,bkd->bqk", query, key)
        pairs = query[:, :, None] + key[:, None]
        return self.concat_score_weight.value * ops.sum(ops.tanh(scale * pairs), -1)

    def call(
        self,
        inputs: list[Array],
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check_inputs(inputs)
        query, value, key = (*inputs, inputs[1])[:3]
        if mask is not None and (not isinstance(mask, list | tuple) or len(mask) not in (2, len(inputs))):
            raise ArgumentError(f"{self._label()}: mask should be a list [query mask, value mask], got {mask!r}.")
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        scores = self.scores(query, key)
        allowed = None if value_mask is None else ops.cast(value_mask, "bool")[:, None]
        if use_causal_mask:
            queries, keys = (B.arange(0, size, 1, "int32") for size in scores.shape[1:])
            causal = (queries[:, None] >= keys[None, :])[None]
            allowed = causal if allowed is None else ops.logical_and(allowed, causal)
        if allowed is not None:  # a query that may attend to nothing attends as it would unmasked
            scores = scores - ops.where(allowed, ops.zeros((), scores.dtype), _far(self.compute_dtype))
        weights = ops.softmax(scores)
        if training and self.dropout:
            weights = dropout(weights, self.dropout, seed=self.seed_generator)
        outputs = ops.matmul(weights, value)
        if query_mask is not None:
            outputs = outputs * ops.cast(query_mask, outputs.dtype)[..., None]
        return (outputs, weights) if return_attention_scores else outputs

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the query, for the outputs alone."""
        return [previous_mask[0] if isinstance(previous_mask, list | tuple) else None, None]


def _far(dtype: str) -> float:
    return 65504.0 if dtype == "float16" else 1e9
