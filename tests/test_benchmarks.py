"""The benchmarks run, and every library trains the same network on the same numbers."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import cornu

FOLDER = str(Path(__file__).resolve().parents[1] / "benchmarks")
WORKLOADS = "iris mlp mlp_512 cifar lstm gru bilstm transformer resnet gpt tabular gan generator".split()
NEEDS = {"jax": "optax", "flax": "flax", "torch": "torch", "lightning": "lightning"}


def module(name: str) -> ModuleType:
    if FOLDER not in sys.path:
        sys.path.append(FOLDER)
    return importlib.import_module(name)


def few(workload: str) -> tuple[Any, Any]:
    """Some rows of the workload, of which a GAN and a generator need whole batches."""
    data = module("data")
    if workload == "tabular":
        return data.table(8, 64)
    rows = {"iris": 40, "gpt": 1, "gan": 128, "generator": 64}.get(workload, 4)
    return tuple(a[:rows] for a in data.TASKS[workload].arrays())


def test_all_workloads_but_the_data_set_have_peers() -> None:
    assert set(WORKLOADS) == set(module("peers").SETTINGS) == set(module("data").TASKS) - {"dataset"}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_cornu_trains(workload: str) -> None:
    with cornu.config.backend_scope("jax"):
        one = module("measure").InKerasApi(cornu, workload, *few(workload))
        assert np.isfinite(one.epoch()).all()


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("peer", [peer for peer, package in NEEDS.items() if importlib.util.find_spec(package)])
def test_peer_trains_the_same_network(peer: str, workload: str) -> None:
    x, y = few(workload)
    theirs = module(module("measure").PEERS[peer]).make(workload, x, y)
    with cornu.config.backend_scope("jax"):
        model = module("keras_api").MODELS[workload](cornu)
        assert theirs.parameters == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        shape = None if workload == "gan" else model.output_shape
    losses = theirs.epoch(2)
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    if shape is not None:
        found = theirs.predict(x)
        assert (found.shape, found.dtype) == ((len(x), *shape[1:]), "float32")
        if module("peers").SETTINGS[workload].squash and shape[-1] > 1:
            np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


def test_report() -> None:
    def rows(step: float, **more: Any) -> list[dict[str, Any]]:
        return [{"step": step * i, "loss": [2.0, 1.0], **more} for i in (1, 2, 3)]

    libraries = {
        "cornu-jax": rows(1.0, rows=400.0, start=1.0, again=0.5),
        "keras-jax": rows(2.0, rows=200.0, start=4.0),
        "keras-torch": rows(4.0, rows=100.0, start=3.0),
        "torch": [{"step": 1.0, "loss": [1.0, 2.0]}],
        "jax": [{"error": "no such thing"}],
    }
    kept = {
        "machine": {
            "cpu": "a CPU",
            "cores": 2,
            "versions": {"Python": "3"},
            "rates": {"flops": 1e11, "bytes": {"268435456": 1e10}},
        },
        "numbers": {"mlp": libraries, "build": {"cornu-jax": [{"step": 5.0}], "keras-jax": [{"step": 10.0}]}},
    }
    text = module("report").text(kept)
    step = next(line for line in text.splitlines() if line.startswith("| `mlp`: "))
    assert "| 2 (1-3) | 4 (2-6) | 8 (4-12) | 1 | 0.50 | 0.5 | 1.00 |" in step
    assert "| `mlp` | 400 (400-400) | 200 (200-200) | 100 (100-100) | 0.50 |" in text
    assert "| `mlp` | 0.5 (0.5-0.5) | 0.17 |" in text
    assert "| `build` | 5 | 10 | 0.50 |" in text
    learns = module("report").learns
    assert [learns("gan", 2.15, 2.17), learns("gan", 2.15, 0.1), learns("mlp", 2.0, 2.1)] == [True, False, False]
    assert "Not measured: torch on mlp: does not learn; jax on mlp: no such thing" in text


def test_table_of_a_gpu() -> None:
    gpu = module("gpu")
    assert gpu.operations("mlp") == 3 * 2 * 32 * (784 * 128 + 128 * 10)
    kept = {
        "card": {"flops": 1e12},
        "operations": {"gpt_2": 1e10, "mlp": 1e6},
        "numbers": {"gpt_2": {"cornu-jax": {"step": [20.0, 10.0, 40.0]}, "keras-jax": {"step": []}}, "mlp": {}},
    }
    lines = gpu.table(kept).splitlines()
    assert lines[0] == "| workload | cornu-jax | keras-jax |"
    assert lines[2].endswith("| 20 (10-40), 50.0 % |  |")
    assert lines[3].endswith("Adam |  |  |")
