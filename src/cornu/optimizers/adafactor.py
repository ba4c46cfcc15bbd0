"""Adaptive steps in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.core.variable import Variable
from cornu.optimizers.optimizer import Optimizer, Settings


class Adafactor(Optimizer):
    r"""Second moments of matrices kept as the means R of their rows and C of their columns.

    $\hat v = R C / \mathrm{mean}(R)$, $u = g / \sqrt{\hat v}$, divided by $\max(1, \mathrm{rms}(u) / d)$ with d the
    `clip_threshold`; $\theta \leftarrow \theta - \max(\epsilon_2, \mathrm{rms}(\theta)) \rho_t u$, with
    $\rho_t = \min(\eta, 1/\sqrt t)$ if `relative_step`, else $\eta$. The moments decay by $1 - t^{c}$, c the
    `beta_2_decay`. https://arxiv.org/abs/1804.04235
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "[0, inf)", epsilon_1=epsilon_1, epsilon_2=epsilon_2)
        within(self, "(-inf, 0]", beta_2_decay=beta_2_decay)
        within(self, "(0, inf)", clip_threshold=clip_threshold)
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots: rows and columns of matrices, the whole of everything else."""
        if self.built:
            return
        super().build(variables)
        self._moments: list[list[Variable]] = []
        for variable in variables:
            prefix, shape = variable.path.replace("/", "_"), variable.shape
            if len(shape) < 2:
                self._moments.append([self.add_variable_from_reference(variable, "velocity")])
                continue
            sizes = {"rows": shape[:-1], "columns": (*shape[:-2], shape[-1])}
            self._moments.append(
                [self.add_variable(s, dtype=variable.dtype, name=f"{prefix}_{n}") for n, s in sizes.items()]
            )

    def _saved(self) -> list[Any]:
        """With three slots for every variable, of which some are not used: rows, columns, the whole."""
        if not self.built:
            return super()._saved()
        found: list[Any] = self.variables[: len(self.variables) - sum(map(len, self._moments))]
        for variable, slots in zip(self._trainable_variables, self._moments, strict=True):
            zero = np.zeros((), "float32")
            whole = np.broadcast_to(zero, variable.shape)
            found += [zero, zero, *slots] if len(slots) == 1 else [*slots, whole]
        return found

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        t, dtype, w = self._once(self._steps), variable.dtype, variable.value
        rate = B.minimum(learning_rate, B.rsqrt(t)) if self.relative_step else learning_rate
        rate = B.cast(rate, dtype) * B.maximum(_rms(w), self.epsilon_2)
        keep = B.cast(1 - t**self.beta_2_decay, dtype)
        square = gradient * gradient + self.epsilon_1
        slots = self._moments[self._index[variable]]
        if len(slots) == 1:
            factor = B.rsqrt(slots[0].assign(keep * slots[0].value + (1 - keep) * square))
        else:
            r, c = (
                slot.assign(keep * slot.value + (1 - keep) * ops.mean(square, axis))
                for slot, axis in zip(slots, (-1, -2), strict=True)
            )
            factor = B.rsqrt(r / ops.mean(r, -1, keepdims=True))[..., None] * B.rsqrt(c)[..., None, :]
        step = gradient * factor
        variable.assign(w - rate * step / B.maximum(_rms(step) / self.clip_threshold, 1))


def _rms(x: Array) -> Array:
    return B.sqrt(ops.mean(x * x))
