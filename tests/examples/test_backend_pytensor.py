"""The PyTensor backend in `examples/`: found by its entry point, in agreement with JAX, under the conformance suite."""

from __future__ import annotations

import json
import os
import runpy
import shutil
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


LOOPS = """
import sys, numpy as np, cornu, cornu.ops as ops
numbers = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
w, xs, zeros = numbers[:4], numbers[4:], np.zeros(4, "float32")

def scan_in_scan(w):
    def inner(w, xs):
        h, ys = ops.scan(lambda h, x: 2 * (ops.tanh(ops.matmul(h, w) + x),), zeros, xs)
        return ops.sum(h) + ops.sum(ys**3)
    c, ys = ops.scan(lambda c, x: (inner(w, xs * c) / 100 + ops.sum(x), c), np.float32(0.3), xs)
    return c + ops.sum(ys)

def backwards_beside_a_number(w):
    step = lambda c, x: ((c[0] + 1, ops.tanh(ops.matmul(c[1], w)) + c[0] * x), c)
    (_, h), (counts, hs) = ops.scan(step, (np.int32(0), zeros), xs, reverse=True)
    return ops.sum(h) + ops.sum(counts * hs[:, 0]) + ops.sum(hs**2 * xs)

def whiles(steps):
    def ended(w):
        step = lambda i, h: (i + 1, ops.tanh(ops.matmul(h, w) + 0.3))
        return ops.sum(ops.while_loop(lambda i, h: i < steps, step, (np.int32(0), w[0]), maximum_iterations=5)[1] ** 2)
    def unrolled(w):
        h = w[0]
        for _ in range(steps):
            h = ops.tanh(ops.matmul(h, w) + 0.3)
        return ops.sum(h**2)
    return ended, unrolled

PAIRS = [(f, f) for f in (scan_in_scan, backwards_beside_a_number)] + [whiles(steps) for steps in (0, 1, 3)]
ALONG = lambda f: lambda w: ops.jvp(f, (w,), (w,))[1]
TWICE = lambda f: ops.grad(lambda w: ops.sum(ops.grad(f)(w) ** 2))

def differ(kinds, pairs):
    for loop, reference in pairs:
        found = []
        for backend, fn in (("jax", reference), ("pytensor", loop)):
            cornu.config.set_backend(backend)
            found.append([np.asarray(ops.jit(kind(fn))(w)) for kind in kinds])
        for expected, array in zip(*found, strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-4)
            print("compared", array.shape)
"""


def test_derivatives_of_derivatives_of_loops(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, "-c", LOOPS + "differ([ops.grad, ALONG, TWICE], PAIRS)", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("compared") == 15


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_derivatives_of_derivatives_compiled(environment: dict[str, str], tmp_path: Path) -> None:
    """In C, where a scan's second derivative once ended the process."""
    compiled = """
cornu.config.set_backend("pytensor")
ops.add(1, 2)
from cornu_pytensor import programs
programs.QUICK = programs.fast_mode()
assert programs.QUICK.linker.c_thunks
differ([ALONG], PAIRS[:1])
"""
    done = run({**environment, "CORNU_PYTENSOR_MODE": "C"}, "-c", LOOPS + compiled, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "compared ()" in done.stdout


def test_loops_keep_the_states_that_are_needed(environment: dict[str, str], tmp_path: Path) -> None:
    """Not those of all steps, which are 400 MB in the first loop; in the second there is room for 200 GB."""
    code = """
import resource, numpy as np, cornu, cornu.ops as ops
cornu.config.set_backend("pytensor")
x = np.ones((500, 1000), "float32")
many = ops.jit(lambda x: ops.scan(lambda c, _: (c * 0.99, None), x, length=200)[0])
few = ops.jit(lambda x: ops.while_loop(lambda c: c[0, 0] < 6, lambda c: c + 1, x, maximum_iterations=100_000))
ops.jit(lambda x: x + 1)(x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(float(np.max(many(x))), float(np.max(few(x))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = run(environment, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    faded, ended, kilobytes = map(float, done.stdout.split())
    assert (faded, ended) == (pytest.approx(0.99**200, rel=1e-4), 6)
    assert kilobytes < 100_000


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
