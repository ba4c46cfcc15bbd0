"""Learning rates as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.base.errors import ArgumentError, warn
from cornu.core.configurable import Configurable
from cornu.core.lookup import Family
from cornu.core.variable import Variable

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule(Configurable):
    """Base of schedules: derive from it and define `__call__(step)`, the learning rate of a step counted from 0.

    `step` is an integer tensor, perhaps of a trace: choose with `cornu.ops.where`, not with `if`.
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate of the step, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} should define `__call__(step)`.")


def _float(step: Any) -> Array:
    return B.convert(step.value if isinstance(step, Variable) else step, "float32")


class ExponentialDecay(LearningRateSchedule):
    """initial · decay_rate^(step / decay_steps); with `staircase` the quotient is rounded down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        within(self, "[0, inf)", initial_learning_rate=initial_learning_rate, decay_rate=decay_rate)
        within(self, "(0, inf)", decay_steps=decay_steps)
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> Array:
        """The learning rate of the step."""
        time = _float(step) / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (B.floor(time) if self.staircase else time)


class InverseTimeDecay(LearningRateSchedule):
    """initial / (1 + decay_rate · step / decay_steps); with `staircase` the quotient is rounded down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        within(self, "[0, inf)", initial_learning_rate=initial_learning_rate, decay_rate=decay_rate)
        within(self, "(0, inf)", decay_steps=decay_steps)
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> Array:
        """The learning rate of the step."""
        time = _float(step) / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (B.floor(time) if self.staircase else time))


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]` for steps up to and including `boundaries[i]`, the last value beyond them all."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise ArgumentError(
                f"PiecewiseConstantDecay needs one value more than boundaries, got {len(boundaries)} boundaries and "
                f"{len(values)} values."
            )
        for before, boundary in zip(["-inf", *boundaries], boundaries, strict=False):
            within(self, f"({before}, inf)", boundaries=boundary)
        within(self, "[0, inf)", **{f"values[{i}]": value for i, value in enumerate(values)})
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: Any) -> Array:
        """The learning rate of the step."""
        step, rate = _float(step), B.convert(float(self.values[-1]))
        for boundary, value in zip(self.boundaries[::-1], self.values[-2::-1], strict=True):
            rate = B.where(step <= boundary, value, rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """(initial - end) · (1 - step / decay_steps)^power + end, and `end` afterwards.

    With `cycle`, `decay_steps` grows to its next multiple each time it is passed.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        within(self, "[0, inf)", initial_learning_rate=initial_learning_rate, end_learning_rate=end_learning_rate)
        within(self, "[0, inf)", power=power)
        within(self, "(0, inf)", decay_steps=decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.cycle, self.name = end_learning_rate, power, cycle, name

    def __call__(self, step: Any) -> Array:
        """The learning rate of the step."""
        time = _float(step) / self.decay_steps
        time = time / B.maximum(B.ceil(time), 1) if self.cycle else B.minimum(time, 1)
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - time) ** self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the initial rate down to `alpha` times it, in `decay_steps`.

    With `warmup_target` the rate first rises evenly from the initial one to it, in `warmup_steps`, and falls from
    there. https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        within(self, "[0, inf)", initial_learning_rate=initial_learning_rate, alpha=alpha, warmup_steps=warmup_steps)
        within(self, "[0, inf)", True, warmup_target=warmup_target)
        within(self, "(0, inf)", decay_steps=decay_steps)
        if warmup_steps and warmup_target is None:
            warn(f"CosineDecay: warmup_steps={warmup_steps!r} do nothing without a warmup_target, the rate to rise to.")
        self.initial_learning_rate, self.decay_steps, self.alpha = initial_learning_rate, decay_steps, alpha
        self.warmup_target, self.warmup_steps, self.name = warmup_target, warmup_steps, name

    def __call__(self, step: Any) -> Array:
        """The learning rate of the step."""
        step, low = _float(step), self.initial_learning_rate
        if self.warmup_target is None:
            return low * _cosine(step / self.decay_steps, self.alpha)
        rising = low + (self.warmup_target - low) * step / max(self.warmup_steps, 1)
        falling = self.warmup_target * _cosine((step - self.warmup_steps) / self.decay_steps, self.alpha)
        return B.where(step < self.warmup_steps, rising, falling)


def _cosine(time: Array, alpha: float) -> Array:
    """From 1 at time 0 down to alpha at time 1."""
    return alpha + (1 - alpha) * 0.5 * (1 + B.cos(math.pi * B.minimum(time, 1)))


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine waves down to `alpha` that begin anew, each `t_mul` times as long and `m_mul` times as high.

    https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        within(self, "[0, inf)", initial_learning_rate=initial_learning_rate, m_mul=m_mul, alpha=alpha)
        within(self, "(0, inf)", first_decay_steps=first_decay_steps, t_mul=t_mul)
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: Any) -> Array:
        """The learning rate of the step."""
        time, t = _float(step) / self.first_decay_steps, self.t_mul
        if t == 1:
            restarts = B.floor(time)
            time = time - restarts
        else:  # the k-th wave begins at (tᵏ - 1) / (t - 1) and lasts tᵏ
            restarts = B.floor(B.log(1 - time * (1 - t)) / math.log(t))
            time = (time - (1 - t**restarts) / (1 - t)) / t**restarts
        return self.initial_learning_rate * (self.alpha + (1 - self.alpha) * self.m_mul**restarts * _cosine(time, 0.0))


_family = Family("schedule", {name: globals()[name] for name in __all__ if name[0].isupper()})


def serialize(learning_rate_schedule: Any) -> Any:
    """The learning rate schedule as plain data."""
    return _family.serialize(learning_rate_schedule)


deserialize = _family.deserialize
