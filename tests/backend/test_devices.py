"""Where arrays live: two host devices stand for accelerators on JAX, the memoryless device for one on PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cornu
from cornu import config
from cornu.backend import B, load
from cornu.base.errors import ArgumentError, OpError
from cornu.testing.conformance.test_ops import CASES, symbols

SCRIPT = """
import numpy as np
import cornu
from cornu import config, layers
assert config.list_devices() == ["cpu:0", "cpu:1"], config.list_devices()
x = np.linspace(-1, 1, 64, dtype="float32").reshape(16, 4)

def train():
    cornu.utils.set_random_seed(0)
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(3),
                              layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("adam", "mse")
    loss = model.fit(x, x[:, :1], batch_size=5, epochs=2, verbose=0).history["loss"]
    return loss, {device.id for v in (*model.variables, *model.optimizer.variables) for device in v.value.devices()}

first, where = train()
assert where == {0}, where
with cornu.device("cpu:1"):
    second, where = train()
    assert where == {1}, where
    assert cornu.ops.ones((2,)).devices().pop().id == 1
assert first == second
assert cornu.ops.ones((2,)).devices().pop().id == 0
for ending in (".safetensors", ".weights.h5", ".keras"):
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    path = "there" + ending
    model.save(path) if ending == ".keras" else model.save_weights(path)
    with cornu.device("cpu:1"):
        twin = cornu.models.clone_model(model)
        twin = cornu.models.load_model(path) if ending == ".keras" else twin.load_weights(path) or twin
    assert {device.id for v in twin.variables for device in v.value.devices()} == {1}, ending
    assert all((a == b).all() for a, b in zip(twin.get_weights(), model.get_weights(), strict=True))
config.set_device("cpu:1")
assert config.device() == "cpu:1"
assert cornu.ops.add(1.0, 2.0).devices().pop().id == 1
"""


def test_everything_of_a_run_lives_on_the_device_that_was_set(tmp_path: Path) -> None:
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow", "numpy"])
def test_names(backend: str) -> None:
    with config.backend_scope(backend):
        known = config.list_devices()
        assert known[0] == "cpu:0"
        for name in ("cpu", "CPU:0"):
            with cornu.device(name):
                assert config.device() == "cpu:0"
        with pytest.raises(
            ArgumentError, match=rf"The backend '{backend}' has no device 'gpu:7' on this machine; it has"
        ):
            config.set_device("gpu:7")
        with pytest.raises(ArgumentError, match="A device is named 'cpu', 'gpu' or 'gpu:1', got 'tpu'"):
            config.set_device("tpu")
    assert config.device() is None


def test_torch_makes_and_brings_arrays_to_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    backend = load("torch")
    monkeypatch.setitem(backend._devices, "gpu:0", torch.device("meta"))
    with config.backend_scope("torch"):
        with cornu.device("gpu"):
            made = [
                B.zeros((2,), "float32"),
                B.convert([1.0]),
                B.arange(0, 3, 1, "int32"),
                B.scalar(0.5, torch.float32),
            ]
            made += B.transfer([np.ones(3)])
            assert {str(array.device) for array in made} == {"meta"}
            layer = cornu.layers.Dense(2, name="there")
            assert str(layer(B.zeros((1, 3), "float32")).device) == "meta"
            with pytest.raises(OpError, match=r"Layer 'there' .*meta.*cpu.* Bring one to the device of the other"):
                layer(torch.ones(1, 3))
        assert str(B.zeros((2,), "float32").device) == "meta"  # which is there, so it is chosen
        monkeypatch.undo()
        config.set_device(None)
        assert str(B.zeros((2,), "float32").device) == "cpu"


def _in_force(backend: str) -> str:
    """The precision by which the framework itself says it multiplies, in PyTorch's words."""
    if backend == "torch":
        return sys.modules["torch"].get_float32_matmul_precision()  # type: ignore[no-any-return]
    if backend == "tensorflow":
        tf = sys.modules["tensorflow"]
        return "high" if tf.config.experimental.tensor_float_32_execution_enabled() else "highest"
    jax = sys.modules["jax"]
    text = str(jax.make_jaxpr(lambda a: B.matmul(a, a))(np.ones((2, 2), "float32")))
    names = {"F32_F32_F32": "highest", "TF32_TF32_F32": "high", "BF16_BF16_F32": "medium"}
    names |= {"Precision.HIGHEST": "highest", "Precision.HIGH": "high"}
    return next((name for shown, name in names.items() if shown in text), text)


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_precision_of_products(backend: str) -> None:
    assert config.matmul_precision() is None
    with config.backend_scope(backend):
        x = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
        B.convert(x)  # loads the framework
        try:
            for name in ("high", "highest"):
                config.set_matmul_precision(name)
                assert (config.matmul_precision(), _in_force(backend)) == (name, name)
            np.testing.assert_allclose(B.to_numpy(B.matmul(B.convert(x), B.convert(x))), x @ x, atol=1e-4)
            with pytest.raises(ArgumentError, match=r"matmul_precision .*'hihg'.*'high'"):
                config.set_matmul_precision("hihg")
            assert config.matmul_precision() == "highest"
        finally:
            config.set_matmul_precision(None)


def test_a_backend_that_is_loaded_later_takes_the_precision() -> None:
    script = (
        "from cornu import config; config.set_matmul_precision('medium'); from cornu.backend import B;"
        "B.zeros((1,), 'float32');"
        "import torch; assert torch.get_float32_matmul_precision() == 'medium'"
    )
    env = {**os.environ, "CORNU_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_op_infers_on_the_device_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made along the way is made there too: PyTorch lets no two devices meet."""
    torch = pytest.importorskip("torch")
    cases = {case.op: case for case in CASES if case.symbolic and case.free() and case.op != "power"}  # looks at signs
    with config.backend_scope("torch"):
        monkeypatch.setitem(load("torch")._devices, "gpu:0", torch.device("meta"))
        with cornu.device("gpu"):
            for case in cases.values():
                case.run(cornu.ops, *symbols(case.arrays(case.dtypes[0]), [False] * len(case.free())))
        monkeypatch.undo()
        config.set_device(None)
