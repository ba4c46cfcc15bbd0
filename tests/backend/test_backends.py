"""Backends: complete, chosen by name, kept apart, and announced by other packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

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


@pytest.mark.parametrize(("name", "package"), [("jax", "jax"), ("torch", "'cornu[torch]'"), ("numpy", "scipy")])
def test_missing_package(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cornu import backend as module

    monkeypatch.setattr(module, "_loaded", {})
    monkeypatch.delitem(sys.modules, f"cornu.backend.{name}", raising=False)
    for missing in ("jax", "torch", "scipy"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        MissingDependencyError, match=rf"backend '{name}' needs a package: .*pip install {re.escape(package)}`"
    ):
        load(name)


def test_threads_that_are_first_get_one_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    from cornu import backend as module

    monkeypatch.setattr(module, "_loaded", {})
    with ThreadPoolExecutor(4) as pool:
        start = Barrier(4)
        found = list(pool.map(lambda _: start.wait() < 4 and load("numpy"), range(4)))
    assert set(found) == {load("numpy")}


def announce(folder: Path, name: str, value: str) -> None:
    """What an installer writes for a package that announces a backend."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cornu.backends]\nmirror = {value}\n")


def test_a_package_may_announce_a_backend(tmp_path: Path) -> None:
    announce(tmp_path, "mirror", "mirror:MirrorBackend")
    (tmp_path / "mirror.py").write_text(
        "from cornu.backend.numpy import NumpyBackend\nclass MirrorBackend(NumpyBackend):\n    name = 'mirror'\n"
    )
    code = (
        "import cornu, cornu.cli, cornu.ops as ops\nfrom cornu.backend import B\nprint(B.name, ops.sum([1.0, 2.0]))\n"
        "cornu.cli.main(['info'])\n"
        "import importlib.metadata; importlib.metadata.entry_points = None  # it takes 10 ms and is not asked again\n"
        "with cornu.config.backend_scope('mirror'): print('scope')"
    )
    environment = {**os.environ, "CORNU_BACKEND": "mirror", "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[0] == "mirror 3.0"
    assert "  mirror by mirror:MirrorBackend\nbackend mirror," in done.stdout
    assert done.stdout.splitlines()[-1] == "scope"


MIRROR = "from cornu.backend.numpy import NumpyBackend\nclass Mirror(NumpyBackend):\n    "


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("import library_of_mirrors", MissingDependencyError, r"mirror:Mirror, needs .*'library_of_mirrors'.*Install"),
        ("raise ValueError('dark')", BackendError, "'mirror' cannot be made by mirror:Mirror: dark"),
        ("class Morror: pass", BackendError, "no attribute 'Mirror'"),
        ("from cornu.backend import Backend as Mirror", BackendError, "abstract methods? .*value_and_grad"),
        ("class Mirror: name = 'mirror'", BackendError, "should be a class derived from cornu.backend.Backend"),
        (MIRROR + "pass", BackendError, "with `name = 'mirror'`, got Mirror with the name 'numpy'"),
        (MIRROR + "name = 'mirror'", BackendError, "announced as mirror:Mirror and as other:Mirror. Uninstall"),
    ],
)
def test_a_package_whose_backend_is_broken(
    text: str, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mirror", raising=False)
    monkeypatch.setattr(config, "_found", [*config._found])
    announce(tmp_path, "mirror", "mirror:Mirror")
    if "Uninstall" in message:
        announce(tmp_path, "other", "other:Mirror")
    (tmp_path / "mirror.py").write_text(text)
    with pytest.raises(error, match=message), config.backend_scope("mirror"):
        ops.exp(1.0)
