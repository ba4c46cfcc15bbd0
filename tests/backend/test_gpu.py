"""What only a GPU shows: where arrays and runs live, that they compute what the host computes, and graphs of steps.

Skipped where there is none. Products are of float32 throughout, so that results can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

import cornu as keras
from cornu import config, layers, ops
from cornu.backend import B
from cornu.backend.torch import graphs
from cornu.training import engine

RNG = np.random.default_rng(0)
X, IMAGES = RNG.random((203, 12), "float32"), RNG.random((96, 12, 12, 3), "float32")
WORDS = RNG.integers(1, 50, (96, 20)).astype("int32")


@pytest.fixture(params=["jax", "torch", "tensorflow"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    pytest.importorskip(request.param)
    with config.backend_scope(request.param):
        if "gpu:0" not in config.list_devices():
            pytest.skip("no GPU for this backend")
        config.set_matmul_precision("highest")
        yield request.param
        config.set_matmul_precision(None)


def place(array: Any) -> str:
    where = array.devices().pop().platform if hasattr(array, "devices") else str(array.device)
    return "gpu" if any(name in where.lower() for name in ("cuda", "gpu")) else "cpu"


def mlp() -> Any:
    noisy = [layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.2)]
    return keras.Sequential([keras.Input((12,)), *noisy, layers.Dense(3, activation="softmax")]), X


def cnn() -> Any:
    body = [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(), layers.DepthwiseConv2D(3), layers.Flatten()]
    return keras.Sequential([keras.Input((12, 12, 3)), *body, layers.Dense(3, activation="softmax")]), IMAGES


def recurrent() -> Any:
    body = [layers.Embedding(50, 8, mask_zero=True), layers.Bidirectional(layers.LSTM(8)), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((20,), dtype="int32"), *body]), WORDS


def gated() -> Any:
    body = [layers.Embedding(50, 8), layers.LSTM(8, return_sequences=True), layers.GRU(8), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((20,), dtype="int32"), *body]), WORDS


def attentive() -> Any:
    inputs = keras.Input((20,), dtype="int32")
    h = layers.Embedding(50, 16, mask_zero=True)(inputs)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 64)(h, h, use_causal_mask=True))
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 64)(h, h))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(h))), WORDS


MODELS = {f.__name__: f for f in (mlp, cnn, recurrent, gated, attentive)}


def trained(name: str, epochs: int = 4, noise: bool = True, **options: Any) -> tuple[Any, list[float], Any]:
    keras.utils.set_random_seed(3)
    model, x = MODELS[name]()
    if not noise:
        for layer in model.layers:
            if isinstance(layer, layers.Dropout):
                layer.rate = 0.0
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    y = np.arange(len(x)) % 3
    losses = model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, validation_data=(x[:40], y[:40])).history["loss"]
    return model, losses, model.predict(x, verbose=0)


def test_the_gpu_is_chosen(backend: str) -> None:
    made = [B.zeros((2,), "float32"), B.convert([1.0]), B.arange(0, 3, 1, "int32"), ops.add(1.0, 2.0)]
    made += [*B.transfer([np.ones(3)]), keras.random.normal((2,)), layers.Dense(2)(np.ones((1, 3), "float32"))]
    assert {place(array) for array in made} == {"gpu"}
    with keras.device("cpu"):
        assert place(layers.Dense(2)(np.ones((1, 3), "float32"))) == "cpu"
    assert place(B.zeros((2,), "float32")) == "gpu"


@pytest.mark.parametrize("size", [1, 1000, 3_000_000])
def test_what_is_brought_there_is_a_copy(backend: str, size: int) -> None:
    """Though the copy goes on while the host does."""
    for _ in range(10):
        x = np.full(size, 3.0, "float32")
        (there,) = B.transfer([x])
        there = there + 0
        B.wait([there])
        x[:] = 0
        assert float(ops.min(there)) == 3


@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_that_of_the_host(backend: str, name: str) -> None:
    model, losses, outputs = trained(name, noise=False)
    assert {place(v.value) for v in (*model.variables, *model.optimizer.variables)} == {"gpu"}
    with keras.device("cpu"):
        host, expected, wanted = trained(name, noise=False)
        assert {place(v.value) for v in host.variables} == {"cpu"}
    np.testing.assert_allclose(losses, expected, rtol=2e-3)
    np.testing.assert_allclose(outputs, wanted, rtol=5e-2, atol=5e-3)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_a_graph(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose numbers are those of its kernels one by one, what they draw among them."""
    made: list[graphs.Graphed] = []
    original, timed = graphs.Graphed.__init__, graphs._timed

    def init(self: graphs.Graphed, *args: Any) -> None:
        original(self, *args)
        made.append(self)

    with config.backend_scope("torch"):
        if "gpu:0" not in config.list_devices():
            pytest.skip("no GPU")
        monkeypatch.setattr(graphs.Graphed, "__init__", init)
        monkeypatch.setattr(graphs, "_timed", lambda *args: (0.0, 0.0, timed(*args)[2]))  # however long it takes
        losses, outputs = trained(name)[1:]
        assert {one.reason for one in made} == {""}
        assert len([one for one in made if one.graph is not None]) >= 2  # to train and to evaluate
        monkeypatch.setattr(graphs, "fits", lambda tensors: False)
        expected, wanted = trained(name)[1:]
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    np.testing.assert_allclose(outputs, wanted, rtol=5e-2, atol=5e-3)


def test_a_run_can_be_repeated(backend: str) -> None:
    assert trained("mlp")[1] == trained("mlp")[1]


def test_what_is_drawn(backend: str) -> None:
    def draw(what: str, *args: Any) -> Any:
        first, again, other = (getattr(keras.random, what)((2001, 5), *args, seed=seed) for seed in (1, 1, 2))
        assert place(first) == "gpu"
        np.testing.assert_array_equal(B.to_numpy(first), B.to_numpy(again))
        assert (B.to_numpy(first) != B.to_numpy(other)).mean() > 0.5
        return B.to_numpy(first).ravel()

    limits = {"uniform": stats.uniform, "normal": stats.norm, "truncated_normal": stats.truncnorm(-2, 2)}
    for what, known in limits.items():
        assert stats.kstest(draw(what), known.cdf).pvalue > 1e-3, what
    counts = np.unique(draw("randint", -3, 4), return_counts=True)
    np.testing.assert_array_equal(counts[0], np.arange(-3, 4))
    assert stats.chisquare(counts[1]).pvalue > 1e-3
    shuffled = B.to_numpy(keras.random.shuffle(ops.arange(1000), seed=1))
    np.testing.assert_array_equal(np.sort(shuffled), np.arange(1000))
    kept = B.to_numpy(keras.random.dropout(ops.ones((10_000,)), 0.25, seed=3)) != 0
    assert abs(kept.mean() - 0.75) < 0.02
    assert abs(draw("gamma", 2.0).mean() - 2) < 0.1


def test_precision_of_products(backend: str) -> None:
    a = RNG.normal(size=(512, 512)).astype("float32")
    exact = a.astype("float64") @ a.astype("float64")

    def error(name: str) -> float:
        config.set_matmul_precision(name)
        return float(np.abs(B.to_numpy(ops.matmul(a, a)) - exact).max() / np.abs(exact).max())

    assert error("highest") < 1e-6 < error("high") < 1e-3


@pytest.mark.parametrize("width", [1203, 1208])
def test_wide_rows_in_16_bits(backend: str, width: int) -> None:
    """Those that 16 bytes do not divide go another way on PyTorch."""
    sizes = (5, 7, 1024), (1024, width), (width,)
    x, kernel, bias = (ops.cast(RNG.normal(size=size), "bfloat16") for size in sizes)
    exact = [B.to_numpy(one).astype("float64") for one in (x, kernel, bias)]
    dense = layers.Dense(width, dtype="bfloat16")
    dense.build(x.shape)
    dense.set_weights(exact[1:])
    for found, wanted in (
        (ops.matmul(x, kernel), exact[0] @ exact[1]),
        (ops.matmul(x[0, 0], kernel), exact[0][0, 0] @ exact[1]),
        (dense(x), exact[0] @ exact[1] + exact[2]),
    ):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(B.to_numpy(found).astype("float64"), wanted, rtol=1e-2, atol=0.3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", MODELS)
def test_mixed_precision(backend: str, name: str, policy: str) -> None:
    config.set_dtype_policy(policy)
    try:
        losses = trained(name, noise=False)[1]
        with keras.device("cpu"):
            expected = trained(name, noise=False)[1]
    finally:
        config.set_dtype_policy("float32")
    np.testing.assert_allclose(losses, expected, rtol=3e-2)


def test_compiled_steps(backend: str) -> None:
    np.testing.assert_allclose(trained("cnn", jit_compile=True)[1], trained("cnn", jit_compile=False)[1], rtol=2e-3)


def test_a_model_moves_and_goes_on(backend: str) -> None:
    model = trained("attentive")[0]
    outputs = model.predict(WORDS, verbose=0)
    other = {"jax": "torch", "torch": "jax", "tensorflow": "jax"}[backend]
    np.testing.assert_allclose(model.to_backend(other).predict(WORDS, verbose=0), outputs, rtol=1e-3, atol=1e-5)
    model.fit(WORDS, np.arange(96) % 3, verbose=0)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".safetensors"])
def test_files(backend: str, ending: str, tmp_path: Any) -> None:
    model, _, outputs = trained("cnn")
    path = tmp_path / f"there{ending}"
    model.save(path) if ending == ".keras" else model.save_weights(path)
    twin = keras.models.clone_model(model)
    twin = keras.models.load_model(path) if ending == ".keras" else twin.load_weights(path) or twin
    assert {place(v.value) for v in twin.variables} == {"gpu"}
    np.testing.assert_allclose(twin.predict(IMAGES, verbose=0), outputs, rtol=1e-5, atol=1e-6)


def test_a_model_is_a_torch_module_there() -> None:
    import torch

    with config.backend_scope("torch"):
        if "gpu:0" not in config.list_devices():
            pytest.skip("no GPU")
        model = trained("cnn")[0]
        module = model.as_torch()
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        x, y = torch.from_numpy(IMAGES).cuda(), (torch.arange(96) % 3).cuda()
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = torch.nn.functional.nll_loss(torch.log(module(x)), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(
            model.predict(IMAGES, verbose=0), module(x).detach().cpu().numpy(), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("name", ["mlp", "gated"])
def test_a_step_without_a_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where XLA's loops ask the host, which long steps are spared; rows are left over."""
    with config.backend_scope("jax"):
        if "gpu:0" not in config.list_devices():
            pytest.skip("no GPU")
        config.set_matmul_precision("highest")
        expected, wanted = trained(name)[1:]
        monkeypatch.setattr(engine, "LONG_BYTES", 0)
        model, losses, outputs = trained(name)
        config.set_matmul_precision(None)
    counts = model._engine("train").watch.counts
    assert counts["dispatches"] == counts["steps"] > 1
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    np.testing.assert_allclose(outputs, wanted, rtol=5e-2, atol=5e-3)
