"""Control flow: state carried through it, gradients, graphs, errors."""

from __future__ import annotations

import numpy as np
import pytest

import cornu
from cornu import initializers, layers, ops, random
from cornu.base.errors import ArgumentError, BackendError, ShapeError


def number(value=1.0):
    return cornu.Variable(np.float32(value), name="number")


def x():
    return ops.convert_to_tensor([1.0, 2.0])


# Each assigns the variable within: name, the call, and what the variable is afterwards.
ASSIGNING = {
    "cond": (lambda v: ops.cond(ops.sum(x()) > 0, lambda: v.assign_add(4.0), lambda: v.assign(9.0)), 5),
    "cond, other branch": (lambda v: ops.cond(ops.sum(x()) < 0, lambda: v.assign_add(4.0), lambda: v.assign(9.0)), 9),
    "switch": (lambda v: ops.switch(1, [lambda: v.value, lambda: v.assign(7.0), lambda: v.assign(8.0)]), 7),
    "scan": (lambda v: ops.scan(lambda c, x: (c, v.assign(v * x)), 0.0, ops.arange(1.0, 5.0)), 24),
    "fori_loop": (lambda v: ops.fori_loop(0, 3, lambda i, c: v.assign(v * 2), 0.0), 8),
    "fori_loop, computed": (lambda v: ops.fori_loop(0, ops.sum(x()), lambda i, c: v.assign(v * 2), 0.0), 8),
    "while_loop": (lambda v: ops.while_loop(lambda c: v < 20, lambda c: v.assign(v * 2), 0.0), 32),
    "while_loop, limited": (
        lambda v: ops.while_loop(lambda c: v < 20, lambda c: v.assign(v * 2), 0.0, maximum_iterations=3),
        8,
    ),
    "map": (lambda v: ops.map(lambda x: v.assign_add(x), x()), 4),
    "two loops": (
        lambda v: ops.scan(lambda c, x: (ops.fori_loop(0, 2, lambda i, c: v.assign_add(1.0), c), x), 0.0, x()),
        5,
    ),
}


@pytest.mark.parametrize("backend", ["jax", "numpy"])
@pytest.mark.parametrize("case", ASSIGNING)
def test_assignments_are_carried(case, backend):
    call, expected = ASSIGNING[case]
    with cornu.config.backend_scope(backend):
        eager, compiled = number(), number()
        call(eager)
        assert eager.numpy() == expected
        ops.jit(lambda: call(compiled))()
        assert compiled.numpy() == expected


def test_random_numbers_differ_from_step_to_step():
    seed = random.SeedGenerator(1)
    draws = ops.map(lambda _: random.uniform((), seed=seed), ops.zeros((4,)))
    assert len(set(ops.convert_to_numpy(draws).tolist())) == 4
    assert random.uniform((), seed=seed) not in draws


def test_a_layer_within_scan_is_trained():
    dense = layers.Dense(3, kernel_initializer=initializers.GlorotUniform(seed=1))
    dense.build((None, 3))

    def run(x):
        return ops.scan(lambda h, x: (dense(h + x), None), ops.zeros((2, 3)), x)[0]

    gradients = ops.grad(lambda: ops.sum(run(ops.ones((4, 2, 3)))), dense.trainable_variables)()
    state, kernel = np.zeros((2, 3)), dense.kernel.numpy()
    for _ in range(4):
        state = (state + 1) @ kernel
    np.testing.assert_allclose(run(ops.ones((4, 2, 3))), state, rtol=1e-5)
    assert all(np.abs(g).max() > 0 for g in gradients)


GRADIENTS = {
    "cond": (lambda y: ops.cond(ops.sum(y) > 0, lambda: ops.sum(y**2), lambda: ops.sum(y)), [2, 4]),
    "switch": (lambda y: ops.switch(ops.sum(y), [ops.sum] * 3 + [lambda y: ops.sum(y**3)], y), [3, 12]),
    "scan": (lambda y: ops.scan(lambda c, x: (c * x, None), 1.0, y)[0], [2, 1]),
    "fori_loop": (lambda y: ops.sum(ops.fori_loop(0, 3, lambda i, c: c * y, y)), [4, 32]),
    "while_loop": (
        lambda y: ops.sum(ops.while_loop(lambda c: ops.sum(c) < 50, lambda c: c * y, y, maximum_iterations=20)),
        [6, 192],
    ),
    "map": (lambda y: ops.sum(ops.map(ops.square, y)), [2, 4]),
    "vectorized_map": (lambda y: ops.sum(ops.vectorized_map(ops.square, y)), [2, 4]),
    "associative_scan": (lambda y: ops.associative_scan(ops.multiply, y)[-1], [2, 1]),
    "vectorize": (lambda y: ops.sum(ops.vectorize(lambda a, b: a * b)(y, y)), [2, 4]),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_pass_through(case):
    loss, expected = GRADIENTS[case]
    np.testing.assert_allclose(ops.grad(loss)(x()), expected, rtol=1e-5)
    np.testing.assert_allclose(ops.jit(ops.grad(loss))(x()), expected, rtol=1e-5)
    variable = cornu.Variable(x())
    np.testing.assert_allclose(ops.grad(lambda: loss(variable.value), [variable])()[0], expected, rtol=1e-5)


IN_GRAPHS = {
    "cond": (lambda i: ops.cond(ops.sum(i) > 0, lambda a: 2 * a, lambda a: -a, i), lambda x: 2 * x),
    "switch": (lambda i: ops.switch(1, [ops.abs, lambda a: 3 * a], i), lambda x: 3 * x),
    "while_loop": (lambda i: ops.while_loop(lambda a: ops.max(a) < 9, lambda a: a * 2, i), lambda x: 16 * x),
    "fori_loop": (lambda i: ops.fori_loop(0, 2, lambda _, a: a * 2, i), lambda x: 4 * x),
    "scan": (lambda i: ops.scan(lambda c, x: (c + x, c), ops.zeros_like(i[0]), i)[0], lambda x: x.sum(0)),
    "map": (lambda i: ops.map(ops.sum, i), lambda x: x.sum(1)),
    "vectorized_map": (lambda i: ops.vectorized_map(ops.sum, i), lambda x: x.sum(1)),
    "associative_scan": (lambda i: ops.associative_scan(ops.add, i, axis=1), lambda x: np.cumsum(x, 1)),
    "vectorize": (lambda i: ops.vectorize(lambda a, b: a + b)(i, 1.0), lambda x: x + 1),
    "jit": (lambda i: ops.jit(ops.square)(i), np.square),
    "checkpoint": (lambda i: ops.checkpoint(ops.square)(i), np.square),
    "grad": (lambda i: ops.grad(lambda a: ops.sum(a**3))(i), lambda x: 3 * x**2),
}


@pytest.mark.parametrize("case", IN_GRAPHS)
def test_within_a_functional_model(case):
    build, oracle = IN_GRAPHS[case]
    inputs = cornu.Input((3,), batch_size=None if case not in ("scan",) else 2)
    model = cornu.Model(inputs, build(inputs))
    values = np.array([[1, 0.5, 0.25], [0.5, 0.75, 1]], "float32")
    np.testing.assert_allclose(model(values), oracle(values), rtol=1e-5)


ERRORS = {
    "closed-over symbolic tensor": (
        lambda: (lambda i: ops.cond(ops.sum(i) > 0, lambda: i, lambda: i))(cornu.Input((3,))),
        ArgumentError,
        "branch 0 uses a symbolic tensor that is not among its arguments. Pass it as one",
    ),
    "pred": (lambda: ops.cond(x() > 0, x, x), ShapeError, "cond: pred should be a scalar, got the shape (2,)"),
    "index": (lambda: ops.switch(x(), [x]), ShapeError, "switch: index should be a scalar"),
    "no branches": (lambda: ops.switch(0, []), ArgumentError, "switch: branches is empty"),
    "branches": (
        lambda: ops.cond(ops.sum(x()) > 0, x, lambda: ops.cast(x(), "int32")),
        ArgumentError,
        "int32[2] instead of float32[2]",
    ),
    "dtype of the state": (
        lambda: ops.fori_loop(0, 3, lambda i, v: v + 1.5, 0),
        ArgumentError,
        " instead of int32[]. Shapes, dtypes and nesting must stay the same",
    ),
    "shape of the state": (
        lambda: ops.while_loop(lambda v: ops.max(v) < 3, lambda v: ops.append(v, v), x()),
        ArgumentError,
        "while_loop: the result of body is float32[4] instead of float32[2]",
    ),
    "cond of while_loop": (
        lambda: ops.while_loop(lambda v: v < 3, lambda v: v, x()),
        ShapeError,
        "while_loop: the result of cond should be a scalar",
    ),
    "nesting": (
        lambda: ops.scan(lambda c, x: ({"b": c["a"]}, x), {"a": 0.0}, x()),
        ArgumentError,
        "scan: the carry that f returned is another nesting",
    ),
    "not a pair": (lambda: ops.scan(lambda c, x: c, 0.0, x()), ArgumentError, "f should return (carry, y)"),
    "no length": (lambda: ops.scan(lambda c, x: (c, x), 0.0), ArgumentError, "scan: one length is needed"),
    "lengths": (
        lambda: ops.map(lambda x: x[0], (ops.zeros((2, 1)), ops.zeros((3,)))),
        ArgumentError,
        "map: one length is needed, got the shapes (2, 1), (3,)",
    ),
    "scalar elements": (lambda: ops.vectorized_map(ops.abs, 1.0), ShapeError, "should have a leading axis"),
    "axis": (lambda: ops.associative_scan(ops.add, x(), axis=1), ShapeError, "axis 1 is not an axis"),
    "signature": (lambda: ops.vectorize(ops.sum, signature="n->")(x()), ArgumentError, "should look like '(m,n),(n)->"),
    "arguments": (
        lambda: ops.vectorize(ops.sum, signature="(n),(n)->()")(x()),
        ArgumentError,
        "names 2 arguments, got 1",
    ),
    "core axes": (lambda: ops.vectorize(ops.sum, signature="(m,n)->()")(x()), ShapeError, "needs 2 axes"),
}


@pytest.mark.parametrize(
    ("case", "backend"),
    # NumPy takes one branch and never sees the other.
    [(case, backend) for case in ERRORS for backend in ("jax", "numpy") if (case, backend) != ("branches", "numpy")],
)
def test_errors(case, backend):
    call, kind, message = ERRORS[case]
    with cornu.config.backend_scope(backend), pytest.raises(kind) as raised:
        call()
    assert message in str(raised.value)


def rise(c, y):
    """From [1, 2] with y = [1, 2] the sums are 3, 4.8, 6.7, 8.7."""
    return ops.tanh(c * y) + c


def until(most, c, y, limit):
    """`rise` while the sum is below `most`."""
    return ops.while_loop(lambda c: ops.sum(c) < most, lambda c: rise(c, y), c, maximum_iterations=limit)


# A loop, and what it comes to, step by step.
LOOPS = {
    "while_loop": (lambda y: until(6, y, y, 9), lambda y: rise(rise(y, y), y)),
    "while_loop, to its limit": (lambda y: until(60, y, y, 2), lambda y: rise(rise(y, y), y)),
    "while_loop, no step": (lambda y: until(0, y, y, 9), lambda y: y),
    "while_loop in scan": (
        lambda y: ops.scan(lambda c, x: (until(6, c + x, y, 9), c), y, ops.ones((2, 2)))[0],
        lambda y: rise(y + 1, y) + 1,
    ),
    "scan in while_loop": (
        lambda y: ops.while_loop(
            lambda c: ops.sum(c) < 6, lambda c: ops.scan(lambda c, _: (rise(c, y), c), c, length=2)[0], y, 9
        ),
        lambda y: rise(rise(y, y), y),
    ),
    "scan, reverse": (
        lambda y: ops.scan(lambda c, x: (rise(c, x), c * x), y, ops.stack([y, y + 1]), reverse=True)[1],
        lambda y: ops.stack([rise(y, y + 1) * y, y * (y + 1)]),
    ),
    "fori_loop": (
        lambda y: ops.fori_loop(0, 2, lambda i, c: rise(c, y) + ops.cast(i, "float32"), y),
        lambda y: rise(rise(y, y), y) + 1,
    ),
}
DERIVATIVES = {
    "backwards": ops.grad,
    "forwards": lambda f: lambda y: ops.jvp(f, (y,), (y,))[1],
    "twice": lambda f: ops.grad(lambda y: ops.sum(ops.grad(f)(y) ** 2)),
    "forwards, then backwards": lambda f: ops.grad(lambda y: ops.jvp(f, (y,), (y,))[1]),
}


@pytest.mark.parametrize("case", LOOPS)
@pytest.mark.parametrize("kind", DERIVATIVES)
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_loops_have_derivatives_of_all_kinds(case, kind, backend):
    with cornu.config.backend_scope(backend):
        found, expected = (
            ops.convert_to_numpy(DERIVATIVES[kind](lambda y, fn=fn: ops.sum(ops.sin(fn(y))))(x())) for fn in LOOPS[case]
        )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_loop_of_unknown_length_says_how_to_get_a_gradient():
    with pytest.raises(BackendError, match="Give while_loop its `maximum_iterations`"):
        ops.grad(lambda y: ops.sum(ops.while_loop(lambda v: ops.sum(v) < 9, lambda v: v * 2, y)))(x())
