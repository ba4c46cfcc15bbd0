"""Optimizers: a table of rules × settings against Keras, then laws that hold for every one."""

from __future__ import annotations

import re
import warnings
from typing import Any

import keras
import numpy as np
import pytest
import torch

from cornu import constraints, ops, optimizers
from cornu.backend import B
from cornu.base import config
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, CornuError, ShapeError, StateError, UnknownNameError
from cornu.core.state import functional, initialize
from cornu.core.variable import Variable
from tests.backends import spread

rng = np.random.default_rng(0)
KERNEL, BIAS = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=3).astype("float32")
GRADS = [[rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=3).astype("float32")] for _ in range(10)]
NAMES = [n for n in optimizers.__all__ if n[0].isupper() and n not in ("Optimizer", "LossScaleOptimizer")]
FTRL = {
    "l1_regularization_strength": 0.1,
    "l2_regularization_strength": 0.1,
    "l2_shrinkage_regularization_strength": 0.05,
    "beta": 0.3,
}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    *((name, {"learning_rate": 0.05, "weight_decay": 0.1}) for name in NAMES),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"momentum": 0.9, "learning_rate": 0.02}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adam", {"amsgrad": True, "learning_rate": 0.1}),
    ("Adafactor", {"relative_step": False, "learning_rate": 0.1}),
    ("Ftrl", {"learning_rate": 0.1, **FTRL}),
    *(
        (name, {"learning_rate": 0.05, **settings})
        for name in ("SGD", "Adam")
        for settings in (
            {"clipnorm": 0.5},
            {"clipvalue": 0.3},
            {"global_clipnorm": 0.5},
            {"use_ema": True, "ema_momentum": 0.8},
            {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
            {"gradient_accumulation_steps": 3},
            {"gradient_accumulation_steps": 3, "weight_decay": 0.1, "clipnorm": 1.0},
            {"loss_scale_factor": 4.0},
        )
    ),
]


def run(optimizer: Any, make: Any) -> list[Any]:
    """The variables after each of ten steps, and after the end of training."""
    variables = [make(KERNEL.copy()), make(BIAS.copy())]
    path = []
    for grads in GRADS:
        optimizer.apply([np.asarray(g) for g in grads], variables)
        path += [np.asarray(v.numpy()) for v in variables]
    optimizer.finalize_variable_values(variables)
    return path + [np.asarray(v.numpy()) for v in variables]


def close(found: list[Any], expected: list[Any]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_paths_are_those_of_keras(name: str, options: dict[str, Any]) -> None:
    found = run(getattr(optimizers, name)(**options), Variable)
    close(found, run(getattr(keras.optimizers, name)(**options), keras.Variable))


STEPS = [c for c in CASES if "learning_rate" in c[1]]


@pytest.mark.parametrize(
    ("name", "options", "backend"),
    spread(STEPS[::3], ("numpy",), ()) + spread(STEPS, (), ("torch", "tensorflow")),
)
def test_every_backend_steps_like_jax(name: str, options: dict[str, Any], backend: str) -> None:
    found = run(getattr(optimizers, name)(**options), Variable)
    with backend_scope(backend):
        close(run(getattr(optimizers, name)(**options), Variable), found)


@pytest.mark.parametrize(
    ("name", "options", "theirs", "their_options"),
    [
        ("SGD", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
        ("SGD", {"momentum": 0.9, "nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
        ("Adamax", {}, "Adamax", {"eps": 1e-7}),
        ("Adagrad", {"initial_accumulator_value": 0.1}, "Adagrad", {"initial_accumulator_value": 0.1, "eps": 1e-7}),
        ("AdamW", {"weight_decay": 0.1, "epsilon": 1e-10}, "AdamW", {"weight_decay": 0.1, "eps": 1e-10}),
    ],
)
def test_paths_are_those_of_torch(name: str, options: Any, theirs: str, their_options: Any) -> None:
    """Where the rules are the same; the small constants stand at other places and do not matter here."""
    parameters = [torch.tensor(KERNEL, requires_grad=True), torch.tensor(BIAS, requires_grad=True)]
    optimizer = getattr(torch.optim, theirs)(parameters, lr=0.05, **their_options)
    path = []
    for grads in GRADS:
        for parameter, gradient in zip(parameters, grads, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
        path += [p.detach().numpy().copy() for p in parameters]
    found = run(getattr(optimizers, name)(learning_rate=0.05, **options), Variable)[:-2]
    for a, b in zip(found, path, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


TRACED: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("Adam", {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2, "clipnorm": 1.0}),
    ("SGD", {"momentum": 0.5, "weight_decay": 0.1, "global_clipnorm": 1.0}),
    ("LossScaleOptimizer", {}),
]


@pytest.mark.parametrize(
    ("name", "options", "dtype", "backend"),
    [
        *((*case, dtype, "jax") for case in TRACED for dtype in ("float32", "bfloat16", "float16")),
        *spread([(*case, "bfloat16") for case in TRACED], (), ("torch", "tensorflow")),
    ],
    indirect=["backend"],
)
def test_one_trace_and_no_change_of_dtypes(name: str, options: dict[str, Any], dtype: str, backend: str) -> None:
    def make() -> tuple[Any, list[Variable]]:
        variables = [Variable(KERNEL, dtype=dtype), Variable(BIAS, dtype=dtype)]
        if name == "LossScaleOptimizer":
            optimizer: Any = optimizers.LossScaleOptimizer(optimizers.Adam(0.05), initial_scale=1.0)
        else:
            optimizer = getattr(optimizers, name)(learning_rate=0.05, **options)
        optimizer.build(variables)
        return optimizer, variables

    optimizer, variables = make()
    traces = []

    def step(grads: list[Any]) -> None:
        traces.append(1)
        optimizer.apply(grads, variables)

    state = [*optimizer.variables, *variables]
    initialize(state)
    pure = B.compile(functional(step, state))
    values = [v.value for v in state]
    eager, eager_variables = make()
    for i, grads in enumerate(GRADS[:4]):
        if i == 2:
            eager.learning_rate = 0.01
            values[[v is optimizer.learning_rate for v in state].index(True)] = B.convert(0.01, "float32")
        grads = [B.convert(g, dtype) for g in grads]
        values, _ = pure(values, grads)
        eager.apply(grads, eager_variables)
    assert len(traces) == 1
    assert [ops.dtype(value) for value in values] == [v.dtype for v in state]
    assert {v.dtype for v in optimizer.variables} <= {"int32", "float32", dtype}
    tolerance = 1e-5 if dtype == "float32" else 3e-2
    for a, b in zip(values[-2:], eager_variables, strict=True):
        np.testing.assert_allclose(
            B.to_numpy(a).astype("float32"), b.numpy().astype("float32"), rtol=tolerance, atol=tolerance
        )


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", NAMES)
def test_stateless_apply(name: str) -> None:
    optimizer, variables = getattr(optimizers, name)(), [Variable(KERNEL), Variable(BIAS)]
    with pytest.raises(StateError, match="call `build`"):
        optimizer.stateless_apply([], GRADS[0], variables)
    optimizer.build(variables)
    new, state = optimizer.stateless_apply([v.value for v in optimizer.variables], GRADS[0], variables)
    np.testing.assert_array_equal(variables[0].numpy(), KERNEL)
    assert int(optimizer.iterations) == 0
    optimizer.apply(GRADS[0])
    for variable, value in zip([*variables, *optimizer.variables], [*new, *state], strict=True):
        np.testing.assert_allclose(variable.numpy(), np.asarray(value), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_configurations_go_round(name: str) -> None:
    original = getattr(optimizers, name)(learning_rate=0.03, clipnorm=1.0, use_ema=True, name="mine")
    original.learning_rate = 0.02
    data = optimizers.serialize(original)
    assert (data["module"], data["class_name"]) == ("keras.optimizers", name)
    assert data["config"]["learning_rate"] == 0.02
    again = optimizers.deserialize(data)
    assert type(again) is type(original)
    assert again.get_config() == original.get_config()
    if name == "Lamb":
        return  # Keras 3.15.1 cannot load its own configuration of it
    theirs = keras.optimizers.deserialize(data).get_config()
    assert {k: pytest.approx(v) if isinstance(v, float) else v for k, v in theirs.items()} == data["config"]


def test_schedules_in_configurations() -> None:
    original = optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 5, 0.9))
    again = optimizers.SGD.from_config(original.get_config())
    assert isinstance(again._learning_rate, optimizers.schedules.ExponentialDecay)
    with pytest.raises(TypeError, match="its learning rate is a schedule and cannot be set"):
        again.learning_rate = 0.1
    again.learning_rate = optimizers.schedules.CosineDecay(0.3, 5)
    assert float(again.learning_rate) == pytest.approx(0.3)


def test_variables_are_named_and_ordered() -> None:
    optimizer = optimizers.Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2, name="adam")
    optimizer.build([Variable(KERNEL, name="k"), Variable(BIAS, name="b")])
    theirs = keras.optimizers.Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2, name="adam")
    theirs.build([keras.Variable(KERNEL, name="k"), keras.Variable(BIAS, name="b")])
    assert [v.path for v in optimizer.variables] == [v.path for v in theirs.variables]


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    for alias in (name, name.lower()):
        assert type(optimizers.get(alias)) is getattr(optimizers, name)
    assert isinstance(optimizers.get({"class_name": name, "config": {"learning_rate": 0.5}}), optimizers.Optimizer)


@pytest.mark.usefixtures("backend")
def test_constraints_follow_the_update() -> None:
    variable = Variable(np.zeros(3, "float32"))
    variable.constraint = constraints.NonNeg()
    optimizers.SGD(1.0).apply([np.array([1.0, -1.0, 2.0], "float32")], [variable])
    assert variable.numpy().tolist() == [0, 1, 0]


@pytest.mark.usefixtures("backend")
def test_some_variables_do_not_decay() -> None:
    first, second, third = (Variable(np.ones(2, "float32"), name=name) for name in ("kernel", "bias", "scale"))
    optimizer = optimizers.SGD(0.5, weight_decay=0.2)
    optimizer.exclude_from_weight_decay([third], ["bias"])
    optimizer.apply([np.zeros(2, "float32")] * 3, [first, second, third])
    assert [v.numpy()[0] for v in (first, second, third)] == pytest.approx([0.9, 1, 1])
    with pytest.raises(StateError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay([first])


@pytest.mark.usefixtures("backend")
def test_overwriting_gradients() -> None:
    variable, other = Variable(np.ones(2, "float32")), Variable(np.ones(2, "float32"))
    variable.overwrite_with_gradient = True
    optimizers.SGD(0.1).apply([np.array([5.0, 6.0], "float32"), np.ones(2, "float32")], [variable, other])
    assert variable.numpy().tolist() == [5, 6]
    assert other.numpy().tolist() == pytest.approx([0.9, 0.9])


@pytest.mark.usefixtures("backend")
def test_own_rule_in_keras_manner() -> None:
    class Own(optimizers.Optimizer):
        def __init__(self, learning_rate: float = 0.1, momentum: float = 0.5, name: str = "own", **kwargs: Any) -> None:
            super().__init__(learning_rate=learning_rate, name=name, **kwargs)
            self.momentum = momentum

        def build(self, variables: Any) -> None:
            if self.built:
                return
            super().build(variables)
            self.slots = [self.add_variable_from_reference(v, name="m") for v in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            slot = self.slots[self._get_variable_index(variable)]
            rate = ops.cast(learning_rate, variable.dtype)
            self.assign(slot, ops.subtract(ops.multiply(slot, self.momentum), ops.multiply(gradient, rate)))
            self.assign_add(variable, slot)

    close(run(Own(0.1), Variable), run(optimizers.SGD(0.1, 0.5), Variable))
    assert Own.from_config(Own(0.2, clipnorm=1.0).get_config()).get_config()["momentum"] == 0.5


@pytest.mark.usefixtures("backend")
def test_averages_are_of_updates_not_of_accumulating_calls() -> None:
    variable = Variable(np.zeros(1, "float32"))
    ema = {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 2}
    optimizer = optimizers.SGD(1.0, gradient_accumulation_steps=4, **ema)  # type: ignore[arg-type]
    path = []
    for _ in range(16):
        optimizer.apply([np.ones(1, "float32")], [variable])
        path.append(float(variable.numpy()[0]))
    assert path == pytest.approx([0] * 3 + [-1] * 4 + [-1.4] * 4 + [-2.4] * 4 + [-2.44])  # Keras: -2.04 from the 13th
    optimizer.finalize_variable_values([variable])
    assert variable.numpy()[0] == pytest.approx(-2.44)


@pytest.mark.parametrize("backend", ["torch", "tensorflow", "numpy"], indirect=True)
def test_norms_in_float64(backend: str) -> None:
    variable = Variable(np.zeros(2), dtype="float64")
    optimizers.SGD(1.0, clipnorm=1.0).apply([np.full(2, 1e30)], [variable])  # whose squares float32 does not hold
    np.testing.assert_allclose(variable.numpy(), [-(0.5**0.5)] * 2)


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_steps_in_float64(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.settings, "floatx", "float64")
    for name in NAMES:
        for rate in (0.01, optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)):
            found = []
            for where in (backend, "numpy"):
                with backend_scope(where):
                    optimizer, variable = (
                        getattr(optimizers, name)(rate, weight_decay=0.1),
                        Variable(KERNEL, dtype="float64"),
                    )
                    for gradients in GRADS[:2]:
                        optimizer.apply([gradients[0].astype("float64")], [variable])
                    found.append(variable.numpy())
            assert found[0].dtype == "float64"
            np.testing.assert_allclose(found[0], found[1], rtol=1e-7)  # schedules compute in float32


def test_learning_rate_as_a_function() -> None:
    rates = iter([0.1, 0.01])
    variable = Variable(np.zeros(1, "float32"))
    optimizer = optimizers.SGD(lambda: next(rates))
    for _ in range(2):
        optimizer.apply_gradients([(np.ones(1, "float32"), variable)])
    assert variable.numpy()[0] == pytest.approx(-0.11)


def test_older_arguments() -> None:
    with pytest.warns(UserWarning, match="`lr` is now called `learning_rate`"):
        assert float(optimizers.SGD(lr=0.5).learning_rate) == 0.5
    with pytest.warns(UserWarning, match=r"InverseTimeDecay\(0\.5, 1, 0\.1\)"):
        optimizer = optimizers.SGD(0.5, decay=0.1)
    optimizer.apply([BIAS], [Variable(BIAS)])
    assert float(optimizer.learning_rate) == pytest.approx(0.5 / 1.1)


def test_arguments_by_position() -> None:
    assert optimizers.Adam(0.1, 0.8, 0.9, 1e-5, True, 0.01, 2.0).clipnorm == 2.0


@pytest.mark.usefixtures("backend")
def test_loss_scale_follows_overflow() -> None:
    variable = Variable(np.zeros(2, "float32"))
    ours = optimizers.LossScaleOptimizer(optimizers.SGD(1.0), initial_scale=8.0, dynamic_growth_steps=2)
    steps = [(1.0, 8), (2.0, 16), (np.inf, 8), (1.0, 8), (np.nan, 4), (3.0, 4), (1.0, 8), (1.0, 8)]  # gradient, scale
    scale, total = 8.0, 0.0
    for value, scale_after in steps:
        ours.apply([np.array([value, 1.0], "float32")], [variable])
        total += value / scale if np.isfinite(value) else 0
        scale = scale_after
        assert float(ours.dynamic_scale) == scale_after
        assert variable.numpy()[0] == pytest.approx(-total)
    assert int(ours.iterations) == 6
    assert float(ours.scale_loss(2.0)) == 2 * float(ours.dynamic_scale)
    assert optimizers.LossScaleOptimizer.from_config(ours.get_config()).initial_scale == 8.0


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", NAMES)
def test_state_can_be_stored(name: str) -> None:
    first, second = getattr(optimizers, name)(0.1), getattr(optimizers, name)(0.5)
    variables = [Variable(KERNEL), Variable(BIAS)]
    first.apply(GRADS[0], variables)
    store: dict[str, Any] = {}
    first.save_own_variables(store)
    second.build(variables)
    second.load_own_variables(store)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(first.variables, second.variables, strict=True))
    with pytest.raises(ArgumentError, match="the file holds 1"):
        second.load_own_variables({"0": 1})


@pytest.mark.usefixtures("backend")
def test_scaled_gradients_beyond_float16() -> None:
    variable = Variable(np.ones(3), dtype="float16")
    ours = optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=2.0**17)
    ours.apply([np.full(3, 6e4, "float16")], [variable])
    np.testing.assert_allclose(variable.numpy(), 0.954, atol=1e-3)


@pytest.mark.usefixtures("backend")
def test_scaled_steps_are_the_inner_optimizers() -> None:
    settings = {"clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.8, "weight_decay": 0.1}
    plain, inner = (optimizers.SGD(0.1, gradient_accumulation_steps=2, **settings) for _ in range(2))  # type: ignore[arg-type]
    ours = optimizers.LossScaleOptimizer(inner, initial_scale=8.0, dynamic_growth_steps=100)
    (a, b), (c, d) = ([Variable(KERNEL), Variable(BIAS, name="undecayed")] for _ in range(2))
    for optimizer in (plain, ours):
        optimizer.exclude_from_weight_decay(var_names=["undecayed"])
    for step, grads in enumerate(GRADS[:6]):
        scale = float(ours.dynamic_scale)
        if step == 3:  # an overflow skips the call: nothing is accumulated, decayed or averaged
            ours.apply([np.full_like(g, np.inf) for g in grads], [c, d])
            scale /= 2
        plain.apply(grads, [a, b])
        ours.apply([g * scale for g in grads], [c, d])
        close([c.numpy(), d.numpy()], [a.numpy(), b.numpy()])
    plain.finalize_variable_values([a, b])
    ours.finalize_variable_values([c, d])
    close([c.numpy(), d.numpy()], [a.numpy(), b.numpy()])
    assert int(ours.iterations) == int(plain.iterations) == 3


@pytest.mark.usefixtures("backend")
def test_loss_scale_leaves_overwriting_gradients() -> None:
    variable = Variable(np.zeros(2, "float32"))
    variable.overwrite_with_gradient = True
    optimizers.LossScaleOptimizer(optimizers.SGD(), 8.0).apply([np.ones(2, "float32")], [variable])
    assert variable.numpy().tolist() == [1, 1]


def test_loss_scale_configurations_of_keras() -> None:
    theirs = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), weight_decay=None, use_ema=False)
    ours = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert ours.get_config()["initial_scale"] == 2**15


V = Variable(BIAS, name="bias")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optimizers.get("adma"), UnknownNameError, "Did you mean 'adam"),
        (lambda: optimizers.get("rmsprob"), UnknownNameError, "Did you mean 'rmsprop'"),
        (lambda: optimizers.get(np.tanh), ArgumentError, "An optimizer should be a name such as 'adam'"),
        (lambda: optimizers.Adam(learning_rat=1), ArgumentError, "Did you mean 'learning_rate'"),
        (lambda: optimizers.Adam("fast"), ArgumentError, "learning_rate should be a number"),
        (
            lambda: optimizers.Adam(-1.0),
            ArgumentError,
            "learning_rate should be a finite .* at least 0, got -1.0",
        ),
        (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), ArgumentError, "at most one of clipnorm"),
        (
            lambda: optimizers.Adam(use_ema=True, ema_momentum=2.0),
            ArgumentError,
            r"ema_momentum should be a number within \[0, 1\], got 2.0",
        ),
        (lambda: optimizers.Adam(gradient_accumulation_steps=1), ArgumentError, "int of at least 2"),
        (lambda: optimizers.SGD(momentum=2.0), ArgumentError, r"momentum should be a number within \[0, 1\]"),
        (lambda: optimizers.SGD().apply([BIAS]), StateError, "pass `trainable_variables`"),
        (lambda: optimizers.SGD().apply([BIAS], [V, V]), ArgumentError, "1 gradients for 2 variables"),
        (lambda: optimizers.SGD().apply([None], [V]), ArgumentError, "no variable has a gradient"),
        (lambda: optimizers.SGD().apply([KERNEL], [V]), ShapeError, r"gradient of 'bias' has shape \(4, 3\)"),
        (lambda: optimizers.SGD().set_weights([]), StateError, "build the optimizer"),
        (lambda: optimizers.LossScaleOptimizer("adam"), ArgumentError, "wraps another kind of optimizer"),
        *(
            (lambda x=x: optimizers.LossScaleOptimizer(optimizers.SGD(), **x), ArgumentError, f"SGD\\({next(iter(x))}=")  # type: ignore[misc]
            for x in (
                {"clipnorm": 1.0},
                {"clipvalue": 1.0},
                {"global_clipnorm": 1.0},
                {"use_ema": True},
                {"weight_decay": 0.1},
                {"gradient_accumulation_steps": 2},
                {"loss_scale_factor": 2.0},
            )
        ),
        (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), 0), ArgumentError, "initial_scale should be a fin"),
        (
            lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), 2.0, 1.5),
            ArgumentError,
            "growth_steps should be a p",
        ),
        (lambda: optimizers.LossScaleOptimizer(optimizers.SGD()).apply([BIAS], [V, V]), ArgumentError, "1 gradients"),
        (lambda: optimizers.Optimizer(0.1).apply([BIAS], [V]), NotImplementedError, "should define `update_step"),
    ],
)
def test_errors(call: Any, error: type[CornuError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("names", "argument", "values"),
    [
        ("Adam AdamW Adamax Nadam Lamb Lion", "beta_2", [1, -0.1, "a", True, None]),
        ("Adam AdamW Adamax Nadam Lamb", "beta_1", [1.0, -0.1, "0.9", float("nan")]),
        ("Lion", "beta_1", [0, 1.5, "a"]),
        ("RMSprop Adadelta", "rho", [1, -0.1, "a"]),
        ("Adam AdamW Adamax Nadam Lamb RMSprop Adadelta Adagrad", "epsilon", [-1e-7, "a", None]),
        ("SGD RMSprop", "momentum", [-0.1, 1.1, "a"]),
        ("Adagrad Ftrl", "initial_accumulator_value", [-0.1, "a"]),
        ("Ftrl", "learning_rate_power", [0.1, "a"]),
        ("Adafactor", "clip_threshold", [0, "a"]),
        ("SGD Adam", "weight_decay", [-0.1, "a"]),
        ("SGD", "loss_scale_factor", [0, -1, "a"]),
        ("SGD", "clipnorm", [0, -1, float("inf"), "a"]),
        ("SGD", "clipvalue", [float("inf"), float("nan")]),
        ("SGD", "learning_rate", [True, float("inf"), float("nan"), -1e-9, "0.1", None, [0.1, 0.2]]),
        ("SGD", "use_ema", [1, "yes", None]),
        ("SGD", "name", [3, True]),
        ("SGD", "gradient_accumulation_steps", [True, 2.0, "a"]),
    ],
)
def test_settings_out_of_bounds(names: str, argument: str, values: list[Any]) -> None:
    for name in names.split():
        for value in values:
            with pytest.raises(ArgumentError, match=rf"{name}: {argument} should be .*, got {re.escape(repr(value))}"):
                getattr(optimizers, name)(**{argument: value})


def test_settings_at_their_bounds() -> None:
    optimizers.Adam(np.float32(0.1), beta_1=0, beta_2=np.float64(0.5), epsilon=0, weight_decay=0, clipnorm=np.int64(1))
    optimizers.Adam(np.array(0.0), weight_decay=None, gradient_accumulation_steps=np.int64(2))
    optimizers.RMSprop(rho=0, momentum=1)
    optimizers.Lion(beta_1=1.0)
    optimizers.Adam(ops.array(0.1), loss_scale_factor=1)


def test_unknown_variables_and_missing_gradients() -> None:
    optimizer, known = optimizers.SGD(), Variable(BIAS)
    optimizer.build([known])
    with pytest.raises(ArgumentError, match=r"was built for 1 variables, which do not include 'stranger'"):
        optimizer.apply([BIAS], [Variable(BIAS, name="stranger")])
    with pytest.warns(UserWarning, match="no gradient for bias"):
        optimizers.SGD().apply([None, BIAS], [V, known])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.apply([BIAS], [known])
