"""The PyTensor backend in `examples/`: found by its entry point, in agreement with JAX, under the conformance suite."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend_pytensor"
LINES = 900

AGREEMENT = """
import json
import numpy as np
import cornu as keras
import train

x, x_test, y, y_test = (part[:480] for part in train.digits())
found = {}
for make in (train.convolutional, train.recurrent):
    for backend in ("jax", "pytensor"):
        with keras.config.backend_scope(backend):
            keras.utils.set_random_seed(3)
            model = make()
            model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
            found[f"{make.__name__} {backend}"] = {
                "weights": [w.tolist() for w in model.get_weights()],
                "before": model.predict(x_test, verbose=0).tolist(),
                "losses": model.fit(x, y, epochs=4, batch_size=32, verbose=0).history["loss"],
                "after": model.evaluate(x_test, y_test, verbose=0),
                "predicted": model.predict(x_test, verbose=0).tolist(),
            }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With the package on the path and its entry points beside it, as an installer writes them from its metadata."""
    folder = tmp_path_factory.mktemp("installed")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    path = os.pathsep.join([str(folder), str(EXAMPLE), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "CORNU_PYTENSOR_MODE": "QUICK"}


def run(environment: dict[str, str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def found(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list]]:
    """What both models do on both backends, in one process."""
    done = run(environment, "-c", AGREEMENT, cwd=tmp_path_factory.mktemp("agreement"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("model", ["convolutional", "recurrent"])
def test_agreement_with_jax(found: dict[str, dict[str, list]], model: str) -> None:
    theirs, ours = found[f"{model} jax"], found[f"{model} pytensor"]
    assert ours["weights"] == theirs["weights"]  # the very same numbers
    for row, expected in zip(ours["before"], theirs["before"], strict=True):
        assert row == pytest.approx(expected, abs=1e-6)
    assert ours["losses"] == pytest.approx(theirs["losses"], rel=2e-3)
    assert ours["after"] == pytest.approx(theirs["after"], rel=2e-2)


@pytest.mark.parametrize(("model", "accuracy"), [("convolutional", 0.85), ("recurrent", 0.5)])
def test_training(found: dict[str, dict[str, list]], model: str, accuracy: float) -> None:
    ours = found[f"{model} pytensor"]
    assert ours["losses"] == sorted(ours["losses"], reverse=True)
    assert ours["after"][1] > accuracy
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in ours["predicted"])


def test_errors_name_the_backend_and_the_way_out(environment: dict[str, str], tmp_path: Path) -> None:
    code = """
import numpy as np, cornu, cornu.ops as ops
cornu.config.set_backend("pytensor")
for wrong in (
    lambda x: x if x > 0 else -x,
    ops.grad(lambda x: ops.while_loop(lambda v: v < 9, lambda v: 2 * v, x)),
):
    try:
        ops.jit(wrong)(np.float32(2))
    except cornu.base.errors.BackendError as error:
        print(error)
"""
    done = run(environment, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Use ops.cond or ops.where in place of `if`" in done.stdout
    assert "Give while_loop its `maximum_iterations`" in done.stdout


def test_derivatives_through_a_scan_in_a_scan(environment: dict[str, str], tmp_path: Path) -> None:
    code = """
import numpy as np, cornu, cornu.ops as ops
numbers = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
w, xs = numbers[:4], numbers[4:]

def inner(w, xs):
    h, ys = ops.scan(lambda h, x: 2 * (ops.tanh(ops.matmul(h, w) + x),), np.zeros(4, "float32"), xs)
    return ops.sum(h) + ops.sum(ys**3)

def outer(w):
    c, ys = ops.scan(lambda c, x: (inner(w, xs * c) / 100 + ops.sum(x), c), np.float32(0.3), xs)
    return c + ops.sum(ys)

for backend in ("jax", "pytensor"):
    cornu.config.set_backend(backend)
    along = ops.jit(lambda w: ops.jvp(outer, (w,), (w,))[1])
    twice = ops.jit(ops.grad(lambda w: ops.sum(ops.grad(outer)(w) ** 2)))
    print(*np.ravel(along(w)), *np.ravel(twice(w)))
"""
    done = run(environment, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs, ours = ([float(x) for x in line.split()] for line in done.stdout.splitlines()[-2:])
    assert len(ours) == 17
    assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)


def test_a_slice_of_the_conformance_suite(environment: dict[str, str], tmp_path: Path) -> None:
    """A line too many in the list of known failures would fail it as well."""
    chosen = (
        "(while_loop or scan or cond or switch or fori_loop or vjp or hessian or custom or checkpoint or lu_factor"
        " or conv or max_pool or softmax or fft or det or scatter or einsum) and not test_specs"
    )
    failures = str(EXAMPLE / "known_failures.txt")
    command = (
        "-m",
        "pytest",
        "--pyargs",
        "cornu.testing.conformance",
        "--backend",
        "pytensor",
        "--known-failures",
        failures,
    )
    done = run(environment, *command, "-q", "-p", "no:cacheprovider", "-k", chosen, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    passed = int(done.stdout.rsplit(" passed", 1)[0].split()[-1])
    assert 150 < passed < 700


def test_size() -> None:
    """The price of a backend, as docs/new-backend.md states it."""
    count = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "size.py"))["code_lines"]
    assert sum(count(file.read_text()) for file in (EXAMPLE / "cornu_pytensor").rglob("*.py")) <= LINES
