"""The base of losses: values for each sample, weighted, masked and reduced to a scalar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu import ops
from cornu.base import config, policies, tree
from cornu.base.dtypes import float_type
from cornu.base.errors import ArgumentError, ShapeError, did_you_mean
from cornu.core.configurable import Configurable, find, serialize
from cornu.core.masks import get_mask
from cornu.core.names import snake_case

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")


class Loss(Configurable):
    """Base of losses: derive from it and define `call(y_true, y_pred)`, which returns a value for each sample.

    `reduction` makes a scalar of these values times their weights: `"sum"`; `"mean"` or `"sum_over_batch_size"`, the
    sum divided by the count of values; `"mean_with_sample_weight"`, divided by the sum of the weights; or `"none"`.
    Masked values count neither in sums nor in means. Computes in `dtype`, `floatx` unless given.
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        reduction = {None: "none", "auto": "sum_over_batch_size"}.get(reduction, reduction)  # "auto": Keras 2's
        if reduction not in REDUCTIONS:
            raise ArgumentError(
                f"{type(self).__name__}: unknown reduction {reduction!r}.{did_you_mean(str(reduction), REDUCTIONS)} "
                f"Known: {', '.join(REDUCTIONS)}."
            )
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction
        self._dtype = config.floatx() if dtype is None else policies.get(dtype).compute_dtype

    @property
    def dtype(self) -> str:
        """The dtype it computes in."""
        return self._dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values (batch, …) of targets and predictions, whose last axis is usually reduced."""
        raise NotImplementedError(f"{type(self).__name__} should define `call(y_true, y_pred)`.")

    def _targets(self, y: Any) -> Any:
        return ops.convert_to_tensor(y, self.dtype)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss. `sample_weight` is a scalar or has the values' leading axes: (batch,), (batch, time)."""
        for name, value in (("y_true", y_true), ("y_pred", y_pred)):
            if value is None:
                raise ArgumentError(f"{self.name}: {name} is None; a loss needs both targets and predictions.")
        mask = get_mask(y_pred)
        y_true = _tensors(y_true, self._targets)
        y_pred = _tensors(y_pred, lambda y: ops.convert_to_tensor(y, self.dtype))
        if sample_weight is not None and not tree.is_nested(y_pred) and len(y_pred.shape) == 1:
            y_pred = ops.expand_dims(y_pred, -1)  # one value a sample, each with its own weight
        values = self.call(y_true, y_pred)
        if values is None:
            raise ArgumentError(f"The loss {self.name!r} returned None. Is a `return` missing?")
        own_mask = get_mask(values)
        mask = own_mask if mask is None else mask if own_mask is None else ops.logical_and(mask, own_mask)
        return reduce(values, sample_weight, mask, self.reduction, self.dtype, self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class LossFunctionWrapper(Loss):
    """The loss made of a function `fn(y_true, y_pred, **kwargs)` that returns a value for each sample."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        fn = find(fn, "keras.losses") if isinstance(fn, str) else fn  # as configurations have it
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn, self._kwargs = fn, kwargs

    def _targets(self, y: Any) -> Any:
        return labels(y, self.dtype) if getattr(self.fn, "__name__", "").startswith("sparse_") else super()._targets(y)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The function of both."""
        return self.fn(y_true, y_pred, **self._kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, those of the function included."""
        return {**super().get_config(), **serialize(self._kwargs)}


def _tensors(y: Any, convert: Callable[[Any], Any]) -> Any:
    """A nest of tensors; lists of nothing but numbers are tensors too."""
    if isinstance(y, dict):
        return {key: _tensors(value, convert) for key, value in y.items()}
    if isinstance(y, list | tuple) and any(hasattr(leaf, "shape") or isinstance(leaf, dict) for leaf in y):
        return [_tensors(item, convert) for item in y]
    return convert(y)


def labels(y: Any, dtype: str) -> Any:
    """Targets that are class numbers: floats in `dtype`, integers as they are, since 16-bit floats hold few of them."""
    y = ops.convert_to_tensor(y)
    return ops.cast(y, dtype) if "float" in ops.dtype(y) else y


def reduce(values: Any, sample_weight: Any, mask: Any, reduction: str, dtype: str, name: str = "loss") -> Any:
    """The values times their weights, reduced as the class `Loss` says."""
    values = ops.convert_to_tensor(values)
    values = ops.cast(values, float_type(values.dtype))
    weights = None
    if sample_weight is not None:
        weights = aligned(ops.convert_to_tensor(sample_weight, dtype), values, f"{name}: sample_weight")
    share = None
    if mask is not None:
        mask = ops.cast(aligned(ops.convert_to_tensor(mask), values, f"{name}: mask"), dtype)
        share = ops.mean(mask)
        weights = mask if weights is None else weights * mask
    if weights is not None:
        values = values * ops.cast(weights, values.dtype)
    if reduction == "none":
        return values
    if reduction == "sum":
        return ops.sum(values)
    if reduction == "mean_with_sample_weight" and weights is not None:
        total = ops.sum(weights * ops.ones_like(values))
        return ops.sum(values) / ops.where(ops.equal(total, 0), 1, total)
    if share is None:
        return ops.mean(values)
    return ops.mean(values) / ops.where(ops.equal(share, 0), 1, share)


def aligned(weights: Any, values: Any, what: str = "sample_weight") -> Any:
    """Weights with as many axes as the values, so that they broadcast from the batch axis on."""
    shape, rank = tuple(weights.shape), len(values.shape)
    if len(shape) == rank + 1 and shape[-1] == 1:
        return ops.squeeze(weights, -1)
    if 0 < len(shape) < rank:
        weights = ops.reshape(weights, (*(-1 if size is None else size for size in shape), *(1,) * (rank - len(shape))))
    known = zip(weights.shape, values.shape, strict=False)
    if len(shape) > rank or any(None not in (w, v) and w not in (1, v) for w, v in known):
        raise ShapeError(
            f"{what} of shape {shape} does not fit values of shape {tuple(values.shape)}: it should be a scalar or "
            "have their leading axes, such as (batch,) or (batch, time)."
        )
    return weights
