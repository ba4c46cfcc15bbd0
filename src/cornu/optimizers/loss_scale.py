"""Training in float16: a loss scaled so that its gradients neither vanish nor overflow."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import whole, within
from cornu.base.errors import ArgumentError
from cornu.core.variable import Variable
from cornu.optimizers.optimizer import Optimizer, Settings, assign_if


class LossScaleOptimizer(Optimizer):
    """Another optimizer, under a loss scale that adapts: https://arxiv.org/abs/1710.03740, section 3.2.

    A step whose gradients are not all finite is skipped and halves the scale; `dynamic_growth_steps` finite ones in a
    row double it.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(inner_optimizer, Optimizer) or isinstance(inner_optimizer, LossScaleOptimizer):
            raise ArgumentError(f"LossScaleOptimizer wraps another kind of optimizer, got {inner_optimizer!r}.")
        if inner_optimizer.loss_scale_factor is not None:
            raise ArgumentError(
                f"LossScaleOptimizer: {inner_optimizer.name} has a fixed loss_scale_factor already; leave it out."
            )
        defaults = inspect.signature(Optimizer.__init__).parameters
        for key, value in kwargs.items():
            if key in Settings.__annotations__ and value != defaults[key].default:
                raise ArgumentError(
                    f"LossScaleOptimizer: {key} would act on scaled gradients; set it on the inner optimizer, as in "
                    f"LossScaleOptimizer({type(inner_optimizer).__name__}({key}={value!r}))."
                )
        within(self, "(0, inf)", initial_scale=initial_scale)
        whole(self, 1, dynamic_growth_steps=dynamic_growth_steps)
        super().__init__(0.0, name=name, **kwargs)
        self.inner_optimizer = inner_optimizer
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
        self.dynamic_scale = self.add_variable(
            (), lambda shape, dtype: B.full(shape, initial_scale, dtype), "float32", name="dynamic_scale"
        )

    def build(self, variables: Sequence[Variable]) -> None:
        """Build the inner optimizer."""
        if not self.built:
            super().build(variables)
            self.inner_optimizer.build(variables)

    @property
    def variables(self) -> list[Variable]:
        """Its own state and the inner optimizer's."""
        return [*self._variables, *self.inner_optimizer.variables]

    def _saved(self) -> list[Any]:
        return [*self._variables, *self.inner_optimizer._saved()]

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The inner optimizer's: steps that were not skipped."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, variable: Variable) -> None:
        self.inner_optimizer.iterations = variable

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the current scale."""
        return (
            loss * B.cast(self.dynamic_scale.value, loss.dtype)
            if hasattr(loss, "dtype")
            else loss * self.dynamic_scale.value
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """One step of the inner optimizer with the gradients divided by the scale, or none if they overflowed."""
        grads, variables = self._matched(grads, trainable_variables)
        scale = self.dynamic_scale.value

        def unscale(gradient: Any, variable: Variable) -> Any:
            if gradient is None or variable.overwrite_with_gradient:
                return gradient if gradient is None else B.convert(gradient)
            wide = "float64" if variable.dtype == "float64" else "float32"  # in float16 the scale may be infinite
            return B.cast(B.convert(gradient, wide) / B.cast(scale, wide), variable.dtype)

        unscaled = list(map(unscale, grads, variables))
        finite: Array = B.convert(True)
        for gradient in unscaled:
            if gradient is not None:
                finite = B.logical_and(finite, B.all(B.isfinite(gradient)))
        assign_if(
            finite,
            lambda: self.inner_optimizer.apply(unscaled, variables),
            [*self.inner_optimizer.variables, *variables],
        )
        count = B.where(finite, self.step_counter.value + 1, 0)
        grown = count == self.dynamic_growth_steps
        self.step_counter.assign(B.where(grown, 0, count))
        self.dynamic_scale.assign(scale * B.where(grown, 2.0, B.where(finite, 1.0, 0.5)))
        self._iterations.assign_add(1)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """As the inner optimizer does."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """As the inner optimizer does."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; what else an optimizer has is the inner one's."""
        names = ("inner_optimizer", "initial_scale", "dynamic_growth_steps", "name")
        config = super().get_config()
        return {name: config[name] for name in names}
