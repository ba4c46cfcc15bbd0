"""The base of optimizers: everything around an update rule."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.checks import whole, within
from cornu.base.errors import ArgumentError, ShapeError, StateError, unknown_arguments, warn
from cornu.core import configurable
from cornu.core.configurable import Configurable
from cornu.core.context import name_scope
from cornu.core.names import auto_name, snake_case
from cornu.core.state import StateScope, functional
from cornu.core.variable import Variable
from cornu.initializers import get as get_initializer
from cornu.optimizers.schedules import InverseTimeDecay, LearningRateSchedule


class Settings(TypedDict, total=False):
    """What every optimizer takes beside its own arguments; see `Optimizer`."""

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Optimizer(Configurable):
    """Base of optimizers: derive from it and define `update_step(gradient, variable, learning_rate)`.

    An update rule with slots also extends `build(variables)`, which makes them by `add_variable_from_reference`.
    `learning_rate` is a number, a schedule or a function without arguments. Around the rule this class does, in order:
    average the gradients of `gradient_accumulation_steps` calls; clip them by value, by each one's norm (`clipnorm`)
    or by the norm of all (`global_clipnorm`); shrink the variables by lr · `weight_decay`
    (https://arxiv.org/abs/1711.05101); keep averages of them with `use_ema`, which replace them at the end of training
    and every `ema_overwrite_frequency` updates (calls that only accumulate gradients neither average nor overwrite,
    while in Keras they overwrite); apply their constraints. Gradients are divided by `loss_scale_factor`, by
    which `scale_loss` multiplies. A step is a pure function of the variables.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let constructors that end in `**kwargs: Unpack[Settings]` show and take the settings, also by position."""
        super().__init_subclass__(**kwargs)
        init = cls.__dict__.get("__init__")
        if init is None or init.__annotations__.get("kwargs") != "Unpack[Settings]":
            return
        signature = inspect.signature(init)
        *own, rest = signature.parameters.values()
        common = inspect.signature(Optimizer.__init__).parameters
        more = [common[name] for name in Settings.__annotations__ if name not in signature.parameters]

        @functools.wraps(init)
        def full(self: Any, *args: Any, **kwargs: Any) -> None:
            extra = dict(zip((parameter.name for parameter in more), args[len(own) - 1 :], strict=False))
            init(self, *args[: len(own) - 1], **extra, **kwargs)

        parameters = [*own, *more, rest.replace(annotation=Any)]
        full.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        cls.__init__ = full  # type: ignore[method-assign]

    _left_out = ("lr", "decay")  # as the learning rate is now

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind = type(self).__name__
        learning_rate = self._legacy(learning_rate, kwargs)
        if kwargs:
            raise unknown_arguments(kind, kwargs, list(inspect.signature(type(self).__init__).parameters)[1:-1])
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ArgumentError(f"{kind}: give at most one of clipnorm, clipvalue, global_clipnorm; got {given}.")
        within(self, "(0, inf)", True, loss_scale_factor=loss_scale_factor, **clips)
        within(self, "[0, inf)", True, weight_decay=weight_decay)
        within(self, "[0, 1]", ema_momentum=ema_momentum)
        whole(self, 1, True, ema_overwrite_frequency=ema_overwrite_frequency if use_ema else None)
        whole(self, 2, True, gradient_accumulation_steps=gradient_accumulation_steps)
        if not isinstance(use_ema, bool):
            raise ArgumentError(f"{kind}: use_ema should be True or False, got {use_ema!r}.")
        if not isinstance(name, str | None):
            raise ArgumentError(f"{kind}: name should be a string or None, got {name!r}.")
        self.name = name or auto_name(snake_case(kind))
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency, self.loss_scale_factor = ema_overwrite_frequency, loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._index: dict[Variable, int] = {}
        self._undecayed: list[Any] = []
        self._per_step: list[Any] | None = None
        self._learning_rate: Any = None
        self._scalars = "float64" if config.floatx() == "float64" else "float32"  # the dtype of rates and corrections
        self._iterations = self.add_variable((), dtype="int32", name="iteration")
        if isinstance(learning_rate, dict):
            learning_rate = configurable.deserialize(learning_rate)
        if isinstance(learning_rate, LearningRateSchedule) or callable(learning_rate):
            self._learning_rate = learning_rate
        else:
            rate = _rate(learning_rate, kind)
            self._learning_rate = self.add_variable(
                (), lambda shape, dtype: np.asarray(rate, dtype), self._scalars, name="learning_rate"
            )

    def _legacy(self, learning_rate: Any, kwargs: dict[str, Any]) -> Any:
        """The learning rate as the older arguments `lr` and `decay` would have it."""
        if "lr" in kwargs:
            learning_rate = kwargs.pop("lr")
            warn(f"{type(self).__name__}: the argument `lr` is now called `learning_rate`.")
        decay = kwargs.pop("decay", None)
        if decay:
            warn(
                f"{type(self).__name__}: instead of `decay={decay}` pass the schedule "
                f"`learning_rate=InverseTimeDecay({learning_rate}, 1, {decay})`, which is used now."
            )
            learning_rate = InverseTimeDecay(learning_rate, 1, decay)
        return learning_rate

    # what a rule is written with

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots for these variables; rules with slots of their own call this first."""
        if self.built:
            return
        self._trainable_variables = list(variables)
        self._index = {variable: i for i, variable in enumerate(variables)}
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated = self.add_optimizer_variables(variables, "gradient_accumulator")
        self.built = True

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """Assign to `variable`, and to its slots, what the rule makes of the gradient."""
        raise NotImplementedError(
            f"{type(self).__name__} should define `update_step(gradient, variable, learning_rate)`."
        )

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A variable of the optimizer's state."""
        with name_scope(self.name):
            variable = Variable(
                get_initializer(initializer),
                shape,
                dtype,
                False,
                aggregation=aggregation,
                layout=layout,
                name=name,
                autocast=False,
            )
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A slot: a variable of the state in the shape and dtype of `reference_variable`, zeros at first."""
        path = getattr(reference_variable, "path", reference_variable.name).replace("/", "_")
        name = f"{path}_{name}" if name else path
        return self.add_variable(
            reference_variable.shape, initializer, reference_variable.dtype, layout=reference_variable.layout, name=name
        )

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Variable], name: str | Sequence[str], initializer: Any = "zeros"
    ) -> Any:
        """A list of slots called `name`, one for each variable; of several names, a tuple of such lists."""
        names = [name] if isinstance(name, str) else list(name)
        initializers = initializer if isinstance(initializer, list | tuple) else [initializer] * len(names)
        rows = [
            [self.add_variable_from_reference(v, n, i) for n, i in zip(names, initializers, strict=True)]
            for v in trainable_variables
        ]
        columns = tuple([row[i] for row in rows] for i in range(len(names)))
        return columns[0] if isinstance(name, str) else columns

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index[variable]

    def assign(self, variable: Variable, value: Any) -> None:
        """Set the variable."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Increase the variable."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Decrease the variable."""
        variable.assign_sub(value)

    def _once(self, compute: Callable[[], Any]) -> Any:
        """`compute()`, evaluated once for all variables of a step."""
        if self._per_step is None:  # a rule called by itself
            return compute()
        if not self._per_step:
            self._per_step.append(compute())
        return self._per_step[0]

    def _steps(self) -> Array:
        """Which step this is, from 1, as a float scalar."""
        return B.cast(self._count(), self._scalars) + 1

    def _count(self) -> Array:
        count = self.iterations
        return count.value if isinstance(count, Variable) else count

    # state

    @property
    def variables(self) -> list[Variable]:
        """The state: the count of steps, the learning rate unless it is a schedule, the slots."""
        return list(self._variables)

    @property
    def iterations(self) -> Any:
        """How many updates were made; a variable, or with gradient accumulation computed from one."""
        steps = self.gradient_accumulation_steps
        return B.floor_divide(self._iterations.value, steps) if steps else self._iterations

    @iterations.setter
    def iterations(self, variable: Variable) -> None:
        if self.built:
            raise StateError(f"{self.name}: `iterations` can only be replaced before the optimizer is built.")
        self._variables = [variable if v is self._iterations else v for v in self._variables]
        self._iterations = variable

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the step to come: a variable, or what the schedule says."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations)  # counts every call, also those that only accumulate
        return self._learning_rate if isinstance(self._learning_rate, Variable) else self._learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        if isinstance(self._learning_rate, Variable) and not callable(learning_rate):
            self._learning_rate.assign(_rate(learning_rate, self.name))
        elif callable(learning_rate):  # schedules are
            self._variables = [v for v in self._variables if v is not self._learning_rate]
            self._learning_rate = learning_rate
        else:
            raise ScheduledRateError(
                f"{self.name}: its learning rate is a schedule and cannot be set to {learning_rate!r}. Make the "
                "optimizer with a number for `learning_rate` to set it later, or assign another schedule."
            )

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Let no weight decay act on these variables, nor where one of the patterns `var_names` is in the path."""
        if self.built:
            raise StateError(
                f"{self.name}: call `exclude_from_weight_decay` before the optimizer is built, before `fit`."
            )
        self._undecayed = [*(var_list or ()), *(re.compile(pattern) for pattern in var_names or ())]

    def _decays(self, variable: Variable) -> bool:
        return not any(e is variable if isinstance(e, Variable) else e.search(variable.path) for e in self._undecayed)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign values to all `variables`, in order."""
        if not self.built:
            raise StateError(f"{self.name}: build the optimizer, `optimizer.build(model.trainable_variables)`, first.")
        if len(weights) != len(self.variables):
            raise ArgumentError(f"{self.name} has {len(self.variables)} variables, got {len(weights)} values.")
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Write the state into a mapping."""
        for i, variable in enumerate(self._saved()):
            store[str(i)] = variable

    def load_own_variables(self, store: Any) -> None:
        """Read the state from the mapping that `save_own_variables` wrote."""
        saved = self._saved()
        if len(store) != len(saved):
            raise ArgumentError(
                f"{self.name} has {len(saved)} variables, the file holds {len(store)}: it was saved with "
                "other settings, or the optimizer is not built yet."
            )
        for i, variable in enumerate(saved):
            if isinstance(variable, Variable):
                variable.assign(store[str(i)])

    def _saved(self) -> list[Any]:
        """The state as it stands in files, in Keras' order; arrays where Keras has a variable that is not needed."""
        return self.variables

    # the step

    def scale_loss(self, loss: Any) -> Any:
        """The loss times `loss_scale_factor`, so that small gradients survive in float16."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """One step with pairs (gradient, variable); returns the count of steps."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(list(grads), list(variables))
        return self._iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """One step: gradients, None where a variable has none, for the given or else for all variables built for."""
        grads, variables = self._matched(grads, trainable_variables)
        self._check_known(variables)
        pairs = self._usable(grads, variables)
        scale = self.loss_scale_factor
        plain = []
        for gradient, variable in pairs:
            if variable.overwrite_with_gradient:
                variable.assign(gradient)
            else:
                plain.append((gradient if scale is None else gradient / scale, variable))
        with B.together():
            if plain and self.gradient_accumulation_steps:
                self._accumulate(plain)
            elif plain:
                self._update(plain)
        self._iterations.assign_add(1)

    def _matched(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None
    ) -> tuple[list[Any], list[Variable]]:
        """As many gradients as variables, for which it is built now if it was not."""
        grads = list(grads)
        if trainable_variables is None:
            if not self.built:
                raise StateError(f"{self.name}: pass `trainable_variables`, or call `build` with them first.")
            trainable_variables = self._trainable_variables
        variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ArgumentError(f"{self.name}: got {len(grads)} gradients for {len(variables)} variables.")
        if not self.built:
            self.build(variables)
        return grads, variables

    def _check_known(self, variables: Sequence[Variable]) -> None:
        unknown = [v.path for v in variables if v not in self._index]
        if unknown:
            raise ArgumentError(
                f"{self.name} was built for {len(self._index)} variables, which do not include "
                f"{', '.join(map(repr, unknown))}. Compile the model again, or `build` with all variables at first."
            )

    def _usable(self, grads: list[Any], variables: list[Variable]) -> list[tuple[Array, Variable]]:
        """The pairs that have a gradient, as arrays of the variables' shapes and dtypes."""
        without = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
        if without and len(without) == len(variables):
            raise ArgumentError(
                f"{self.name}: no variable has a gradient. Does the loss depend on the model's outputs?"
            )
        if without:
            warn(f"{self.name}: no gradient for {', '.join(without)}; does the loss depend on them?")
        pairs = [(B.convert(g, v.dtype), v) for g, v in zip(grads, variables, strict=True) if g is not None]
        for gradient, variable in pairs:
            if tuple(gradient.shape) != variable.shape:
                raise ShapeError(
                    f"{self.name}: the gradient of {variable.path!r} has shape {tuple(gradient.shape)}, the variable "
                    f"{variable.shape}."
                )
        return pairs

    def _accumulate(self, pairs: list[tuple[Array, Variable]]) -> None:
        """Add the gradients up, and with every n-th call step with their mean."""
        steps = self.gradient_accumulation_steps
        slots = [self._accumulated[self._index[variable]] for _, variable in pairs]
        for (gradient, _), slot in zip(pairs, slots, strict=True):
            slot.assign_add(gradient)

        def step() -> None:
            self._update([(slot.value / steps, variable) for slot, (_, variable) in zip(slots, pairs, strict=True)])
            for slot in slots:
                slot.assign(B.zeros(slot.shape, slot.dtype))

        state = [v for v in self.variables if v is not self._iterations and v is not self._learning_rate]
        assign_if((self._iterations.value + 1) % steps == 0, step, [*state, *(variable for _, variable in pairs)])

    def _update(self, pairs: list[tuple[Array, Variable]]) -> None:
        variables = [variable for _, variable in pairs]
        rate = self.learning_rate
        rate = B.convert(rate.value if isinstance(rate, Variable) else rate, self._scalars)
        grads = self._clip([gradient for gradient, _ in pairs])
        if self.weight_decay:
            for variable in filter(self._decays, variables):
                value = variable.value
                variable.assign(value - value * B.cast(rate * self.weight_decay, variable.dtype))
        self._per_step = []
        try:
            if not self._update_together(grads, variables, rate):
                for gradient, variable in zip(grads, variables, strict=True):
                    self.update_step(gradient, variable, rate)
        finally:
            self._per_step = None
        if self.use_ema:
            self._average(variables)
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable.value))

    def _update_together(self, grads: Sequence[Array], variables: Sequence[Variable], learning_rate: Array) -> bool:
        """Apply the rule to all variables by one kernel; false where the backend has none for it."""
        return False

    def _fused(
        self,
        kernel: Callable[..., list[list[Array]] | None],
        grads: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[Sequence[Variable]],
        *settings: Any,
    ) -> bool:
        """Assign what a kernel makes of the variables and of their slots; false if it is not for these."""
        state = [list(variables), *([slot[self._index[v]] for v in variables] for slot in slots)]
        found = kernel([[v.value for v in part] for part in state], list(grads), *settings)
        for part, values in zip(state, found or (), strict=found is not None):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return found is not None

    def _clip(self, grads: list[Array]) -> list[Array]:
        if self.clipvalue:
            return [B.minimum(B.maximum(g, -self.clipvalue), self.clipvalue) for g in grads]
        if self.clipnorm:
            return [g * B.cast(self.clipnorm / B.maximum(_norm([g]), self.clipnorm), g.dtype) for g in grads]
        if self.global_clipnorm:
            factor = self.global_clipnorm / B.maximum(_norm(grads), self.global_clipnorm)
            return [g * B.cast(factor, g.dtype) for g in grads]
        return grads

    def _average(self, variables: Sequence[Variable]) -> None:
        iterations = self._count()
        momentum = B.where(iterations == 0, 0.0, self.ema_momentum)  # the first average is the value itself
        frequency = self.ema_overwrite_frequency
        for variable in variables:
            slot = self._averages[self._index[variable]]
            value, share = variable.value, B.cast(momentum, variable.dtype)
            average = slot.assign(share * slot.value + (1 - share) * value)
            if frequency:
                variable.assign(B.where((iterations + 1) % frequency == 0, average, value))

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """At the end of training: give the variables their averages, with `use_ema`."""
        if self.use_ema and self.built:
            self._check_known(var_list)
            for variable in var_list:
                variable.assign(self._averages[self._index[variable]].value)

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Array], list[Array]]:
        """One step as a pure function of values: `(trainable_variables, optimizer_variables)` after it."""
        if not self.built:
            raise StateError(f"{self.name}: call `build` with the trainable variables before `stateless_apply`.")
        for what, values, variables in (
            ("optimizer_variables", optimizer_variables, self.variables),
            ("trainable_variables", trainable_variables, self._trainable_variables),
        ):
            if len(values) != len(variables):
                raise ArgumentError(f"{self.name}: {what} should hold {len(variables)} values, got {len(values)}.")
        bound = [
            *zip(self.variables, optimizer_variables, strict=True),
            *zip(self._trainable_variables, trainable_variables, strict=True),
        ]
        with StateScope((variable, B.convert(value)) for variable, value in bound) as scope:
            self.apply(grads)
            return [scope.values[v] for v in self._trainable_variables], [scope.values[v] for v in self.variables]

    # configuration

    def _config_value(self, name: str, value: Any) -> Any:
        if name != "learning_rate":
            return value
        rate = self._learning_rate
        return float(str(rate.numpy())) if isinstance(rate, Variable) else rate  # the shortest name of the float32

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class ScheduledRateError(ArgumentError, TypeError):
    """A number where a schedule decides."""


def _rate(value: Any, kind: str) -> float:
    try:
        rate = float(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{kind}: learning_rate should be a number, a schedule or a function without arguments, got {value!r}."
        ) from error
    within(kind, "[0, inf)", learning_rate=value)
    return rate


def _norm(grads: Sequence[Array]) -> Array:
    """The Euclidean norm of all together, in float32 at least."""
    wide = (B.cast(g, "float64" if "float64" in str(g.dtype) else "float32") for g in grads)
    return B.sqrt(sum(B.sum(g * g) for g in wide))


def assign_if(condition: Array, fn: Callable[[], None], variables: Sequence[Variable]) -> None:
    """Run `fn`, which assigns some of the variables, where the (traced) condition holds."""
    run = functional(fn, variables)
    values = B.cond(
        B.convert(condition, "bool"), lambda old: run(old)[0], lambda old: old, [v.value for v in variables]
    )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
