"""JAX: which form of a convolution a program has, and that the forms agree."""

from __future__ import annotations

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from cornu import Model, Sequential, layers, ops
from cornu.backend import B
from cornu.backend.jax import JaxBackend, _of_forward
from cornu.base import config

CASES = {  # the op, shape of the images, shape of the kernel, what else the convolution is given
    "plain": (ops.conv, (8, 12, 12, 16), (3, 3, 16, 64), {}),
    "by rows": (ops.conv, (8, 16, 16, 16), (3, 3, 16, 16), {"padding": "same"}),
    "by rows, uneven": (ops.conv, (8, 17, 15, 16), (4, 3, 16, 16), {"padding": "same"}),
    "by rows, with gaps": (ops.conv, (8, 25, 15, 16), (3, 2, 16, 16), {"padding": "same", "dilation_rate": 2}),
    "by rows, at the edge": (ops.conv, (4, 40, 13, 16), (3, 3, 16, 16), {}),
    "strides": (ops.conv, (8, 13, 13, 16), (3, 3, 16, 64), {"strides": 2, "padding": "same"}),
    "dilation": (ops.conv, (8, 13, 13, 16), (3, 3, 16, 64), {"dilation_rate": 2}),
    "groups": (ops.conv, (8, 12, 12, 16), (3, 3, 4, 64), {}),
    "spread": (ops.conv_transpose, (8, 9, 9, 16), (3, 4, 64, 16), {"strides": (2, 3), "padding": "same"}),
    "spread text": (
        ops.conv_transpose,
        (16, 30, 32),
        (5, 64, 32),
        {"strides": 2, "padding": "valid", "output_padding": 1},
    ),
    "text": (ops.conv, (16, 50, 32), (5, 32, 64), {"padding": "same"}),
}


@pytest.fixture(autouse=True)
def _on_jax():
    with config.backend_scope("jax"):
        yield


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), "float32") for shape in shapes]


def primitives(fn, *args) -> set[str]:
    """The names of all primitives in the program of `fn`, those of its inner functions too."""

    def names(jaxpr):
        for equation in jaxpr.eqns:
            inner = list(jax.extend.core.jaxprs_in_params(equation.params))
            if inner:
                for part in inner:
                    yield from names(part)
            else:
                yield equation.primitive.name

    return set(names(jax.make_jaxpr(fn)(*args).jaxpr))


@pytest.mark.parametrize("case", CASES)
def test_what_predicts_is_xlas_and_what_derives_is_by_patches(case):
    op, image, window, options = CASES[case]
    x, kernel = arrays(image, window)

    def forward(x, kernel):
        return ops.relu(op(x, kernel, **options))

    def backward(x, kernel):
        return jax.grad(lambda *args: jnp.sum(forward(*args) ** 2), (0, 1))(x, kernel)

    predicting, deriving = primitives(forward, x, kernel), primitives(backward, x, kernel)
    assert "conv_general_dilated" in predicting
    assert "dot_general" not in predicting
    assert "dot_general" in deriving
    assert "conv_general_dilated" not in deriving
    assert ("cornu_overlaid" in deriving) == case.startswith("by rows")


@pytest.mark.parametrize("case", CASES)
def test_the_forms_agree_in_values_and_both_derivatives(case):
    op, image, window, options = CASES[case]
    x, kernel, dx, dkernel = arrays(image, window, image, window)

    def conv(x, kernel):
        return op(x, kernel, **options)

    values, change = jax.jvp(conv, (x, kernel), (dx, dkernel))
    np.testing.assert_allclose(values, conv(x, kernel), rtol=1e-4, atol=1e-4)
    linear = conv(dx, kernel) + conv(x, dkernel)  # in both arguments
    np.testing.assert_allclose(change, linear, rtol=1e-4, atol=2e-4)
    cotangent = arrays(values.shape)[0]
    back = jax.vjp(conv, x, kernel)[1](cotangent)
    for gradient, direction in zip(back, (dx, dkernel), strict=True):
        part = conv(dx, kernel) if direction is dx else conv(x, dkernel)
        np.testing.assert_allclose(jnp.vdot(gradient, direction), jnp.vdot(cotangent, part), rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("by rows")])
def test_what_is_computed_by_rows_is_mapped_and_derived_twice(case):
    op, image, window, options = CASES[case]
    images, kernel = arrays((3, 2, *image[1:]), window)

    def loss(x, kernel):
        return jnp.sum(ops.tanh(op(x, kernel, **options)) * 0.1)

    each = jnp.stack([jax.grad(loss, 1)(x, kernel) for x in images])
    np.testing.assert_allclose(jax.vmap(jax.grad(loss, 1), (0, None))(images, kernel), each, rtol=1e-4, atol=1e-4)
    turned = jax.vmap(jax.grad(loss), (2, None), 1)(jnp.moveaxis(images, 0, 2), kernel)
    np.testing.assert_allclose(turned[:, 1], jax.grad(loss)(images[1], kernel), rtol=1e-4, atol=1e-5)
    step = 1e-2 * kernel

    def slope(kernel):
        return jnp.vdot(jax.grad(loss, 1)(images[0], kernel), step)

    second = jnp.vdot(jax.grad(slope)(kernel), step)
    below, above = slope(kernel - step), slope(kernel + step)
    np.testing.assert_allclose(second, (above - below) / 2, rtol=1e-2)


@pytest.mark.parametrize("padding", [((0, 2), (1, 1)), ((4, 0), (0, 0)), ((5, 1), (2, 2)), ((6, 6), (0, 3))])
@pytest.mark.parametrize("gap", [1, 2])
def test_any_padding_is_right(padding, gap):
    x, kernel = arrays((4, 24, 9, 8), (3, 3, 8, 8))
    found = jax.vjp(lambda x, k: B.conv(x, k, (1, 1), padding, (gap, gap), (1, 1), 1), x, kernel)
    layout = ("NHWC", "HWIO", "NHWC")

    def padded_first(x, kernel):  # XLA's own gradient reads what is not there if padding exceeds the window
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", rhs_dilation=(gap, gap), dimension_numbers=layout
        )

    like = jax.vjp(padded_first, x, kernel)
    np.testing.assert_allclose(found[0], like[0], rtol=1e-4, atol=1e-4)
    for a, b in zip(found[1](like[0]), like[1](like[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_images_of_16_bits_are_computed_in_float32_and_rounded_once(dtype):
    x, kernel = (jnp.asarray(a, dtype) for a in arrays((8, 16, 16, 16), (3, 3, 16, 16)))
    for op, given in (
        (ops.conv, (x, kernel)),
        (lambda x: ops.max_pool(x, 2), (x,)),
        (lambda x: ops.average_pool(x, 2), (x,)),
    ):
        found, pull = jax.vjp(op, *given)
        exact, pull_exact = jax.vjp(op, *(a.astype("float32") for a in given))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, exact.astype(dtype))
        for a, b in zip(pull(found), pull_exact(found.astype("float32")), strict=True):
            np.testing.assert_array_equal(a, b.astype(dtype))


@pytest.mark.parametrize("window", [(3, 3), (3, 3, 3)])
def test_few_multiplications_are_done_in_one_thread_and_volumes_by_patches(window):
    size = 8 if len(window) == 2 else 20
    x, kernel = arrays((1, *(size for _ in window), 8), (*window, 8, 64))
    assert "conv_general_dilated" not in primitives(lambda x, k: ops.conv(x, k), x, kernel)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_is_a_sum_of_shifted_images(multiplier):
    x, kernel = arrays((2, 9, 9, 8), (3, 3, 8, multiplier))
    found = primitives(lambda x, k: ops.depthwise_conv(x, k), x, kernel)
    assert not found & {"conv_general_dilated", "dot_general", "reduce_sum"}


def test_gradients_of_spreading_gather_no_zeros():
    """The largest product within the program is that of the elements with the kernel, not with the zeros between."""
    x, kernel = arrays((4, 8, 8, 16), (4, 4, 32, 16))
    program = jax.make_jaxpr(jax.grad(lambda x, k: jnp.sum(ops.conv_transpose(x, k, 4) ** 2), (0, 1)))(x, kernel)
    rows = [max(v.aval.size for v in e.outvars) for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert max(rows) <= 4 * 8 * 8 * 4 * 4 * 32


def test_depthwise_sums_16_bits_in_32():
    x, kernel = arrays((2, 30, 30, 8), (7, 7, 8, 1))
    narrow = [jnp.asarray(a, "bfloat16") for a in (x, kernel)]
    exact = B.to_numpy(ops.depthwise_conv(*(a.astype("float32") for a in narrow)))
    found = B.to_numpy(ops.depthwise_conv(*narrow)).astype("float32")
    np.testing.assert_allclose(found, exact, rtol=2**-8, atol=1e-6)  # one rounding


def test_relu_has_the_gradient_0_at_0_and_keeps_nan():
    x = jnp.asarray([-1.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(ops.relu(x), [0, 0, 2, np.nan])
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(ops.relu(x)[:3]))(x)[:3], [0, 0, 1])
    np.testing.assert_array_equal(jax.grad(jax.grad(lambda x: ops.relu(x) ** 3))(2.0), 12)
    np.testing.assert_array_equal(ops.relu(jnp.asarray([-1, 3])), [0, 3])


def _derivatives(product):
    """By name, what can be derived by a product of matrices, as a function of both."""

    def loss(a, b):
        return jnp.sum(jnp.sin(product(a, b)))

    gradients = jax.grad(loss, (0, 1))
    return {
        "gradients": gradients,
        "forwards": lambda a, b: jax.jvp(gradients, (a, b), (b.sum() * a, a.sum() * b))[1],
        "gradients of gradients": jax.grad(lambda a, b: sum(jnp.sum(g**2) for g in gradients(a, b)), (0, 1)),
        "of many kernels": lambda a, b: jax.vmap(gradients, (None, 0))(a, jnp.stack([b, -2 * b])),
        "of many inputs": lambda a, b: jax.vmap(gradients, (1, None))(jnp.stack([a, -2 * a], 1), b),
        "within many": lambda a, b: jax.grad(lambda a: jnp.sum(jax.vmap(loss, (0, None))(a, b)))(jnp.stack([a, 2 * a])),
    }


@pytest.mark.parametrize("kind", _derivatives(jnp.matmul))
@pytest.mark.parametrize("rows", [1, 63, 64, 128, 129], ids=lambda rows: f"{rows} rows")
def test_a_product_has_the_derivatives_of_jax(rows, kind):
    rng = np.random.default_rng(rows)
    a, b = jnp.asarray(rng.normal(size=(rows, 7)), "float32"), jnp.asarray(rng.normal(size=(7, 5)), "float32")
    found, expected = _derivatives(B.matmul)[kind](a, b), _derivatives(jnp.matmul)[kind](a, b)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_the_gradient_of_a_kernel_is_transposed_first_where_that_wins():
    def is_transposed(rows):
        a, b = jnp.ones((rows, 7)), jnp.ones((7, 5))
        return "optimization_barrier" in str(jax.make_jaxpr(jax.grad(lambda b: jnp.sum(B.matmul(a, b))))(b))

    assert [is_transposed(rows) for rows in (32, 64, 128, 4096)] == [False, True, True, False]


def network():
    stack = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10)]
    return Sequential([layers.Input((16, 16, 3)), *stack])


def programs_of(model, kind, rows):
    """The text of the programs that ran on images so many at a time, as XLA gets them."""
    ran = []
    compile_as_ever = JaxBackend.compile

    def watched(self, fn, **given):
        program = compile_as_ever(self, fn, **given)

        def run(*args):
            ran.append(program.lower(*args).as_text())
            return program(*args)

        return run

    model.compile("sgd", "mse", steps_per_execution=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JaxBackend, "compile", watched)
        x, y = np.ones((rows, 16, 16, 3), "float32"), np.ones((rows, 10), "float32")
        getattr(model, kind)(x, *([] if kind == "predict" else [y]), batch_size=rows, verbose=0)
    return ran


@pytest.mark.parametrize("forward", [False, True])
def test_programs_without_derivatives_give_ynn_products_alone(forward):
    def compiled(fn, *args):
        return B.compile(fn, forward=forward).lower(*args).compile().as_text()

    x = jnp.ones((64, 512))
    assert "ynn_fusion" in compiled(lambda x: x @ x.T, x)
    assert ("ynn_fusion" in compiled(lambda x: jnp.sum(jnp.exp(x), -1), x)) != forward


@pytest.mark.parametrize(
    ("kind", "rows", "by_windows"), [("predict", 1, True), ("predict", 16, False), ("evaluate", 64, False)]
)
def test_many_rows_and_evaluation_are_programs_without_derivatives(kind, rows, by_windows):
    (written,) = programs_of(network(), kind, rows)
    assert ("reduce_window" in written) == by_windows  # a form for YNN


def test_few_and_many_rows_are_predicted_alike():
    model, draw = network(), np.random.default_rng(0)
    x = draw.integers(-4, 5, (70, 16, 16, 3)).astype("float32")  # all sums are whole numbers below 2²⁴, so exact
    model.set_weights([draw.integers(-2, 3, weight.shape) for weight in model.get_weights()])
    one_by_one = np.concatenate([model.predict(row[None], verbose=0) for row in x])
    assert np.abs(one_by_one).max() > 100
    np.testing.assert_array_equal(model.predict(x, batch_size=64, verbose=0), one_by_one)


def test_a_jax_without_the_option_goes_without(monkeypatch):
    plain = jax.jit

    def refusing(fn, compiler_options=None, **given):
        return plain(fn, compiler_options={"xla_no_such_option": ""} if compiler_options else None, **given)

    monkeypatch.setattr(jax, "jit", refusing)
    assert _of_forward.__wrapped__() == {}


@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU])
def test_loops_of_halves_keep_float32(layer):
    """XLA:CPU would convert what the loop keeps, all of it, at every step."""
    rnn = layer(4, return_sequences=True, dtype="mixed_bfloat16")
    x = jnp.ones((2, 6, 3), "bfloat16")
    assert rnn(x).dtype == "bfloat16"
    jaxpr = jax.make_jaxpr(jax.grad(lambda x: jnp.sum(rnn(x).astype("float32"))))(x)
    loops = [e for e in jaxpr.jaxpr.eqns if e.primitive.name == "scan"]
    assert loops
    assert all(v.aval.dtype == "float32" for e in loops for v in e.outvars if hasattr(v.aval, "dtype"))


def test_rows_are_counted_where_the_first_input_is_absent():
    first, second = layers.Input((3,), optional=True, name="a"), layers.Input((3,), name="b")

    class Second(layers.Layer):
        def call(self, a, b):
            return 2 * b

    model, x = Model([first, second], Second()(first, second)), np.ones((20, 3), "float32")
    for size in (1, 20):
        np.testing.assert_array_equal(model.predict([None, x], batch_size=size, verbose=0), 2 * x)
