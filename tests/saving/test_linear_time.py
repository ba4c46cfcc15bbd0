"""Four times as many layers take about four times as long, not sixteen: to make, to make again, to save and to load."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cornu
from cornu import layers
from cornu.base.config import backend_scope


@pytest.fixture(autouse=True)
def numpy_backend() -> Iterator[None]:
    with backend_scope("numpy"):
        yield


def chain(count: int) -> Any:
    x = inputs = cornu.Input((2,))
    for _ in range(count):
        x = layers.ReLU()(x)
    return cornu.Model(inputs, x)


def wide(count: int) -> Any:
    """A layer that is called many times, and one that joins them all."""
    x, shared = cornu.Input((2,)), layers.Dense(2)
    return cornu.Model(x, layers.Add()([shared(layers.ReLU()(x)) for _ in range(count // 2)]))


def stack(count: int) -> Any:
    return cornu.Sequential([cornu.Input((2,)), *(layers.ReLU() for _ in range(count))])


def reversed_config(model: Any) -> dict[str, Any]:
    config = model.get_config()
    return {**config, "layers": config["layers"][::-1]}


def save_and_load(model: Any, path: Path) -> None:
    model.save(path)
    cornu.models.load_model(path)


# What is prepared, what takes time, and how many layers.
WORK: dict[str, tuple[Callable[[int], Any], Callable[[Any, Path], Any], int]] = {
    "a graph": (lambda n: n, lambda n, _: chain(n), 1500),
    "a graph, last layers first": (lambda n: reversed_config(chain(n)), lambda c, _: cornu.Model.from_config(c), 1500),
    "a wide graph": (lambda n: reversed_config(wide(n)), lambda c, _: cornu.Model.from_config(c), 1000),
    "a graph's configuration": (chain, lambda model, _: model.get_config(), 1500),
    "a graph to .keras": (chain, lambda model, path: save_and_load(model, path / "m.keras"), 1000),
    "a graph to .h5": (chain, lambda model, path: save_and_load(model, path / "m.h5"), 1000),
    "a stack": (lambda n: n, lambda n, _: stack(n), 5000),
    "a stack again": (lambda n: stack(n).get_config(), lambda c, _: cornu.Sequential.from_config(c), 5000),
    "a stack to .keras": (stack, lambda model, path: save_and_load(model, path / "m.keras"), 1000),
}


@pytest.mark.parametrize("name", WORK)
def test_time_is_linear(name: str, tmp_path: Path) -> None:
    prepare, work, count = WORK[name]

    def seconds(prepared: Any) -> float:
        gc.collect()
        gc.disable()
        began = time.process_time()
        work(prepared, tmp_path)
        gc.enable()
        return time.process_time() - began

    work(prepare(10), tmp_path)
    few, many = prepare(count // 4), prepare(count)
    shorter = longer = float("inf")
    for _ in range(6):  # a busy machine makes some times longer, not all; what is quadratic stays 16 times as long
        shorter, longer = min(shorter, seconds(few)), min(longer, seconds(many))
        if longer < 8 * shorter:
            break
    assert longer < 8 * shorter
