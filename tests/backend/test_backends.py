"""Backends: complete, chosen by name, kept apart, and announced by other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import cornu.ops as ops
from cornu.backend import B, Backend, contract, current, load
from cornu.base import config
from cornu.base.errors import ArgumentError, BackendError, BackendMismatchError, MissingDependencyError
from cornu.base.spec import Spec
from cornu.core.variable import Variable, initialize

BACKENDS = ("jax", "torch", "tensorflow", "numpy")
PROMISED = sorted({*contract.Backend.__annotations__, *(n for n in vars(contract.Backend) if not n.startswith("_"))})


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> object:
    with config.backend_scope(request.param):
        yield load(request.param)


def test_every_promise_is_kept(backend: Backend) -> None:
    assert [name for name in PROMISED if not hasattr(backend, name)] == []
    assert not type(backend).__abstractmethods__
    assert current() is backend


@pytest.mark.parametrize(
    ("fn", "specs", "expected"),
    [
        (lambda xs: xs[0] + 1, [Spec((None, 3), "float32")], Spec((None, 3), "float32")),
        (lambda xs: B.reshape(xs[0], (-1,)), [Spec((None, 3), "float32")], Spec((None,), "float32")),
        (lambda xs: B.concatenate([xs[0], xs[0]], 0), [Spec((None, 3), "int32")], Spec((None, 3), "int32")),
        (lambda xs: xs[0][:, :2], [Spec((None, None), "bool")], Spec((None, 2), "bool")),
        (
            lambda xs: B.matmul(xs[0], xs[1]),
            [Spec((None, 3), "float32"), Spec((3, 5), "float32")],
            Spec((None, 5), "float32"),
        ),
        (lambda xs: B.sum(xs[0], axis=0), [Spec((None, 48), "float32")], Spec((48,), "float32")),
        (lambda xs: B.sum(xs[0], axis=1), [Spec((7, None), "float32")], Spec((7,), "float32")),
    ],
)
def test_infer(backend: Backend, fn: object, specs: list[Spec], expected: Spec) -> None:
    assert backend.infer(fn, specs) == expected


def test_infer_keeps_nests_and_what_is_no_array(backend: Backend) -> None:
    found = backend.infer(lambda xs: {"a": [xs[0], 3], "b": None}, [Spec((None,), "float32")])
    assert found == {"a": [Spec((None,), "float32"), 3], "b": None}


def test_foreign_arrays_are_named(backend: Backend) -> None:
    name, array = ("jax", jnp.zeros((2, 3))) if backend.name == "torch" else ("torch", torch.zeros(2, 3))
    with pytest.raises(BackendMismatchError, match=rf"{name} array of shape \(2, 3\) met the backend '{backend.name}'"):
        ops.exp(array)


def test_two_backends_do_not_mix() -> None:
    with config.backend_scope("jax"):
        array, variable, later = ops.ones((2,)), Variable(np.ones(2)), Variable("zeros", shape=(2,))
    with config.backend_scope("numpy"):
        with pytest.raises(BackendMismatchError, match="jax array.*'numpy'.*backend_scope"):
            ops.add(array, 1)
        with pytest.raises(BackendMismatchError, match="belongs to the backend 'jax', the current one is 'numpy'"):
            ops.add(variable, 1)
        with pytest.raises(BackendMismatchError, match="belongs to the backend 'jax', the current one is 'numpy'"):
            initialize([variable, later])  # the wrong backend would make its first value


def test_scope_nests_and_is_left_after_an_error() -> None:
    before = config.backend()
    with pytest.raises(ZeroDivisionError), config.backend_scope("numpy"):
        with config.backend_scope("jax"):
            assert B.name == "jax"
        assert B.name == "numpy"
        raise ZeroDivisionError
    assert config.backend() == before


def test_unknown_backend() -> None:
    with pytest.raises(ArgumentError, match="'numpi'.*Did you mean 'numpy'"):
        config.set_backend("numpi")
    with pytest.raises(ArgumentError, match="'jacks'"):
        load("jacks")


def test_numpy_says_that_it_does_not_train() -> None:
    with config.backend_scope("numpy"), pytest.raises(BackendError, match="computes no gradients"):
        ops.value_and_grad(ops.sum)(np.ones(3, "float32"))


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from cornu import backend as package

    monkeypatch.setattr(package, "_loaded", {})
    monkeypatch.delitem(sys.modules, "cornu.backend.jax")
    monkeypatch.setitem(sys.modules, "cornu.backend.jax", None)
    with pytest.raises(MissingDependencyError, match=r"backend 'jax' needs the package .*pip install 'cornu\[jax\]'"):
        load("jax")


def test_a_package_may_announce_a_backend(tmp_path: Path) -> None:
    info = tmp_path / "mirror-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mirror\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cornu.backends]\nmirror = mirror:MirrorBackend\n")
    (tmp_path / "mirror.py").write_text(
        "from cornu.backend.numpy import NumpyBackend\nclass MirrorBackend(NumpyBackend):\n    name = 'mirror'\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport cornu, cornu.ops as ops\n"
        "from cornu.backend import B\ncornu.config.set_backend('mirror'); print(B.name, ops.sum([1.0, 2.0]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["mirror", "3.0"]
