"""Adam and its kin: bias-corrected averages of the gradient, scaled by the size of the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.core.variable import Variable
from cornu.optimizers.optimizer import Optimizer, Settings


class _Moments(Optimizer):
    """Rules over the running means m of the gradient and v of its square."""

    _slots: tuple[str, str] = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "[0, 1)", beta_1=beta_1, beta_2=beta_2)
        within(self, "[0, inf)", epsilon=epsilon)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            self._momentums, self._velocities = self.add_optimizer_variables(variables, self._slots)

    def _moments(self, gradient: Array, variable: Variable) -> tuple[Array, Array]:
        """Both means after this gradient."""
        momentum, velocity = (slots[self._index[variable]] for slots in (self._momentums, self._velocities))
        m, v = momentum.value, velocity.value
        m = momentum.assign(m + (gradient - m) * (1 - self.beta_1))
        return m, velocity.assign(v + (gradient * gradient - v) * (1 - self.beta_2))

    def _corrections(self) -> tuple[Array, Array]:
        """What the means have to be divided by, because they began at 0."""
        t = self._steps()
        return 1 - self.beta_1**t, 1 - self.beta_2**t


class Adam(_Moments):
    r"""Steps along the mean gradient, each coordinate scaled by its root mean square.

    $m \leftarrow \beta_1 m + (1-\beta_1) g$, $v \leftarrow \beta_2 v + (1-\beta_2) g^2$,
    $\theta \leftarrow \theta - \eta \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t} \frac{m}{\sqrt{v} + \epsilon}$.
    `amsgrad` takes the largest $v$ so far. https://arxiv.org/abs/1412.6980, https://openreview.net/forum?id=ryQu7f-RZ
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)
        self.amsgrad = amsgrad

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            if self.amsgrad:
                self._largest = self.add_optimizer_variables(variables, "velocity_hat")

    def _correction(self) -> Array:
        first, second = self._corrections()
        return B.sqrt(second) / first

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        m, v = self._moments(gradient, variable)
        if self.amsgrad:
            slot = self._largest[self._index[variable]]
            v = slot.assign(B.maximum(slot.value, v))
        rate = B.cast(learning_rate * self._once(self._correction), variable.dtype)
        variable.assign(variable.value - rate * m / (B.sqrt(v) + self.epsilon))

    def _update_together(self, grads: Sequence[Array], variables: Sequence[Variable], learning_rate: Array) -> bool:
        slots = [self._momentums, self._velocities, *([self._largest] if self.amsgrad else [])]
        rate = learning_rate * self._once(self._correction)
        settings = rate, self.beta_1, self.beta_2, self.epsilon
        return type(self).update_step is Adam.update_step and self._fused(
            B.fused_adam, grads, variables, slots, *settings
        )


class AdamW(Adam):
    """Adam with weight decay apart from the gradient's adaptive scale. https://arxiv.org/abs/1711.05101"""

    def __init__(  # type: ignore[misc]  # weight_decay stands among its own arguments
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)


class Adamax(_Moments):
    r"""Adam by the largest instead of the mean size of the gradients.

    $u \leftarrow \max(\beta_2 u, |g|)$, $\theta \leftarrow \theta - \frac{\eta}{1-\beta_1^t} \frac{m}{u + \epsilon}$.
    https://arxiv.org/abs/1412.6980, section 7.1
    """

    _slots = ("momentum", "norm")

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        momentum, norm = (slots[self._index[variable]] for slots in (self._momentums, self._velocities))
        m = momentum.assign(momentum.value + (gradient - momentum.value) * (1 - self.beta_1))
        u = norm.assign(B.maximum(self.beta_2 * norm.value, B.abs(gradient)))
        rate = B.cast(learning_rate / self._once(self._corrections)[0], variable.dtype)
        variable.assign(variable.value - rate * m / (u + self.epsilon))


class Nadam(_Moments):
    r"""Adam with Nesterov's momentum, whose strength $\mu_t = \beta_1 (1 - 0.5 \cdot 0.96^t)$ grows with the steps.

    $\hat m = \frac{\mu_{t+1} m}{1 - \prod_1^{t+1} \mu} + \frac{(1 - \mu_t) g}{1 - \prod_1^t \mu}$,
    $\theta \leftarrow \theta - \eta \hat m / (\sqrt{v / (1-\beta_2^t)} + \epsilon)$.
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            self._product = self.add_variable((), "ones", self._scalars, name="momentum_product")

    def _factors(self) -> tuple[Array, Array, Array]:
        t = self._steps()
        now, following = (self.beta_1 * (1 - 0.5 * 0.96**step) for step in (t, t + 1))
        product = self._product.assign(self._product.value * now)
        return following / (1 - product * following), (1 - now) / (1 - product), self._corrections()[1]

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        of_mean, of_gradient, second = (B.cast(factor, variable.dtype) for factor in self._once(self._factors))
        m, v = self._moments(gradient, variable)
        step = (of_mean * m + of_gradient * gradient) / (B.sqrt(v / second) + self.epsilon)
        variable.assign(variable.value - B.cast(learning_rate, variable.dtype) * step)


class Lamb(_Moments):
    r"""Adam's step $r = \hat m / (\sqrt{\hat v} + \epsilon)$, made as long as the variable itself.

    $\theta \leftarrow \theta - \eta \frac{\lVert\theta\rVert}{\lVert r\rVert} r$, for each variable by itself.
    For large batches. https://arxiv.org/abs/1904.00962
    """

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        first, second = (B.cast(factor, variable.dtype) for factor in self._once(self._corrections))
        m, v = self._moments(gradient, variable)
        step, w = m / first / (B.sqrt(v / second) + self.epsilon), variable.value
        size, length = B.sqrt(B.sum(w * w)), B.sqrt(B.sum(step * step))
        ratio = B.where(B.logical_and(size > 0, length > 0), size / B.where(length > 0, length, 1), 1)
        variable.assign(w - B.cast(learning_rate, variable.dtype) * ratio * step)
