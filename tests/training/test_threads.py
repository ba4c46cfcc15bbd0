"""One model in several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import cornu as keras
from cornu import config, layers
from cornu.base.errors import StateError

X, Y = np.random.default_rng(0).random((32, 4), "float32"), np.ones((32, 1), "float32")


@pytest.fixture(params=["jax", "torch", "tensorflow"])
def backend(request: pytest.FixtureRequest) -> Any:
    with config.backend_scope(request.param):
        yield request.param


def at_once(backend: str, functions: list[Callable[[], Any]]) -> list[Any]:
    """What the functions return in threads that begin together."""
    barrier = threading.Barrier(len(functions))

    def begin(function: Callable[[], Any]) -> Any:
        with config.backend_scope(backend):
            barrier.wait()
            return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(begin, function) for function in functions]]


def model() -> Any:
    made = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(8), layers.Dense(1)])
    made.compile("adam", "mse")
    return made


def test_one_of_the_threads_builds(backend: str) -> None:
    for _ in range(5):  # of which one or more failed while threads built side by side
        unbuilt = model()
        found = at_once(backend, [lambda unbuilt=unbuilt: keras.ops.convert_to_numpy(unbuilt(X))] * 4)
        assert all(one.shape == (32, 1) for one in found)
        np.testing.assert_allclose(found, [found[0]] * 4, atol=1e-6)


@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_training_is_one_threads(backend: str, verb: str) -> None:
    trained, refused = model(), []

    class Meanwhile(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            trained.evaluate(X, Y, verbose=0)  # in the same thread

            def other() -> None:
                with pytest.raises(
                    StateError, match=f"{verb}: another thread is in `fit` or `evaluate` of 'seq.*clone"
                ):
                    getattr(trained, verb)(X, Y, verbose=0)
                refused.append(epoch)

            at_once(backend, [other])

    trained.fit(X, Y, epochs=2, verbose=0, callbacks=[Meanwhile()])
    assert refused == [0, 1]
    at_once(backend, [lambda: getattr(trained, verb)(X, Y, verbose=0)])


def test_who_predicts_finds_the_weights_of_a_step(backend: str) -> None:
    trained = model()
    trained.fit(X, Y, verbose=0)
    done = threading.Event()

    def train() -> None:
        trained.fit(X, Y, batch_size=8, epochs=20, verbose=0)
        done.set()

    def predict() -> int:
        count = 0
        while not done.is_set() or not count:
            count += np.isfinite(trained.predict(X, verbose=0)).all()
        return count

    assert min(at_once(backend, [predict, predict, train])[:2]) > 0
