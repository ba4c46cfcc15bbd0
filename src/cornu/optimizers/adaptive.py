"""Rules that scale each coordinate by the sizes of its gradients so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import within
from cornu.core.variable import Variable
from cornu.initializers import Constant
from cornu.optimizers.optimizer import Optimizer, Settings


class Adagrad(Optimizer):
    r"""Rarely seen features learn faster: steps shrink with the sum of the squared gradients.

    $v \leftarrow v + g^2$, $\theta \leftarrow \theta - \eta g / \sqrt{v + \epsilon}$. https://jmlr.org/papers/v12/duchi11a.html
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "[0, inf)", initial_accumulator_value=initial_accumulator_value, epsilon=epsilon)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            initial = Constant(self.initial_accumulator_value)
            self._accumulators = self.add_optimizer_variables(variables, "accumulator", initial)

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        slot = self._accumulators[self._index[variable]]
        v = slot.assign(slot.value + gradient * gradient)
        rate = B.cast(learning_rate, variable.dtype)
        variable.assign(variable.value - rate * gradient * B.rsqrt(v + self.epsilon))


class Adadelta(Optimizer):
    r"""Steps as large as the recent ones relative to the recent gradients.

    $v \leftarrow \rho v + (1-\rho) g^2$, $\Delta = -g \sqrt{(u + \epsilon)/(v + \epsilon)}$,
    $u \leftarrow \rho u + (1-\rho) \Delta^2$, $\theta \leftarrow \theta + \eta \Delta$. The paper has $\eta = 1$.
    https://arxiv.org/abs/1212.5701
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "[0, 1)", rho=rho)
        within(self, "[0, inf)", epsilon=epsilon)
        self.rho, self.epsilon = rho, epsilon

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            names = ("accumulated_grad", "accumulated_delta_var")
            self._gradients, self._deltas = self.add_optimizer_variables(variables, names)

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        index, rho = self._index[variable], self.rho
        gradients, deltas = self._gradients[index], self._deltas[index]
        v = gradients.assign(rho * gradients.value + (1 - rho) * gradient * gradient)
        u = deltas.value
        delta = -gradient * B.sqrt(u + self.epsilon) * B.rsqrt(v + self.epsilon)
        deltas.assign(rho * u + (1 - rho) * delta * delta)
        variable.assign(variable.value + B.cast(learning_rate, variable.dtype) * delta)


class RMSprop(Optimizer):
    r"""$v \leftarrow \rho v + (1-\rho) g^2$, $\theta \leftarrow \theta - \eta g / \sqrt{v + \epsilon}$.

    `centered` divides by the variance, $v - \bar g^2$ with the mean $\bar g$ of the gradients, instead of $v$;
    `momentum` adds a share of the step before.
    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(self, "[0, 1)", rho=rho)
        within(self, "[0, 1]", momentum=momentum)
        within(self, "[0, inf)", epsilon=epsilon)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            self._velocities = self.add_optimizer_variables(variables, "velocity")
            if self.momentum:
                self._momentums = self.add_optimizer_variables(variables, "momentum")
            if self.centered:
                self._means = self.add_optimizer_variables(variables, "average_gradient")

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        index, rho = self._index[variable], self.rho
        velocity = self._velocities[index]
        v = velocity.assign(rho * velocity.value + (1 - rho) * gradient * gradient)
        if self.centered:
            mean = self._means[index].assign(rho * self._means[index].value + (1 - rho) * gradient)
            v = v - mean * mean
        step = B.cast(learning_rate, variable.dtype) * gradient * B.rsqrt(v + self.epsilon)
        if self.momentum:
            step = self._momentums[index].assign(self.momentum * self._momentums[index].value + step)
        variable.assign(variable.value - step)


class Ftrl(Optimizer):
    r"""Follow the regularised leader: sparse linear models by an exact $\ell_1$ penalty.

    $n' = n + g^2$, $z \leftarrow z + g + 2 s \theta - (n'^{-p} - n^{-p}) \theta / \eta$,
    $\theta \leftarrow (\mathrm{clip}(z, -\ell_1, \ell_1) - z) / (n'^{-p} / \eta + 2 \ell_2 + \beta / \eta)$, with
    $p$ the `learning_rate_power` and $s$ the `l2_shrinkage_regularization_strength`. https://research.google/pubs/pub41159
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **kwargs: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        within(
            self,
            "[0, inf)",
            initial_accumulator_value=initial_accumulator_value,
            l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
            l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
            beta=beta,
        )
        within(self, "(-inf, 0]", learning_rate_power=learning_rate_power)
        self.learning_rate_power, self.initial_accumulator_value = learning_rate_power, initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength, self.beta = l2_shrinkage_regularization_strength, beta

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots."""
        if not self.built:
            super().build(variables)
            initial = (Constant(self.initial_accumulator_value), "zeros")
            self._accumulators, self._linears = self.add_optimizer_variables(
                variables, ("accumulator", "linear"), initial
            )

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """The rule."""
        index, rate, w = self._index[variable], B.cast(learning_rate, variable.dtype), variable.value
        accumulator, linear = self._accumulators[index], self._linears[index]
        n = accumulator.value
        total = accumulator.assign(n + gradient * gradient)
        old, new = n**-self.learning_rate_power, total**-self.learning_rate_power
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * w
        z = linear.assign(linear.value + shrunk - (new - old) / rate * w)
        l1 = self.l1_regularization_strength
        curvature = (new + self.beta) / rate + 2 * self.l2_regularization_strength
        variable.assign((B.minimum(B.maximum(z, -l1), l1) - z) / curvature)
