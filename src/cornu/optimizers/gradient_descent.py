"""Plain descent: the gradient, its momentum, or its sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.core.variable import Variable
from cornu.optimizers.optimizer import Optimizer, Settings


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum $\mu$ if given.

    $m \leftarrow \mu m - \eta g$, $\theta \leftarrow \theta + m$, or $\theta + \mu m - \eta g$ with `nesterov`.
    https://proceedings.mlr.press/v28/sutskever13.html
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "[0, 1]", momentum=momentum)
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            if self.momentum:
                self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        step = gradient * B.cast(learning_rate, variable.dtype)
        if not self.momentum:
            variable.assign(variable.value - step)
            return
        slot = self._momentums[self._index[variable]]
        m = slot.assign(slot.value * self.momentum - step)
        variable.assign(variable.value + (m * self.momentum - step if self.nesterov else m))

    def _update_together(self, grads: Sequence[Array], variables: Sequence[Variable], learning_rate: Array) -> bool:
        slots = [self._momentums] if self.momentum else []
        settings = learning_rate, self.momentum, self.nesterov
        return type(self).update_step is SGD.update_step and self._fused(
            B.fused_sgd, grads, variables, slots, *settings
        )


class Lion(Optimizer):
    r"""The sign of an interpolated momentum; learning rates should be 3 to 10 times smaller than Adam's.

    $\theta \leftarrow \theta - \eta\,\mathrm{sign}(\beta_1 m + (1-\beta_1) g)$,
    $m \leftarrow \beta_2 m + (1-\beta_2) g$.
    https://arxiv.org/abs/2302.06675
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "(0, 1]", beta_1=beta_1)
        within(self, "[0, 1)", beta_2=beta_2)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        slot = self._momentums[self._index[variable]]
        m = slot.value
        direction = B.sign(m * self.beta_1 + gradient * (1 - self.beta_1))
        variable.assign(variable.value - B.cast(learning_rate, variable.dtype) * direction)
        slot.assign(m * self.beta_2 + gradient * (1 - self.beta_2))
