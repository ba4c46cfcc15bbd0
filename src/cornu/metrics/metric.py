"""The base of metrics, and the means and sums that most of them are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config, policies
from cornu.base.errors import ArgumentError
from cornu.core.configurable import Configurable, serialize
from cornu.core.configurable import find as find_named
from cornu.core.context import name_scope
from cornu.core.masks import get_mask
from cornu.core.names import auto_name, snake_case
from cornu.core.state import StateScope
from cornu.core.tracking import find
from cornu.core.variable import Variable
from cornu.initializers import get as get_initializer
from cornu.losses.loss import aligned, labels


class Metric(Configurable):
    """Base of metrics: derive from it and define `update_state(y_true, y_pred, sample_weight=None)` and `result()`.

    State is kept in variables made by `add_variable` (or held as attributes, also within other metrics), which
    `reset_state` sets to zero. `result` returns a scalar, an array or a dict of scalars. Computes in `dtype`, `floatx`
    unless given, float32 at least.
    """

    _own_name: str | None = None
    """Its name without that of the output it is for, which a model with several puts before."""

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or auto_name(snake_case(type(self).__name__))
        floatx = config.floatx()
        wide = "float32" if floatx in ("float16", "bfloat16") else floatx
        self._dtype = wide if dtype is None else policies.get(dtype).compute_dtype
        self._own_variables: list[Variable] = []

    @property
    def dtype(self) -> str:
        """The dtype it computes in."""
        return self._dtype

    @property
    def variables(self) -> list[Variable]:
        """The state: its own variables and those of metrics among its attributes."""
        found: dict[int, Variable] = {}
        for part in find(self, (Variable, Metric)):
            for variable in part.variables if isinstance(part, Metric) else (part,):
                found[id(variable)] = variable
        return list(found.values())

    def _config_value(self, name: str, value: Any) -> Any:
        return self._own_name or value if name == "name" else value

    def add_variable(
        self, shape: Any, initializer: Any = None, dtype: Any = None, aggregation: str = "sum", name: str | None = None
    ) -> Variable:
        """A variable of the metric's state; zeros at first."""
        with name_scope(self.name):
            variable = Variable(
                get_initializer(initializer or "zeros"),
                shape,
                self.dtype if dtype is None else dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                name=name,
            )
        self._own_variables.append(variable)
        return variable

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None, **kwargs: Any
    ) -> Variable:
        """As `add_variable`; a scalar by default."""
        if isinstance(shape, str):  # add_weight("total"), as it was once written
            shape, name = (), shape
        return self.add_variable(shape, initializer, dtype, name=name, **kwargs)

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} should define `update_state(y_true, y_pred, sample_weight)`.")

    def result(self) -> Any:
        """The value over everything taken in since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} should define `result()`.")

    def reset_state(self) -> None:
        """Forget everything taken in."""
        for variable in self.variables:
            variable.assign(B.zeros(variable.shape, variable.dtype))

    def reset_states(self) -> None:
        """The older name of `reset_state`."""
        self.reset_state()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch and return the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def stateless_update_state(self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any) -> list[Array]:
        """`update_state` as a pure function: the values of `variables` after it."""
        with self._bound(metric_variables) as scope:
            self.update_state(*args, **kwargs)
            return [scope.values[variable] for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` as a pure function of the values of `variables`."""
        with self._bound(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Array]:
        """The values of `variables` after a reset."""
        return self._after(self.reset_state)

    def _after(self, change: Callable[[], None]) -> list[Array]:
        with StateScope() as scope:
            change()
            return [scope.get(variable) for variable in self.variables]

    def _bound(self, values: Sequence[Any]) -> StateScope:
        variables = self.variables
        if len(values) != len(variables):
            raise ArgumentError(
                f"{self.name} has {len(variables)} variables, got {len(values)} values. Metrics whose size depends on "
                "the data make theirs in the first `update_state`."
            )
        return StateScope(zip(variables, map(B.convert, values), strict=True))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """The mean of values, weighted by `sample_weight`.

    A sample that has several values counts as one, with their mean. 0 before the first update.
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), name="total")
        self.count = self.add_variable((), name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in values (batch, …) and their weights, a scalar or (batch, …)."""
        self._take_in(values, sample_weight, get_mask(values))

    def _take_in(self, values: Any, sample_weight: Any, mask: Any) -> None:
        values = ops.convert_to_tensor(values, self.dtype)
        batch = values.shape[0] if values.ndim else 1
        inner = max(math.prod(values.shape) // max(batch, 1), 1) if values.ndim else 1
        weights = _weights(values, sample_weight, mask, self.dtype, self.name)
        if weights is None:
            total, count = B.sum(values) / inner, batch
        else:
            weights = B.broadcast_to(weights, values.shape)
            total, count = B.sum(values * weights) / inner, B.sum(weights) / inner
        self.total.assign_add(total)
        self.count.assign_add(count)

    def result(self) -> Array:
        """The mean, a scalar."""
        count = self.count.value
        return self.total.value / B.where(count == 0, B.convert(1, self.dtype), count)


def _weights(values: Array, sample_weight: Any, mask: Any, dtype: str, name: str) -> Array | None:
    """The weights, 0 where masked, with as many axes as the values; None if all are 1."""
    given = [("sample_weight", sample_weight), ("mask", mask)]
    parts = [
        ops.cast(aligned(ops.convert_to_tensor(part), values, f"{name}: {what}"), dtype)
        for what, part in given
        if part is not None
    ]
    return None if not parts else parts[0] if len(parts) == 1 else parts[0] * parts[1]


class Sum(Metric):
    """The sum of values times their weights."""

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in values (batch, …) and their weights, a scalar or (batch, …)."""
        mask = get_mask(values)
        values = ops.convert_to_tensor(values, self.dtype)
        weights = _weights(values, sample_weight, mask, self.dtype, self.name)
        self.total.assign_add(B.sum(values if weights is None else values * weights))

    def result(self) -> Array:
        """The sum, a scalar."""
        return self.total.value


class MeanMetricWrapper(Mean):
    """The mean of a function `fn(y_true, y_pred, **kwargs)` that returns a value for each sample."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        fn = find_named(fn, "keras.metrics") if isinstance(fn, str) else fn  # as configurations have it
        super().__init__(name or getattr(fn, "name", None) or getattr(fn, "__name__", "mean_metric_wrapper"), dtype)
        self.fn, self._kwargs = fn, kwargs
        self._class_numbers = getattr(fn, "__name__", "").startswith("sparse_")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in targets and predictions; masked predictions do not count."""
        mask = get_mask(y_pred)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        y_true = labels(y_true, self.dtype) if self._class_numbers else ops.convert_to_tensor(y_true, self.dtype)
        values = self.fn(y_true, y_pred, **self._kwargs)
        own_mask = get_mask(values)
        mask = own_mask if mask is None else mask if own_mask is None else ops.logical_and(mask, own_mask)
        self._take_in(values, sample_weight, mask)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; of `MeanMetricWrapper` itself those of the function included."""
        config = super().get_config()
        return {**config, **serialize(self._kwargs)} if "fn" in config else config
