"""What is particular to PyTorch: steps recorded as kernels and replayed, and tensors of PyTorch in and out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cornu as keras
from cornu import layers, ops
from cornu.backend import load
from cornu.backend import torch as torch_backend
from cornu.backend.torch import capture
from cornu.base.config import backend_scope
from cornu.base.errors import BackendMismatchError
from cornu.core.state import functional

RNG = np.random.default_rng(0)
X, Y = RNG.random((100, 8), "float32"), RNG.integers(0, 3, 100)


@pytest.fixture(autouse=True)
def _torch():
    with backend_scope("torch"):
        yield


@pytest.fixture
def programs(monkeypatch):
    """The programs that are recorded from now on."""
    made = []
    original = capture.Program.__init__

    def init(self, *args):
        original(self, *args)
        made.append(self)

    monkeypatch.setattr(capture.Program, "__init__", init)
    return made


def regularised():
    return layers.BatchNormalization(), layers.Dropout(0.2)


def model(middle=tuple, optimizer="adam", **options):
    """A small classifier around the layers that `middle()` makes."""
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, activation="relu"), *middle(), layers.Dense(3, activation="softmax")]
    )
    made.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return made


def losses(made, epochs=4, **options):
    return made.fit(X, Y, epochs=epochs, batch_size=16, verbose=0, **options).history["loss"]


class Product(layers.Layer):
    """Written with PyTorch's functions on the layer's own weights."""

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], 4), name="kernel")
        self.bias = self.add_weight((4,), "zeros", name="bias")

    def call(self, inputs):
        stacked = torch.stack([self.bias, torch.zeros_like(self.bias)])
        return torch.add(torch.matmul(inputs, self.kernel), other=stacked[0])


def test_functions_of_pytorch_take_variables():
    layer, x = Product(dtype="mixed_bfloat16"), torch.ones(2, 8)
    assert layer(x).dtype == torch.bfloat16
    layer = Product()
    np.testing.assert_allclose(layer(x), np.ones((2, 8)) @ layer.kernel.numpy(), rtol=1e-5)
    made = model(lambda: [Product()])
    before = made.layers[1].kernel.numpy()
    losses(made, 1)
    assert not np.array_equal(before, made.layers[1].kernel.numpy())


def test_a_step_is_recorded_once(programs):
    made = model(regularised)
    losses(made, 1, validation_data=(X, Y))
    count = len(programs)
    assert count
    losses(made, 3, validation_data=(X, Y))
    made.predict(X, verbose=0)
    assert len(programs) == count + 2  # whole batches, and the last one, of predict
    assert "_fused_adam_" in str([names for program in programs for names in program.names.values()])


@pytest.mark.parametrize("kind", [keras.optimizers.Adam, lambda: keras.optimizers.SGD(0.1, momentum=0.9)])
def test_recorded_steps_are_the_eager_ones(kind):
    recorded = losses(model(regularised, optimizer=kind()))
    eager = losses(model(regularised, optimizer=kind(), run_eagerly=True))
    np.testing.assert_allclose(recorded, eager, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"use_ema": True, "ema_overwrite_frequency": 3},
        {"gradient_accumulation_steps": 2},
        {"global_clipnorm": 0.1},
        {"weight_decay": 0.01},
    ],
    ids=str,
)
def test_kernels_in_place_leave_no_stale_values(options):
    recorded, eager = (
        losses(model(optimizer=keras.optimizers.Adam(0.01, **options), run_eagerly=eagerly))
        for eagerly in (False, True)
    )
    np.testing.assert_allclose(recorded, eager, rtol=1e-5)


def test_values_that_somebody_holds_stay():
    made = model()
    kernel = made.layers[0].kernel.value
    before = kernel.clone()
    losses(made, 1)
    torch.testing.assert_close(kernel, before)
    assert not torch.equal(made.layers[0].kernel.value, before)


def test_the_compiler_of_pytorch_takes_the_whole_step():
    np.testing.assert_allclose(
        losses(model(regularised, jit_compile=True), 2), losses(model(regularised), 2), rtol=1e-5
    )


def test_the_compiler_is_handed_no_kernel_it_cannot_take(programs, monkeypatch):
    monkeypatch.setattr(capture, "_compiled", lambda run, moving: run)

    def middle():
        return layers.Reshape((2, 8)), layers.LSTM(4)

    compiled = losses(model(middle, jit_compile=True), 1)
    assert "rnn" not in str([program.names for program in programs])  # whose last result is none without gradients
    np.testing.assert_allclose(compiled, losses(model(middle), 1), rtol=1e-5)
    assert "rnn" in str([program.names for program in programs])


class Looks(layers.Layer):
    """Branches on a value."""

    def call(self, inputs):
        return inputs * 2 if float(inputs.sum()) > 0 else inputs


def test_a_step_that_looks_at_values_runs_as_it_is_and_says_where():
    made = model(lambda: [Looks()], jit_compile=True)
    with pytest.warns(UserWarning, match=r"not compiled.*_local_scalar_dense.*See line \d+ of .*test_torch.py: return"):
        found = losses(made)
    np.testing.assert_allclose(found, losses(model(lambda: [Looks()], run_eagerly=True)), rtol=1e-6)


class Peeks(layers.Layer):
    """Takes a value to the host without a kernel."""

    def call(self, inputs):
        return inputs * float(inputs.detach().numpy().mean())


def test_numbers_taken_to_the_host_are_not_recorded_as_constants():
    np.testing.assert_allclose(
        losses(model(lambda: [Peeks()])), losses(model(lambda: [Peeks()], run_eagerly=True)), rtol=1e-6
    )


class Native(layers.Layer):
    """Calls PyTorch itself, in place too."""

    def call(self, inputs):
        scratch = torch.zeros(inputs.shape[-1])
        scratch[0] = 1.0
        scratch += inputs.mean(0)
        return torch.nn.functional.softplus(inputs) + scratch


def test_layers_may_call_pytorch():
    np.testing.assert_allclose(
        losses(model(lambda: [Native()])), losses(model(lambda: [Native()], run_eagerly=True)), rtol=1e-5
    )
    inputs = keras.Input((8,))
    outputs = layers.Dense(2)(Native()(inputs))
    assert outputs.shape == (None, 2)
    assert keras.Model(inputs, outputs)(torch.from_numpy(X)).shape == (100, 2)


def test_tensors_and_loaders_are_data():
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    arrays = model().fit(X, Y, batch_size=16, shuffle=False, verbose=0).history["loss"]
    tensors = model().fit(torch.from_numpy(X), torch.from_numpy(Y), batch_size=16, shuffle=False, verbose=0)
    np.testing.assert_allclose(tensors.history["loss"], arrays, rtol=1e-6)
    np.testing.assert_allclose(model().fit(loader, verbose=0).history["loss"], arrays, rtol=1e-5)


def test_loops_and_branches_are_recorded(programs):
    collatz = ops.jit(
        lambda n: ops.while_loop(
            lambda n, _: n != 1,
            lambda n, c: (ops.cond(n % 2 == 0, lambda: n // 2, lambda: 3 * n + 1), c + 1),
            (n, n * 0),
        )[1]
    )
    assert [int(collatz(torch.tensor(n))) for n in (1, 6, 27)] == [0, 8, 111]
    assert len(programs) == 3  # the body, the test, and what is around them


def test_two_frameworks_do_not_mix():
    with backend_scope("jax"):
        theirs = ops.ones((2,))
    with pytest.raises(BackendMismatchError, match=r"A jax array of shape \(2,\) met the backend 'torch'"):
        ops.add(theirs, 1)
    with backend_scope("jax"), pytest.raises(BackendMismatchError, match=r"A torch array .* met the backend 'jax'"):
        ops.add(torch.ones(2), 1)


def test_half_precision_trains():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = model()
    finally:
        keras.config.set_dtype_policy("float32")
    found = losses(made, 6)
    assert found[-1] < found[0]
    assert made.layers[0].compute_dtype == "bfloat16"
    assert made.layers[0].kernel.value.dtype is torch.float32


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("width", [1, 7, 8, 13])
def test_a_product_by_way_of_rows_in_eights_is_the_product(width, with_bias):
    """And so are its gradients; only GPUs have a use for it."""
    x, kernel, bias = (torch.from_numpy(RNG.normal(size=size)) for size in ((2, 3, 5), (5, width), (width,)))
    arguments = [one.requires_grad_() for one in (x, kernel, *[bias] * with_bias)]
    results = []
    for product in (torch_backend._linear_in_eights, torch_backend._linear):
        y = product(x, kernel, bias if with_bias else None)
        results.append([y, *torch.autograd.grad((y * torch.cos(y)).sum(), arguments)])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("eagerly", [False, True])
def test_an_outer_autocast_changes_no_model(eagerly):
    plain = losses(model(run_eagerly=eagerly), 2)
    with torch.autocast("cpu", torch.bfloat16):
        made = model(run_eagerly=eagerly)
        assert losses(made, 2) == plain
        assert made(X).dtype == made.as_torch()(torch.from_numpy(X)).dtype == torch.float32


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16")
def test_half_precision_reaches_kernels_of_bfloat16_and_images_are_not_copied(capfd):
    policy = {"dtype": "mixed_bfloat16"}
    made = keras.Sequential(
        [layers.Conv2D(16, 3, padding="same", **policy), layers.Flatten(), layers.Dense(8, **policy)]
    )
    made.compile("sgd", "mse")
    images = RNG.random((4, 16, 16, 8), "float32")
    made.fit(images, np.zeros((4, 8)), verbose=0)
    capfd.readouterr()
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        made.fit(images, np.zeros((4, 8)), verbose=0)
    ran = [line.split(",") for line in capfd.readouterr().out.splitlines() if ",exec,cpu," in line]
    for kind, problem in (("convolution", "ic8oc16"), ("matmul", "4x4096:4096x8")):
        (forward,) = (line for line in ran if kind in line and problem in line[-2] and "backward_weights" not in line)
        assert "src:bf16" in ",".join(forward)
    assert {line[-2] for line in ran if "reorder" in line} <= {"16x8x3x3"}  # the kernel alone takes another form


SEEN = RNG.random((2, 1, 5, 6)) > 0.3
SEEN[0, :, 2] = False  # a query that sees nothing


@pytest.mark.parametrize(
    "options", [{}, {"bias": RNG.random((1, 4, 5, 6), "float32")}, {"is_causal": True}], ids=["plain", "bias", "causal"]
)
@pytest.mark.parametrize("mask", [None, SEEN], ids=["all", "some"])
def test_the_kernel_of_attention_and_its_gradient_are_the_formulas(options, mask):
    q, k = (torch.from_numpy(RNG.normal(size=size).astype("float32")) for size in ((2, 5, 4, 8), (2, 6, 2, 8)))

    def attended(flash):
        options_ = {"mask": mask, "flash_attention": flash, **options}
        return ops.vjp(lambda q, k: ops.dot_product_attention(q, k, k, **options_), q, k)

    (fused, back), (formula, slowly_back) = attended(True), attended(False)
    torch.testing.assert_close(fused, formula, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(back(fused), slowly_back(fused), rtol=1e-4, atol=1e-5)


def test_second_derivatives_of_what_has_fused_kernels():
    """Where a kernel has no second derivative the formula steps in."""
    keras.utils.set_random_seed(0)
    lstm = layers.LSTM(3)
    x = torch.from_numpy(RNG.normal(size=(2, 4, 3)).astype("float32"))
    lstm(x)

    def penalty(v):
        return ops.sum(ops.grad(lambda u: ops.sum(lstm(u) ** 2))(v) ** 2)

    slope = ops.grad(penalty)(x)
    step = torch.zeros_like(x)
    step[0, 1, 2] = 1e-2
    numeric = (penalty(x + step) - penalty(x - step)) / 2e-2
    np.testing.assert_allclose(float(slope[0, 1, 2]), float(numeric), rtol=2e-2)


def test_the_backend_says_what_it_runs_natively():
    assert {"relu", "softmax", "dense"} <= set(load("torch").native)


def test_kernels_whose_results_are_in_lists_are_recorded() -> None:
    """As the gradients of weights are that cuDNN's recurrent kernels return."""

    @torch.library.custom_op("cornu_tests::two", mutates_args=(), schema="(Tensor x) -> (Tensor, Tensor[])")
    def two(x):
        return x + 1, [x * 2, x * 3]

    def fn(x):
        first, (double, triple) = two(x)
        return first + double * triple

    with backend_scope("torch"):
        run = load("torch").compile(fn)
        for number in (1.0, 2.0, 3.0):
            assert float(run(torch.tensor(number))) == number + 1 + 6 * number**2


def test_memory_that_is_full_is_told_as_pytorch_does(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(load("torch"), "matmul", full)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        ops.matmul(torch.ones(2, 3), torch.ones(3, 2))
    assert any("matmul" in note for note in caught.value.__notes__)


RULES = {
    "SGD": {"learning_rate": 0.05},
    "SGD momentum": {"learning_rate": 0.05, "momentum": 0.9},
    "SGD nesterov": {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    "Adam amsgrad": {"amsgrad": True},
    "RMSprop centered": {"centered": True, "momentum": 0.9},
    **{name: {} for name in "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion Nadam RMSprop".split()},
}
AROUND = [
    {},
    {"clipnorm": 0.5, "weight_decay": 0.1},
    {"use_ema": True, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 2, "global_clipnorm": 0.5},
    {"loss_scale_factor": 4.0, "clipvalue": 0.3},
]


@pytest.mark.parametrize("around", AROUND, ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.filterwarnings("ignore:.*no gradient for")
def test_rules_by_one_kernel_for_all_are_the_rules(rule, around, monkeypatch):
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (3,), (4, 3), (), (5, 3), (64, 128)]
    first = [rng.normal(size=shape).astype("float32") for shape in shapes]
    grads = [[torch.from_numpy(np.asarray(rng.normal(size=s[::-1]), "float32").T) for s in shapes] for _ in range(5)]
    for step in grads:  # of which two are one array, one has none, and that of a matrix is not contiguous
        step[2], step[4] = step[0], None

    def run(recorded, dtype="float32"):
        variables = [keras.Variable(value, dtype=dtype if i else "float32") for i, value in enumerate(first)]
        optimizer = getattr(keras.optimizers, rule.split()[0])(**RULES[rule], **around)
        optimizer.build(variables)
        held = [v.value for v in variables]
        copies = [value.clone() for value in held]
        known = [g.clone() if g is not None else None for g in grads[0]]
        state = [*variables, *optimizer.variables]
        pure = functional(lambda given: optimizer.apply(given, variables), state)
        program = load("torch").compile(pure, donate=True) if recorded else None
        values = [v.value.clone() for v in state]
        for given in grads:
            if program is not None:
                values, _ = program(values, given)
            else:
                optimizer.apply(given, variables)
        assert all(torch.equal(a, b) for a, b in zip(held, copies, strict=True))
        assert all(a is None or torch.equal(a, b) for a, b in zip(grads[0], known, strict=True))
        return [v.float() for v in (values if program is not None else [v.value for v in state])]

    for dtype in ("float32", "bfloat16"):
        fast = [run(recorded, dtype) for recorded in (True, False)]
        with monkeypatch.context() as plain:
            plain.setattr(capture, "_together", list)
            plain.setattr(type(load("torch")), "fused_sgd", lambda self, *args: None)
            plain.setattr(type(load("torch")), "fused_adam", lambda self, *args: None)
            slow = run(True, dtype)
        for found in fast:
            torch.testing.assert_close(found, slow, rtol=1e-5, atol=1e-6)


def test_what_is_alike_in_a_step_is_one_kernel(programs):
    losses(model(optimizer="rmsprop"), 1)
    assert "_foreach_rsqrt" in str([program.names for program in programs])
