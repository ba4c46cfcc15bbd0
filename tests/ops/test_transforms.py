"""Derivatives, recomputation and compilation: variables and tensors, nested, errors."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

import cornu
from cornu import layers, ops
from cornu.base.errors import ArgumentError, BackendError, DTypeError, ShapeError

POINT = np.array([0.5, -1.5, 2.0], "float32")
ALONG = np.array([1.0, 0.25, -2.0], "float32")


def wave(x):
    return ops.sum(ops.sin(x) * x**2)


def torch_wave(x):
    return (torch.sin(x) * x**2).sum()


def test_derivatives_are_those_of_torch():
    x, t = torch.tensor(POINT), torch.tensor(ALONG)
    value, slope = ops.jvp(wave, [POINT], [ALONG])
    expected = torch.func.jvp(torch_wave, (x,), (t,))
    np.testing.assert_allclose([value, slope], [float(e) for e in expected], rtol=1e-5)
    result, pullback = ops.vjp(ops.sin, POINT)
    np.testing.assert_allclose(result, np.sin(POINT), rtol=1e-6)
    np.testing.assert_allclose(pullback(ALONG)[0], ALONG * np.cos(POINT), rtol=1e-6)
    expected = torch.autograd.functional.hvp(torch_wave, x, t)[1]
    np.testing.assert_allclose(ops.hessian_vector_product(wave, (POINT,), (ALONG,))[0], expected, rtol=1e-5)
    hessian = torch.autograd.functional.hessian(torch_wave, x)
    rows = ops.vectorized_map(lambda row: ops.hessian_vector_product(wave, (POINT,), (row,))[0], ops.eye(3))
    np.testing.assert_allclose(rows, hessian, rtol=1e-5, atol=1e-6)


def test_nested_derivatives():
    def cubed(x):
        return ops.sum(x**3)

    second = ops.grad(lambda x: ops.sum(ops.grad(cubed)(x)))
    third = ops.grad(lambda x: ops.sum(second(x)))
    np.testing.assert_allclose(second(POINT), 6 * POINT, rtol=1e-6)
    np.testing.assert_allclose(ops.jit(third)(POINT), np.full(3, 6.0), rtol=1e-6)
    np.testing.assert_allclose(ops.jvp(ops.grad(cubed), [POINT], [ALONG])[1], 6 * POINT * ALONG, rtol=1e-6)


def test_nests_and_several_primals():
    def loss(a, b):
        return {"loss": ops.sum(a["x"] * a["y"]) * b}

    primals = ({"x": POINT, "y": ALONG}, np.float32(2))
    result, pullback = ops.vjp(loss, *primals)
    gradients = pullback({"loss": 1.0})
    np.testing.assert_allclose(result["loss"], 2 * POINT @ ALONG, rtol=1e-6)
    np.testing.assert_allclose(gradients[0]["x"], 2 * ALONG)
    np.testing.assert_allclose(gradients[0]["y"], 2 * POINT)
    np.testing.assert_allclose(gradients[1], POINT @ ALONG, rtol=1e-6)


def test_by_variables():
    weight, count = cornu.Variable(POINT), cornu.Variable(0.0)

    def loss(w, x):
        count.assign_add(1.0)
        return ops.sum(w**2 * x)

    assert ops.jvp(loss, [weight, ALONG], [ALONG, np.zeros(3)])[1] == pytest.approx(2 * POINT @ ALONG**2, rel=1e-5)
    np.testing.assert_allclose(ops.vjp(loss, weight, ALONG)[1](1.0)[0], 2 * POINT * ALONG, rtol=1e-6)
    np.testing.assert_allclose(
        ops.hessian_vector_product(lambda w: loss(w, ALONG), [weight], [ALONG])[0], 2 * ALONG**2, rtol=1e-6
    )
    (value, aux), (gradient,) = ops.value_and_grad(lambda: (loss(weight, ALONG), "aux"), [weight], has_aux=True)()
    assert (float(value), aux) == (pytest.approx(POINT**2 @ ALONG, rel=1e-5), "aux")
    np.testing.assert_allclose(gradient, 2 * POINT * ALONG, rtol=1e-6)
    assert count.numpy() == 4  # assigned once by each
    np.testing.assert_array_equal(weight.numpy(), POINT)


def test_aux():
    both = ops.vjp(lambda x: (ops.sum(x), {"kept": x}), POINT, has_aux=True)
    np.testing.assert_array_equal(both[2]["kept"], POINT)
    assert ops.jvp(lambda x: (ops.sum(x), 3), [POINT], [ALONG], has_aux=True)[2] == 3
    gradient, aux = ops.grad(lambda x: (ops.sum(x), x), has_aux=True)(POINT)
    np.testing.assert_array_equal(gradient, np.ones(3))
    np.testing.assert_array_equal(aux, POINT)


def test_checkpoint_computes_again():
    weight, calls = cornu.Variable(POINT), []

    def block(x, training):
        calls.append(training)
        weight.assign(weight * 2)
        return ops.sin(x * weight)

    gradient = ops.grad(lambda x: ops.sum(ops.checkpoint(block)(x, training=True)))(ALONG)
    np.testing.assert_allclose(gradient, 2 * POINT * np.cos(2 * POINT * ALONG), rtol=1e-5)
    np.testing.assert_array_equal(weight.numpy(), 2 * POINT)
    assert set(calls) == {True}


def test_checkpoint_of_a_layer():
    dense = layers.Dense(3, activation="tanh")
    dense.build((None, 3))
    x = POINT[None]
    plain, again = (
        ops.grad(lambda call=call: ops.sum(call(x)), dense.trainable_variables)()
        for call in (dense, ops.checkpoint(dense))
    )
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@ops.custom_gradient
def log1pexp(x):
    e = ops.exp(x)

    def gradient(*args, upstream=None):
        return (args[0] if upstream is None else upstream) * (1 - 1 / (1 + e))

    return ops.log(1 + e), gradient


def test_custom_gradient():
    assert ops.grad(log1pexp)(np.float32(100)) == 1
    assert ops.grad(lambda x: ops.log(1 + ops.exp(x)))(np.float32(100)) != 1

    @ops.custom_gradient
    def product(a, b):
        return {"ab": a * b}, lambda upstream: (upstream * 7, ops.zeros_like(b))

    gradients = ops.vjp(lambda a, b: product(a, b), np.float32(2), np.float32(3))[1]({"ab": 1.0})
    assert [float(g) for g in gradients] == [7, 0]


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_custom_gradient_in_derivatives_of_all_kinds(backend):
    """sin by a gradient of its own, whose second argument has none."""

    @ops.custom_gradient
    def waves(x, count):
        return count * ops.sin(x), lambda upstream: (upstream * count * ops.cos(x), None)

    def compiled_before(f):
        program = ops.jit(f)
        return lambda x: (program(x), ops.jvp(program, [x], [x])[1], ops.grad(program)(x))[1]

    kinds = (
        ops.grad,
        compiled_before,
        lambda f: lambda x: ops.jvp(f, [x], [x])[1],
        lambda f: lambda x: ops.hessian_vector_product(f, [x], [x])[0],
        lambda f: ops.grad(lambda x: ops.jvp(f, [x], [x])[1]),
        lambda f: ops.jit(lambda x: ops.jvp(f, [x], [x])[1]),
        lambda f: ops.grad(lambda x: ops.sum(ops.grad(lambda x: ops.sum(ops.grad(f)(x) ** 2))(x) ** 2)),
    )
    with cornu.config.backend_scope(backend):
        x, count = ops.convert_to_tensor(POINT), ops.convert_to_tensor([2.0, 3.0, 1.0])
        for kind in kinds:
            found = kind(lambda x: ops.sum(waves(x, count) ** 3))(x)
            expected = kind(lambda x: ops.sum((count * ops.sin(x)) ** 3))(x)
            np.testing.assert_allclose(
                ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=1e-3, atol=1e-3
            )


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_jit_sees_variables_and_compiles_once_for_each_form(backend):
    with cornu.config.backend_scope(backend):
        weight, traces = cornu.Variable(POINT), []

        @ops.jit
        def step(x, power, *, scale=None):
            traces.append(power)
            weight.assign_add(x)
            return {"sum": ops.sum(weight**power), "scale": scale, "power": power}

        first, second = step(ALONG, 2), step(ALONG, 2)
        np.testing.assert_allclose(first["sum"], np.sum((POINT + ALONG) ** 2), rtol=1e-6)
        np.testing.assert_allclose(second["sum"], np.sum((POINT + 2 * ALONG) ** 2), rtol=1e-6)
        assert (second["scale"], second["power"]) == (None, 2)
        weight.assign(POINT)  # what is assigned outside is seen inside
        np.testing.assert_allclose(step(ALONG, 3)["sum"], np.sum((POINT + ALONG) ** 3), rtol=1e-5)
        if backend == "jax":
            assert traces == [2, 2, 3, 3]  # looked at and compiled, for each power


def test_jit_keeps_no_arrays_of_its_calls():
    square = ops.jit(lambda x, power: {"y": x**power})
    x = ops.array(POINT)
    argument, result = weakref.ref(x), square(x, 2)
    result = weakref.ref(result["y"])
    del x
    gc.collect()
    assert argument() is None
    assert result() is None


def test_jit_of_a_model_follows_its_training():
    model = cornu.Sequential([cornu.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    predict = ops.jit(lambda x: model(x, training=False))
    before = ops.convert_to_numpy(predict(POINT[None]))
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 3)), np.zeros((8, 2)), epochs=2, verbose=0)
    np.testing.assert_allclose(predict(POINT[None]), model(POINT[None]), rtol=1e-5)
    assert not np.allclose(before, predict(POINT[None]))


ERRORS = {
    "not a scalar": (lambda: ops.grad(ops.sin)(POINT), ArgumentError, "should return a scalar, got (3,). Take the sum"),
    "nothing to differentiate by": (
        lambda: ops.grad(wave)(),
        ArgumentError,
        "without the argument to differentiate by",
    ),
    "integers": (lambda: ops.grad(ops.sum)(3), DTypeError, "only floats can be differentiated, got int32"),
    "aux": (lambda: ops.grad(wave, has_aux=True)(POINT), ArgumentError, "should return (result, aux)"),
    "tangents": (lambda: ops.jvp(wave, [POINT], [1.0]), ShapeError, "tangents should have the shapes [(3,)], got [()]"),
    "jvp without lists": (lambda: ops.jvp(wave, POINT, ALONG), ArgumentError, "should be lists or tuples"),
    "vectors": (lambda: ops.hessian_vector_product(wave, [POINT], [1.0]), ShapeError, "vectors should have the shapes"),
    "gradient": (lambda: ops.vjp(ops.sin, POINT)[1](1.0), ShapeError, "the gradient should have the shapes [(3,)]"),
    "custom gradient": (lambda: ops.custom_gradient(ops.sin)(POINT), ArgumentError, "(result, gradient function)"),
    "unhashable": (lambda: ops.jit(lambda x: x)({1}), ArgumentError, "should be hashable, got ['set']"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    call, kind, message = ERRORS[case]
    with pytest.raises(kind) as raised:
        call()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.grad(wave)(POINT),
        lambda: ops.vjp(wave, POINT),
        lambda: ops.jvp(wave, [POINT], [ALONG]),
        lambda: ops.hessian_vector_product(wave, [POINT], [ALONG]),
    ],
)
def test_numpy_says_that_it_has_no_gradients(call):
    with cornu.config.backend_scope("numpy"), pytest.raises(BackendError, match="computes no gradients"):
        call()
