"""Variables and the state scope."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest

import cornu
from cornu import ops
from cornu.backend import B
from cornu.base import config
from cornu.base.errors import ArgumentError, BackendMismatchError, DTypeError, ShapeError, StateError
from cornu.core.context import autocast
from cornu.core.state import StateScope, functional, value_and_grad
from cornu.core.variable import Variable, initialize

BACKENDS = ["jax", "numpy"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    with config.backend_scope(request.param):
        yield request.param


def test_values_in_and_out(backend):
    v = Variable(np.arange(6.0).reshape(2, 3), name="v")
    assert (v.shape, v.dtype, v.ndim, v.path, v.backend) == ((2, 3), v.dtype, 2, "v", backend)
    v.assign(np.ones((2, 3)))
    v.assign_add(2)
    v.assign_sub(Variable(np.ones((2, 3))))
    assert np.array_equal(v.numpy(), 2 * np.ones((2, 3)))
    assert len(v) == 2
    assert [row.shape for row in v] == [(3,), (3,)]
    assert float(Variable(2.5)) == 2.5
    assert int(Variable(3)) == 3
    assert np.asarray(v, "int8").dtype == "int8"


def test_operators_follow_arrays(backend):
    a, b = np.array([[1.0, 2], [3, 4]], "float32"), np.array([[5.0, 6], [7, 8]], "float32")
    v = Variable(a)
    for expression in (
        lambda x: x + b, lambda x: b - x, lambda x: x * 2, lambda x: 2 / x, lambda x: x // 2, lambda x: x**2,
        lambda x: x @ b, lambda x: b @ x, lambda x: -x, lambda x: abs(x - 3), lambda x: x % 2, lambda x: x < b,
        lambda x: x >= 2, lambda x: x[0], lambda x: x[:, 1],
    ):  # fmt: skip
        np.testing.assert_allclose(np.asarray(expression(v)), np.asarray(expression(a)), rtol=1e-6)


def test_values_that_are_no_numbers(backend):
    v = Variable(np.ones(2), name="v")
    for wrong in (np.array(["a", "b"]), np.array([1, "b"], object), [[1], [1, 2]]):
        with pytest.raises(DTypeError, match=r"Variable 'v' needs numbers of shape \(2,\), got"):
            v.assign(wrong)
    v.assign(np.array([1, 2.5], object))
    assert v.numpy().tolist() == [1, 2.5]


def test_lazy_until_needed(backend):
    calls = []

    def initializer(shape, dtype):
        calls.append(shape)
        return B.zeros(shape, dtype)

    v = Variable(initializer, (2, 2))
    assert not calls
    assert "not initialised" in repr(v)
    assert v.value.shape == (2, 2)
    assert v.numpy().sum() == 0
    assert calls == [(2, 2)]


def test_many_parameters_start_fast():
    sizes = [(512, 512, 3, 3)] * 10 + [(512,)] * 20  # 24 million
    variables = [Variable("glorot_uniform", size) for size in sizes]
    began = time.perf_counter()
    initialize(variables)
    assert time.perf_counter() - began < 5  # a fraction of a second on an idle machine
    assert not np.array_equal(variables[0].numpy(), variables[1].numpy())


def test_same_seed_same_values_on_every_backend():
    values = []
    for name in BACKENDS:
        cornu.utils.set_random_seed(5)
        with config.backend_scope(name):
            late = [Variable("he_normal", (3, 4)), Variable("orthogonal", (4, 4)), Variable("uniform", (2,))]
            values.append([v.numpy() for v in reversed(late)][::-1])  # the order of use does not matter
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors():
    with pytest.raises(ShapeError, match=r"'v' has shape \(2,\); a value of shape \(3,\) does not fit"):
        Variable(np.zeros(2), name="v").assign(np.zeros(3))
    with pytest.raises(ArgumentError, match="needs the argument `shape`"):
        Variable("zeros")
    with pytest.raises(ShapeError, match="every size must be known"):
        Variable("zeros", (None, 2))
    with pytest.raises(ArgumentError, match="without '/'"):
        Variable(0.0, name="a/b")
    with pytest.raises(ArgumentError, match="no argument 'foo'"):
        Variable(0.0, foo=1)
    with pytest.raises(ShapeError, match=r"returned shape \(3,\), expected \(2,\)"):
        Variable(lambda shape, dtype: B.zeros((3,), dtype), (2,)).numpy()
    with config.backend_scope("numpy"):
        v = Variable(np.zeros(2), name="w")
    with pytest.raises(BackendMismatchError, match="'w' belongs to the backend 'numpy', the current one is 'jax'"):
        v + 1
    with pytest.raises(StateError, match="assigned a traced value outside of any state scope"):
        u = Variable(0.0)
        B.compile(lambda x: u.assign(x))(1.0)


def test_the_array_handed_in_is_not_shared(backend):
    array = np.zeros(64, "float32")
    v, w = Variable(array), Variable(np.ones(64, "float32"))
    w.assign(array)
    array[:] = 7
    assert v.numpy().sum() == w.numpy().sum() == 0
    read = v.numpy()
    read[:] = 1
    assert v.numpy().sum() == 0


def test_deepcopy_is_independent(backend):
    v = Variable(np.zeros(2))
    twin = copy.deepcopy([v, v])
    assert twin[0] is twin[1]
    twin[0].assign([1.0, 2.0])
    assert v.numpy().sum() == 0


def test_autocast_reads_floats_in_the_compute_dtype(backend):
    v, n, fixed = Variable(1.5), Variable(2), Variable(1.5, autocast=False)
    with autocast("float16"):
        assert (str(v.value.dtype), str(fixed.value.dtype)) == ("float16", str(fixed.dtype))
        assert "int" in str(n.value.dtype)
    assert str(v.value.dtype) == v.dtype


def test_scope_binds_and_records(backend):
    v, w = Variable(1.0), Variable(10.0)
    with StateScope([(v, B.convert(2.0))]) as scope:
        assert float(v.value) == 2
        v.assign_add(1)
        with StateScope([(w, B.convert(20.0))]):
            assert float(v.value) == 3
            assert float(w.value) == 20
        assert float(w.value) == 10
    assert float(scope.values[v]) == 3
    assert float(v) == 1


def test_functional_is_pure_under_the_compiler():
    count = Variable(0)

    def step(x):
        count.assign_add(1)
        return x * ops.cast(count, "float32")

    pure = B.compile(functional(step, [count]))
    (after,), result = pure([B.convert(4)], 2.0)
    assert (int(after), float(result), int(count)) == (5, 10.0, 0)


def test_functional_names_strays():
    inside, outside = Variable(0.0, name="inside"), Variable(0.0, name="outside")
    with pytest.raises(StateError, match="'outside' were assigned in a compiled step they are no part of"):
        functional(lambda: outside.assign(1.0), [inside])([B.convert(0.0)])


def test_value_and_grad_against_finite_differences():
    rng = np.random.default_rng(0)
    w, b, seen = Variable(rng.normal(size=(3, 2)).astype("float32")), Variable(np.zeros(2, "float32")), Variable(0)
    x = rng.normal(size=(4, 3)).astype("float32")

    def loss(x):
        seen.assign_add(1)
        return ops.sum(ops.tanh(ops.matmul(x, w) + b.value)), "aux"

    (value, aux), grads = value_and_grad(loss, [w, b], has_aux=True)(x)
    assert aux == "aux"
    assert int(seen) == 1
    for variable, grad in zip((w, b), grads, strict=True):
        start = variable.numpy()
        for at in np.ndindex(start.shape):
            ends = []
            for step in (1e-2, -1e-2):
                moved = start.copy()
                moved[at] += step
                variable.assign(moved)
                ends.append(float(loss(x)[0]))
            variable.assign(start)
            assert abs((ends[0] - ends[1]) / 2e-2 - float(grad[at])) < 2e-3
    assert abs(float(value) - float(loss(x)[0])) < 1e-6


def test_value_and_grad_of_plain_tensors_and_nested():
    f = value_and_grad(lambda p: ops.sum(p["a"] ** 3 + 2 * p["b"]))
    value, grads = f({"a": np.array([2.0], "float32"), "b": np.array([1.0], "float32")})
    assert (float(value), float(grads["a"][0]), float(grads["b"][0])) == (10, 12, 2)
    second = cornu.ops.grad(lambda x: cornu.ops.grad(lambda y: y**3)(x))
    assert float(second(2.0)) == 12


def test_numpy_has_no_gradients():
    with config.backend_scope("numpy"), pytest.raises(cornu.base.errors.BackendError, match="computes no gradients"):
        value_and_grad(lambda x: x)(np.ones(()))
